"""The check of GPUs finds what is wrong; a CPU stands in for the GPU and takes the same way through the code."""

import sys
from pathlib import Path

import pytest
import torch
from helpers_config import write_tiny_config
from helpers_database import write_database
from helpers_models import HALF, TINY_RA_MIQA
from helpers_tools import load_tool
from torch import nn

ROOT = Path(__file__).parents[2]
check_gpu = load_tool('tools/analysis/check_gpu.py')
device_checks = load_tool('tools/analysis/device_checks.py')
run_checks = load_tool('tools/analysis/run_checks.py')
FAILED, SKIPPED, OK, Finding = (getattr(device_checks, name) for name in ('FAILED', 'SKIPPED', 'OK', 'Finding'))
VIEWS = {'image': {'size': 32, **HALF}, 'region': {'size': 48, **HALF}}
TINY = {
    'type': 'QualityAssessor',
    'network': {**TINY_RA_MIQA, 'dropout': 0.0},
    'data_preprocessor': {'type': 'ViewPreprocessor', 'views': VIEWS},
}


@pytest.mark.parametrize('precision', ['fp32', 'bf16', 'fp16'])
def test_a_device_that_computes_right_is_within_the_bounds(precision):
    finding = device_checks.check_numbers(TINY, 'cpu', precision)
    assert finding.state == OK, finding.detail
    assert 'gradients by' in finding.detail


def test_a_device_that_computes_wrong_is_outside_the_bounds(monkeypatch):
    right = device_checks.build_model
    built = []

    def wrong(config, seed=0):
        model = right(config, seed)
        if built:  # the second one is the device's
            with torch.no_grad():
                next(p for p in model.network.quality_regressor.parameters()).mul_(1.05)
        built.append(model)
        return model

    monkeypatch.setattr(device_checks, 'build_model', wrong)
    assert device_checks.check_numbers(TINY, 'cpu', 'fp32').state == FAILED


def test_what_is_not_a_number_is_outside_every_bound(monkeypatch):
    monkeypatch.setattr(device_checks, 'BOUNDS', {'fp32': device_checks.Bounds(1e30, 1e30)})
    original = device_checks.scores_and_gradients
    monkeypatch.setattr(
        device_checks, 'scores_and_gradients', lambda *args: tuple(v * float('nan') for v in original(*args))
    )
    assert device_checks.check_numbers(TINY, 'cpu', 'fp32').state == FAILED


def test_an_error_of_the_device_is_a_failure_with_its_words():
    def broken():
        raise RuntimeError('CUDA error: an illegal memory access was encountered\nmore lines')

    assert device_checks.checked('step', broken) == Finding(
        'step', FAILED, 'RuntimeError: CUDA error: an illegal memory access was encountered'
    )


def test_gradients_of_processes_that_do_not_talk_are_found_out(monkeypatch):
    """The one process is this one, which saves the start of another."""
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
        monkeypatch.setenv(name, '')
    monkeypatch.setattr(torch, 'set_num_threads', lambda number: None)
    monkeypatch.setattr(run_checks.multiprocessing, 'spawn', lambda run, arguments, nprocs: run(0, *arguments))
    assert run_checks.check_processes(TINY, 'cpu', 1, batch_size=2).state == OK
    monkeypatch.setattr(run_checks, 'GRADIENTS', -1.0)
    assert run_checks.check_processes(TINY, 'cpu', 1, batch_size=2).state == FAILED


def test_transfers_arrive_and_training_steps_leave_nothing_behind():
    assert device_checks.check_transfers('cpu', megabytes=1).state == OK
    finding = device_checks.check_memory(TINY, 'cpu', steps=5, batch_size=2)
    assert finding.state == OK and '0 bytes more than after 3' in finding.detail


def test_memory_that_grows_is_found_out(monkeypatch):
    held = iter(range(1000))
    monkeypatch.setattr(device_checks, '_held', lambda *_: next(held))
    assert device_checks.check_memory(TINY, 'cpu', steps=5, batch_size=2).state == FAILED


def test_a_compiled_network_that_differs_is_found_out(monkeypatch):
    assert device_checks.check_compile(TINY, 'cpu', {'backend': 'eager'}, batch_size=2).state == OK

    class Other(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, inputs):
            return self.network(inputs) + 0.01

    monkeypatch.setattr(torch, 'compile', lambda network, **options: Other(network))
    assert device_checks.check_compile(TINY, 'cpu', batch_size=2).state == FAILED


def test_speed_is_measured_by_precision_and_batch():
    rows = device_checks.measure_speed(TINY, 'cpu', ['fp32', 'bf16'], [1, 3], repeats=3)
    assert [(row['precision'], row['batch']) for row in rows] == [('fp32', 1), ('fp32', 3), ('bf16', 1), ('bf16', 3)]
    for row in rows:
        assert 0 < row['p50_ms'] <= row['p95_ms'] and 'most_mb' not in row
        assert row['pictures_per_second'] == pytest.approx(1000 * row['batch'] / row['p50_ms'])


