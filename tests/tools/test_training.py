"""Training and testing as a user runs them: commands, kills, resumes, several processes."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers_config import write_tiny_config
from helpers_database import write_database
from helpers_real_samples import lay_out_real_samples
from scipy import stats

from miqa.models import read_checkpoint

ROOT = Path(__file__).parents[2]
STEPS_PER_EPOCH = 5  # 4 training sources of 10 versions each in batches of 8


@pytest.fixture(scope='module')
def database(tmp_path_factory):
    return write_database(tmp_path_factory.mktemp('data'), 'det', sources=6, val_sources=2, seed=3)


@pytest.fixture(scope='module')
def config(database, tmp_path_factory):
    return write_tiny_config(tmp_path_factory.mktemp('config') / 'tiny_det.py', database)


@pytest.fixture(scope='module')
def run(warm):
    """A function that runs a script of tools/, which ends well."""

    def run(tool, *arguments, call=warm.must):
        return call('bash' if tool.endswith('.sh') else 'python', ROOT / 'tools' / tool, *arguments, cwd=ROOT)

    return run


@pytest.fixture(scope='module')
def trained(run, config, tmp_path_factory):
    """Work directory of an uninterrupted run of two epochs."""
    work_dir = tmp_path_factory.mktemp('uninterrupted')
    run('train.py', config, '--work-dir', work_dir)
    return work_dir


def weights(path):
    return read_checkpoint(path)['state_dict']


def assert_same_weights(one, two):
    assert one.keys() == two.keys()
    for name in one:
        assert torch.equal(one[name], two[name]), name


def test_a_run_leaves_checkpoints_log_config_and_environment(trained):
    latest, best = read_checkpoint(trained / 'latest.pth'), read_checkpoint(trained / 'best.pth')
    assert (latest['meta']['iter'], latest['meta']['epoch']) == (2 * STEPS_PER_EPOCH, 2)
    assert 'optimizer' in latest and 'optimizer' not in best
    assert latest['message_hub']['runtime_info']['best_score'] == best['meta']['scores']['SRCC']
    environment = json.loads((trained / 'environment.json').read_text())
    assert environment['packages']['torch'] == torch.__version__.split('+')[0]
    assert list(trained.glob('*/vis_data/config.py'))
    # Two validations in each of two epochs.
    assert len(re.findall(r'Epoch\(val\).*SRCC: -?\d', next(trained.glob('*/*.log')).read_text())) == 4


def test_the_frozen_encoder_and_the_stored_position_rows_do_not_train(run, trained, config, tmp_path):
    run('train.py', config, '--work-dir', tmp_path, '--epochs', 1, '--lr', 1e-12)
    start, end = weights(tmp_path / 'latest.pth'), weights(trained / 'latest.pth')
    changed = {name for name in end if not torch.equal(start[name], end[name])}
    trainable = {name for name in end if 'mask_encoder' not in name and name != 'network.base_model.pos_embed'}
    assert changed == trainable != set()


def test_a_run_that_is_killed_and_resumed_ends_with_the_same_weights(warm, run, trained, config, tmp_path):
    # Saving after every step, each step slowed down so that the kill surely comes in the middle of an epoch.
    options = ('--work-dir', tmp_path, '--cfg-options', 'default_hooks.checkpoint.per_epoch=100')
    command = [warm.folder / 'python', ROOT / 'tools/train.py', config, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    latest = tmp_path / 'latest.pth'
    while not latest.is_file():
        assert process.poll() is None, 'training ended before its first checkpoint'
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()  # its end: the command itself holds the pipe
    stopped_at = read_checkpoint(latest)['meta']['iter']
    assert 0 < stopped_at < 2 * STEPS_PER_EPOCH

    run('train.py', config, *options, '--resume', 'auto')
    resumed, whole = read_checkpoint(latest), read_checkpoint(trained / 'latest.pth')
    assert_same_weights(resumed['state_dict'], whole['state_dict'])
    for key in ('best_score', 'best_iter'):
        assert resumed['message_hub']['runtime_info'][key] == whole['message_hub']['runtime_info'][key]
    for one, two in zip(resumed['optimizer']['state'].values(), whole['optimizer']['state'].values(), strict=True):
        assert torch.equal(one['exp_avg'], two['exp_avg'])
    assert_same_weights(weights(tmp_path / 'best.pth'), weights(trained / 'best.pth'))
    assert not list(tmp_path.glob('.*part*')) or stopped_at  # an interrupted write may leave its temporary file


@pytest.mark.parametrize(('options', 'message'), [
    ({'workers': 2}, ['--resume']),
    # The eager backend traces and replays the same operations: what differs would be our doing.
    ({'more': "compile = dict(_delete_=True, backend='eager')"}, []),
], ids=['worker processes and --resume in an empty folder', 'compiled'])  # fmt: skip
def test_how_it_is_computed_changes_no_weight(run, trained, database, tmp_path, options, message):
    config = write_tiny_config(tmp_path / 'tiny_det.py', database, **options)
    done = run('train.py', config, '--work-dir', tmp_path / 'run', *message)
    assert ('RAMIQA is compiled at the first step' in done.stdout + done.stderr) == ('more' in options)
    assert_same_weights(weights(tmp_path / 'run' / 'latest.pth'), weights(trained / 'latest.pth'))


@pytest.fixture(scope='module')
def tested(run, trained, config, tmp_path_factory):
    out = tmp_path_factory.mktemp('tested')
    return out, run('test.py', config, trained / 'best.pth', '--out', out).stdout


def test_predictions_and_metrics_agree_with_scipy_and_the_database(tested, trained, database):
    out, printed = tested
    table = pd.read_csv(out / 'predictions.csv', dtype={'source': str})
    assert list(table) == [
        'image', 'source', 'task', 'label', 'distortion', 'fg_level', 'bg_level', 'ground_truth', 'prediction', 'model',
    ]  # fmt: skip
    for row in table.itertuples():
        assert (database / 'miqa_det' / 'images' / row.image).is_file()
        labels = [
            pd.read_csv(database / 'miqa_det' / 'labels' / f'{row.source}_{kind}.csv').set_index('filename')
            for kind in ('accuracy', 'consistency')
        ]
        truth = np.mean([label.AP_weighted_avg[Path(row.image).name] for label in labels])
        assert row.ground_truth == pytest.approx(truth, abs=1e-6)
    scores = json.loads((out / 'metrics.json').read_text())['datasets']['miqa_det']
    whole = scores['overall']['all']
    assert whole['n'] == len(table) == 20
    assert whole['SRCC'] == pytest.approx(stats.spearmanr(table.prediction, table.ground_truth).statistic)
    assert whole['RMSE'] == pytest.approx(table.ground_truth.std(ddof=0) * np.sqrt(1 - whole['PLCC'] ** 2))
    assert set(scores) == {'overall', 'distortion', 'level', 'region_pattern'}
    # The weights that were best in validation are the ones that were tested, on the same split.
    assert whole['SRCC'] == pytest.approx(read_checkpoint(trained / 'best.pth')['meta']['scores']['SRCC'], abs=1e-9)
    assert 'gaussian_noise' in printed and f'{whole["SRCC"]:.4f}' in printed


def test_an_earlier_result_is_kept(run, tested, trained, config):
    out, _ = tested
    done = run('test.py', '--config', config, '--model_path', trained / 'best.pth', '--out', out)
    assert 'Kept earlier results as' in done.stdout
    assert (out / 'predictions.1.csv').read_text() == (out / 'predictions.csv').read_text()


def test_two_processes_train_to_the_weights_of_one_and_score_alike(run, database, tmp_path):
    # Dropout draws differ by process; without it, DDP's averaged gradients are those of the whole batch. Adam turns
    # rounding errors into whole steps where the true gradient is zero (the keys' biases), so plain descent shows it.
    more = "optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', momentum=0.9))\nschedule = dict(lr=0.05)\n"
    config = write_tiny_config(tmp_path / 'tiny_det.py', database, dropout=0.0, more=more)
    run('train.py', config, '--work-dir', tmp_path / 'one')
    run('dist_train.sh', config, 2, '--work-dir', tmp_path / 'two')
    one, two = (read_checkpoint(tmp_path / name / 'latest.pth') for name in ('one', 'two'))
    for name, tensor in one['state_dict'].items():
        torch.testing.assert_close(two['state_dict'][name], tensor, rtol=1e-3, atol=1e-5, msg=name)
    checkpoint = tmp_path / 'one' / 'best.pth'
    run('test.py', config, checkpoint, '--out', tmp_path / 'alone')
    run('dist_test.sh', config, checkpoint, 2, '--out', tmp_path / 'together')
    tables = [pd.read_csv(tmp_path / name / 'predictions.csv') for name in ('alone', 'together')]
    assert list(tables[0].image) == list(tables[1].image)
    np.testing.assert_allclose(tables[0].prediction, tables[1].prediction, rtol=1e-5)
    scores = [json.loads((tmp_path / name / 'metrics.json').read_text())['datasets'] for name in ('alone', 'together')]
    assert scores[0]['miqa_det']['overall']['all']['SRCC'] == scores[1]['miqa_det']['overall']['all']['SRCC']


def test_accumulation_ema_and_mixed_precision_run_on_a_cpu(run, database, tmp_path):
    more = """
