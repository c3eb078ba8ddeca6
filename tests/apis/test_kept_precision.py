"""`precision='auto'` decides once for a machine: two runs of one command give the same scores."""

import multiprocessing
import os

import numpy as np
import pytest
import torch
from helpers_apis import write_run

from miqa.apis import opening
from miqa.apis.runtimes import Device, Runtime
from miqa.apis.runtimes import precision as module
from miqa.apis.runtimes.precision import choose_runtime
from miqa.apis.runtimes.torch_runtime import settings_of


class Steady(Runtime):
    """Scores the mean in any format."""

    name, device = 'Steady', Device('cpu')

    def __init__(self, precision):
        self.precision = precision

    def __call__(self, pixels):
        return pixels.mean(axis=(1, 2, 3)) / 255


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    (tmp_path / 'weights').write_bytes(b'weights')
    return str(tmp_path / 'weights')


def _choose(source, ratio, barrier, queue):
    # As if the machine were busy in another way for each process.
    module._seconds = lambda runtimes, pixels: [ratio, 1.0]
    barrier.wait()
    queue.put(choose_runtime(Steady, ('bf16',), 32, source, ('same',)).precision)


def test_processes_that_start_together_and_measure_differently_use_one_format(weights):
    context = multiprocessing.get_context('fork')
    barrier, queue = context.Barrier(6), context.Queue()
    workers = [
        context.Process(target=_choose, args=(weights, ratio, barrier, queue)) for ratio in (0.5, 2.0, 0.5, 2.0, 1.2, 1)
    ]
    for worker in workers:
        worker.start()
    result = {queue.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join()
    assert len(result) == 1


@pytest.mark.parametrize('ratio', [0.5, 2.0])
def test_where_nothing_can_be_kept_the_format_is_float32_and_the_remedy_is_named(
    weights, monkeypatch, capsys, tmp_path, ratio
):
    (tmp_path / 'file').write_bytes(b'')
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'file' / 'home'))
    monkeypatch.setattr(module, '_seconds', lambda runtimes, pixels: [ratio, 1.0])
    assert choose_runtime(Steady, ('bf16',), 32, weights, ()).precision == 'fp32'
    output = capsys.readouterr().err
    assert 'MIQA_HOME' in output and 'precision=bf16' in output


def test_weights_that_are_no_file_are_known_by_their_numbers(weights, monkeypatch):
    ratios = iter([2.0, 0.5, 0.5])
    monkeypatch.setattr(module, '_seconds', lambda runtimes, pixels: [next(ratios), 1.0])

    def chosen(digest):
        return choose_runtime(Steady, ('bf16',), 32, 'user/model', (), digest=lambda: digest).precision

    assert [chosen('a'), chosen('a'), chosen('b'), chosen('a')] == ['bf16', 'bf16', 'fp32', 'bf16']


def test_the_number_of_threads_does_not_change_the_choice(tmp_path, monkeypatch):
    before, threads = settings_of(torch.device('cpu')), torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert settings_of(torch.device('cpu')) == before
    finally:
        torch.set_num_threads(threads)


def test_a_model_opened_again_computes_in_the_format_of_the_first_time(tmp_path, monkeypatch):
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    monkeypatch.delenv('MIQA_PRECISION', raising=False)
    monkeypatch.setattr('miqa.apis.runtimes.torch_runtime.faster_precisions', lambda device: ('bf16',))
    monkeypatch.setattr(module, 'MEAN_DIFFERENCE', np.inf)
    monkeypatch.setattr(module, 'LARGEST_DIFFERENCE', np.inf)
    monkeypatch.setattr(module, 'LARGEST_LOSS_OF_ORDER', np.inf)
    write_run(tmp_path / 'best.pth')
    results = []
    for ratio in (2.0, 0.5, 0.5):
        monkeypatch.setattr(module, '_seconds', lambda runtimes, pixels, ratio=ratio: [ratio, 1.0])
        results.append(opening.open_model(tmp_path / 'best.pth', precision='auto', device='cpu')[1].precision)
    assert results == ['bf16'] * 3
    assert os.listdir(tmp_path / 'home')  # noqa: PTH208