GPUS = {'4': 'uuid-of-4', '5': 'uuid-of-5'}


def test_a_gpu_is_chosen_by_its_number_within_the_allocation():
    asked = []

    def ask(chosen, allocation):
        asked.append((list(chosen), allocation))
        return f'1 1 {GPUS[allocation.split(",")[int(chosen[0])]]}'

    assert run_checks.check_gpu_ids(GPUS, ask).state == OK and asked == [(['0'], '5,4'), (['1'], '5,4')]


def test_a_gpu_that_is_counted_from_the_machines_first_is_found_out():
    finding = run_checks.check_gpu_ids(GPUS, lambda chosen, allocation: f'1 1 {list(GPUS.values())[int(chosen[0])]}')
    assert finding.state == FAILED and "--gpu-ids 0 shows '1 1 uuid-of-4', not '1 1 uuid-of-5'" in finding.detail


@pytest.fixture(scope='module')
def train(warm, tmp_path_factory):
    root = write_database(tmp_path_factory.mktemp('data'), 'det', sources=4, val_sources=1, seed=3)
    config = write_tiny_config(tmp_path_factory.mktemp('config') / 'tiny_det.py', root)
    options = ['--cfg-options', 'default_hooks.checkpoint.per_epoch=100']
    return [str(warm.folder / 'python'), str(ROOT / 'tools' / 'train.py'), str(config), '--epochs', '2', *options]


def test_a_killed_training_ends_with_the_weights_of_one_that_was_not(train, tmp_path, monkeypatch):
    finding = run_checks.check_resume(train, tmp_path / 'right', exact=True)
    assert finding.state == OK, finding.detail
    assert 'killed at step' in finding.detail
    # A run that goes on with other random numbers ends elsewhere.
    run = run_checks._run
    monkeypatch.setattr(
        run_checks, '_run', lambda c, p: run([*c[:-1], '--resume', '--seed', '9'] if c[-1] == '--resume' else c, p)
    )
    assert run_checks.check_resume(train, tmp_path / 'wrong', exact=True).state == FAILED


def test_a_training_that_ends_early_is_a_failure_in_words(tmp_path):
    finding = run_checks.check_resume([sys.executable, '-c', 'raise SystemExit("no such config")'], tmp_path, True)
    assert finding.state == FAILED and 'ended with 1: no such config' in finding.detail


def test_without_a_gpu_the_command_says_so_in_a_sentence(warm):
    if torch.cuda.is_available():
        pytest.skip('there is a GPU here')
    done = warm.call('python', ROOT / 'tools/analysis/check_gpu.py')
    assert done.returncode and 'finds no GPU here' in done.stderr and 'Traceback' not in done.stderr


@pytest.mark.parametrize('state', [OK, FAILED])
def test_the_command_exits_with_one_where_a_check_fails(state, monkeypatch, tmp_path, capsys):
    findings = [Finding('DDP', state, 'gradients differ'), Finding('tf32', SKIPPED, 'a CPU has no TF32')]
    monkeypatch.setattr(check_gpu, 'all_checks', lambda *_: iter(findings))
    monkeypatch.setattr(check_gpu, 'random_model', lambda _: TINY)
    monkeypatch.setattr(
        'sys.argv', ['check_gpu.py', '--device', 'cpu', '--batch-sizes', '1', '--out', str(tmp_path / 'gpu.json')]
    )
    assert check_gpu.main() == (1 if state == FAILED else 0)
    output = capsys.readouterr().out
    assert ('FAILED: DDP' in output) == (state == FAILED) and 'p95' in output
    assert (tmp_path / 'gpu.json').is_file()


def test_all_checks_run_on_a_cpu(monkeypatch, train, tmp_path):
    # Compiling takes minutes and is tried with another backend above.
    monkeypatch.setattr(check_gpu, 'check_compile', lambda *_: Finding('torch.compile', OK, ''))
    monkeypatch.setattr(check_gpu, 'check_resume', lambda *_, **__: Finding('resume after SIGKILL', OK, ''))
    result = list(check_gpu.all_checks(TINY, 'cpu', tmp_path, lambda _: train))
    assert not [finding for finding in result if finding.state == FAILED]
    assert '2 processes by gloo' in next(finding.detail for finding in result if finding.name == 'DDP')
    assert [finding.name for finding in result if finding.state == SKIPPED] == [
        'forward and backward, tf32', '--gpu-ids inside an allocation', 'CUDA graphs',
    ]  # fmt: skip


def test_the_model_of_a_config_needs_no_download():
    model = check_gpu.random_model(ROOT / 'configs' / 'ra_miqa_cls.py')
    assert model.network.base.pretrained is False and model.network.region_encoder.weights is None
    assert model.network.dropout == 0.0