custom_hooks = [dict(type='SeedEveryStep'), dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.1)]
optim_wrapper = dict(accumulative_counts=2)
"""
    config = write_tiny_config(tmp_path / 'tiny_det.py', database, more=more)
    run('train.py', config, '--work-dir', tmp_path / 'run', '--amp', '--label', 'accuracy', '--epochs', 1)
    checkpoint = read_checkpoint(tmp_path / 'run' / 'latest.pth')
    assert 'ema_state_dict' in checkpoint and "label = 'accuracy'" in checkpoint['meta']['cfg']
    done = run('test.py', config, tmp_path / 'run' / 'best.pth', '--out', tmp_path / 'test')
    assert 'accuracy (20 images)' in done.stdout  # the label comes from the checkpoint


@pytest.mark.parametrize('task', ['cls', 'det'])
def test_real_pictures_go_through_training_and_testing_of_the_published_network(run, shared_data, task, tmp_path):
    scores = lay_out_real_samples(shared_data, tmp_path / 'data', task)
    config = tmp_path / 'full.py'
    config.write_text(
        f"_base_ = '{ROOT.as_posix()}/configs/ra_miqa_{task}.py'\n"
        f"data_root = '{(tmp_path / 'data').as_posix()}'\n"
        'batch_size = 4\nschedule = dict(epochs=1)\ntrain_cfg = dict(validations_per_epoch=1)\n'
        'model = dict(network=dict(base=dict(pretrained=False), region_encoder=dict(weights=None)))\n'
    )
    run('train.py', config, '--work-dir', tmp_path / 'run', '--selection', 'test')
    checkpoint = read_checkpoint(tmp_path / 'run' / 'best.pth')
    assert sum(tensor.numel() for tensor in checkpoint['state_dict'].values()) == 43_851_649
    run('test.py', config, tmp_path / 'run' / 'best.pth', '--out', tmp_path / 'test')
    table = pd.read_csv(tmp_path / 'test' / 'predictions.csv')
    for row in table.itertuples():
        assert row.ground_truth == pytest.approx(scores[Path(row.image).name], abs=1e-6)
    assert table.prediction.nunique() == len(table) >= 4


@pytest.mark.parametrize(('tool', 'arguments', 'sentence'), [
    ('train.py', ['/dev/null'], '/dev/null is a device, not a config file'),
    ('train.py', ['configs/ra_miqa_dett.py'], r"There is no config file .*Did you mean 'configs/ra_miqa_det.py'"),
    ('train.py', ['CONFIG', '--data-root', '/nowhere'], r'Error: .*/nowhere'),
    ('train.py', ['CONFIG', '--resume', '/nowhere/latest.pth'], r'There is no checkpoint file /nowhere/latest.pth'),
    ('train.py', ['CONFIG', '--batch-size', '1000'], r'fewer than one batch of 1000'),
    ('test.py', ['CONFIG', '/nowhere/best.pth'], r'There is no checkpoint file /nowhere/best.pth'),
    ('test.py', ['CONFIG', 'README.md'], r'README.md'),
])  # fmt: skip
def test_a_wrong_input_ends_in_a_sentence_without_a_traceback(run, warm, tool, arguments, sentence, config):
    arguments = [config if argument == 'CONFIG' else argument for argument in arguments]
    done = run(tool, *arguments, call=warm.call)
    assert done.returncode == 1 and re.search(sentence, done.stderr), done.stderr[-2000:]
    assert 'Traceback' not in done.stderr
