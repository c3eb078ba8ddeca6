"""A run goes on from its own latest.pth, wherever it lies and whatever was changed between; or says why not."""

import itertools
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from helpers_config import write_tiny_config
from helpers_database import write_database
from helpers_refusals import refused
from mmengine.hooks import Hook
from torch import multiprocessing, nn

from miqa.engine import LossNotFinite, StopAtNonFinite, build_runner, load_config
from miqa.engine.resuming import ResumeError
from miqa.evaluation import QualityCorrelation
from miqa.models import QualityAssessor, read_checkpoint

NUMBER = itertools.count()


def build(config_file, work_dir, resume=False, per_epoch=10, **knobs):
    """Build a runner as tools/train.py does."""
    saving = {'per_epoch': per_epoch, 'least_seconds': 0}
    config = load_config(config_file, {f'default_hooks.checkpoint.{name}': value for name, value in saving.items()})
    for key, value in knobs.items():
        if key in ('lr', 'epochs'):
            config.schedule[key] = value
        else:
            config[key] = value
    # MMEngine shares logs between runs of one name in one process.
    config.experiment_name = f'resuming_{next(NUMBER)}'
    return build_runner(config, work_dir, resume=resume)


def train(config_file, work_dir, **options):
    """Train and return what the log says."""
    runner = build(config_file, work_dir, **options)
    runner.train()
    file = next(handler.baseFilename for handler in runner.logger.handlers if hasattr(handler, 'baseFilename'))
    return Path(file).read_text()


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    database = write_database(folder, 'det', sources=6, val_sources=2, seed=3)
    return write_tiny_config(folder / 'tiny_det.py', database)


@pytest.fixture(scope='module')
def whole(config, tmp_path_factory):
    """An uninterrupted run of two epochs of five steps."""
    folder = tmp_path_factory.mktemp('whole')
    train(config, folder)
    return folder


@pytest.fixture(scope='module')
def stopped(config, tmp_path_factory):
    """A run whose machine lost power in its second epoch, after step 7 of 10."""

    class PowerCut(Hook):
        priority = 'LOWEST'

        def after_train_iter(self, runner, *args, **kwargs):
            if runner.iter == 6:
                raise OSError('power cut')

    folder = tmp_path_factory.mktemp('stopped')
    runner = build(config, folder, per_epoch=100)
    runner.register_hook(PowerCut())
    refused(OSError, 'power cut', runner.train)
    assert read_checkpoint(folder / 'latest.pth')['meta']['iter'] == 7
    return folder


@pytest.fixture
def run_folder(stopped, tmp_path):
    return Path(shutil.copytree(stopped, tmp_path / 'moved'))


def weights(folder, name='latest.pth'):
    return read_checkpoint(folder / name)['state_dict']


def assert_same(one, two):
    assert one.keys() == two.keys()
    for name in one:
        assert torch.equal(one[name], two[name]), name


@pytest.mark.parametrize('pointer', [None, '', '/nowhere/latest.pth'])
def test_a_copied_run_goes_on_from_its_own_checkpoint_whatever_the_pointer_says(pointer, run_folder, config, whole):
    path = run_folder / 'last_checkpoint'
    if pointer is None:
        path.unlink()
    else:
        path.write_text(pointer)
    output = train(config, run_folder, resume='auto')
    assert f'Resumed {run_folder / "latest.pth"}: 1 epochs and 7 steps are done.' in output
    assert_same(weights(run_folder), weights(whole))
    assert_same(weights(run_folder, 'best.pth'), weights(whole, 'best.pth'))
    assert path.read_text() == str(run_folder / 'latest.pth')


def test_a_run_that_begins_anew_keeps_what_was_there(run_folder, config, whole):
    before = (run_folder / 'latest.pth').read_bytes()
    output = train(config, run_folder)
    assert (run_folder / 'latest.1.pth').read_bytes() == before
    assert 'the earlier latest.pth is kept as' in output
    assert_same(weights(run_folder), weights(whole))


def test_another_batch_size_goes_on_after_the_samples_that_were_seen(run_folder, config):
    # Two steps of 8 were seen of the second epoch: it goes on at its fifth step of 4.
    output = train(config, run_folder, resume='auto', batch_size=4)
    assert 'Batch size or schedule changed: the run continues at step 14 of the new schedule.' in output
    checkpoint = read_checkpoint(run_folder / 'latest.pth')
    assert checkpoint['meta']['iter'] == 20
    assert checkpoint['meta']['epoch'] == 2


@pytest.mark.parametrize('changes', [{'batch_size': 16}, {'epochs': 3}, {'lr': 1e-4}])
def test_the_learning_rate_is_that_of_a_run_which_had_the_new_settings_from_the_start(
    changes, run_folder, config, tmp_path
):
    train(config, run_folder, resume='auto', **changes)
    train(config, tmp_path / 'fresh', **changes)
    resumed, fresh = (read_checkpoint(path / 'latest.pth') for path in (run_folder, tmp_path / 'fresh'))
    assert resumed['meta']['iter'] == fresh['meta']['iter']
    rates = [[group['lr'] for group in item['optimizer']['param_groups']] for item in (resumed, fresh)]
    assert rates[0] == rates[1]
    assert resumed['param_schedulers'] == fresh['param_schedulers']


@pytest.mark.parametrize(('changes', 'sentence'), [
    ({'seed': 8}, 'is of a run with --seed 7, not 8'),
    ({'label': 'accuracy'}, 'is of a run with --label composite, not accuracy'),
    ({'epochs': 1}, 'has finished 1 epochs, but --epochs says 1: use at least 2'),
])  # fmt: skip
def test_a_setting_that_cannot_change_is_a_sentence_and_harms_nothing(changes, sentence, run_folder, config):
    before = (run_folder / 'latest.pth').read_bytes()
    refused(ResumeError, sentence, train, config, run_folder, resume='auto', **changes)
    assert (run_folder / 'latest.pth').read_bytes() == before


def _changed(change):
    """Return a function that changes the state in a folder's checkpoint."""

    def spoil(folder):
        state = torch.load(folder / 'latest.pth', weights_only=False)
        change(state)
        torch.save(state, folder / 'latest.pth')

    return spoil


def _poison(state):
    state['state_dict']['network.pos_embed'].view(-1)[0] = float('nan')


def _led_away(folder):
    (folder / 'latest.pth').unlink()
    (folder / 'latest.pth').symlink_to('/not/mounted/latest.pth')


@pytest.mark.parametrize(('spoil', 'sentence'), [
    (_changed(lambda state: state.pop('message_hub')), 'holds weights, but not the state of a run'),
    (_changed(lambda state: state.pop('optimizer')), 'holds weights, but not the state of a run'),
    (_changed(_poison), 'The weights network.pos_embed in .*latest.pth are not finite'),
    (_changed(lambda state: state['meta']['progress'].update(samples=-216)), 'says of its progress cannot be'),
    (
        _changed(lambda state: state['optimizer']['param_groups'].pop()),
        'The state of the optimiser in .*latest.pth does not fit',
    ),
    (
        _changed(lambda state: state['meta']['progress'].update(content='of other labels')),
        'stopped within an epoch of a training split that has other sources or labels now',
    ),
    (_led_away, 'a link that leads nowhere'),
])  # fmt: skip
def test_a_state_that_cannot_be_is_a_sentence_and_stays(spoil, sentence, run_folder, config):
    spoil(run_folder)
    before = sorted(path.name for path in run_folder.glob('*.pth'))
    refused(ResumeError, sentence, train, config, run_folder, resume='auto')
    assert sorted(path.name for path in run_folder.glob('*.pth')) == before


def test_after_a_whole_epoch_a_run_goes_on_with_other_labels_and_says_so(whole, config, tmp_path):
    run = shutil.copytree(whole, tmp_path / 'run')
    database = write_database(tmp_path / 'data', 'det', sources=6, val_sources=2, seed=4)
    output = train(write_tiny_config(tmp_path / 'tiny_det.py', database), run, resume='auto', epochs=3)
    assert 'was trained on other sources or labels than those of det now' in output and 'Best SRCC so far' in output
    assert 'other sources or labels' not in train(
        config, shutil.copytree(whole, tmp_path / 'same'), resume='auto', epochs=3
    )


def test_a_pointer_that_cannot_be_written_ends_no_run(run_folder, config, whole):
    (run_folder / 'last_checkpoint').unlink()
    (run_folder / 'last_checkpoint').mkdir()
    assert 'last_checkpoint cannot be written' in train(config, run_folder, resume='auto')
    assert_same(weights(run_folder), weights(whole))


def test_weights_alone_cannot_be_resumed(run_folder, config, tmp_path):
    with pytest.raises(ValueError, match='holds weights, but not the state of a run'):
        train(config, tmp_path / 'new', resume=run_folder / 'best.pth')


def test_a_named_checkpoint_of_another_folder_goes_on_here(run_folder, config, whole, tmp_path):
    train(config, tmp_path / 'new', resume=run_folder / 'latest.pth')
    assert_same(weights(tmp_path / 'new'), weights(whole))
    # The other run's best weights were not brought along, so that this folder has its own.
    assert (tmp_path / 'new' / 'best.pth').is_file()


@pytest.mark.parametrize('what', ['predictions', 'labels'])
def test_a_constant_at_a_validation_ends_no_run_and_is_never_the_best(what, config, tmp_path, monkeypatch):
    process = QualityCorrelation.process

    def constant(self, data_batch, data_samples):
        key = 'pred_score' if what == 'predictions' else 'gt_score'
        process(self, data_batch, [{**sample, key: torch.tensor(0.5)} for sample in data_samples])

    monkeypatch.setattr(QualityCorrelation, 'process', constant)
    output = train(config, tmp_path, epochs=1)
    assert f'The scores are not defined: All 20 {what} are 0.5' in output
    assert 'SRCC is not defined at step 5: best.pth is kept.' in output
    assert not (tmp_path / 'best.pth').exists()
    assert read_checkpoint(tmp_path / 'latest.pth')['meta']['iter'] == 5
    monkeypatch.undo()
    train(config, tmp_path, epochs=2, resume='auto')
    assert (tmp_path / 'best.pth').is_file()


def test_a_loss_that_is_not_finite_stops_before_it_spoils_the_checkpoint(config, tmp_path, monkeypatch):
    loss = QualityAssessor._loss
    calls = itertools.count(1)

    def broken(self, scores, samples):
        result = loss(self, scores, samples)
        return {'loss': result['loss'] * float('nan')} if next(calls) == 7 else result

    monkeypatch.setattr(QualityAssessor, '_loss', broken)
    with pytest.raises(LossNotFinite, match=r'The loss is not finite \(loss is nan\) in epoch 2, step 7; .*latest.pth'):
        train(config, tmp_path, per_epoch=100)
    assert read_checkpoint(tmp_path / 'latest.pth')['meta']['iter'] == 6
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path).values())
    monkeypatch.undo()
    train(config, tmp_path, resume='auto', lr=1e-4)
    assert read_checkpoint(tmp_path / 'latest.pth')['meta']['iter'] == 10


def test_weights_that_are_not_finite_are_never_saved(config, tmp_path):
    class Spoil(Hook):
        def after_train_iter(self, runner, *args, **kwargs):
            if runner.iter == 3:
                next(p for p in runner.model.parameters() if p.requires_grad).data.view(-1)[0] = float('inf')

    runner = build(config, tmp_path, per_epoch=100)
    runner.register_hook(Spoil())
    refused(LossNotFinite, r'The weights \S+ are no longer finite in epoch 1, step 4; ', runner.train)
    assert read_checkpoint(tmp_path / 'latest.pth')['meta']['iter'] == 3


def _worker(rank, folder, outcomes):
    dist.init_process_group('gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=2)
    runner = SimpleNamespace(model=nn.Linear(1, 1), iter=4, epoch=1, work_dir=str(folder), logger=logging.getLogger())
    hook = StopAtNonFinite()
    hook.after_train_iter(runner, 0, outputs={'loss': torch.tensor(0.5)})
    try:
        hook.after_train_iter(runner, 0, outputs={'loss': torch.tensor(float('inf') if rank else 0.5)})
    except LossNotFinite as error:
        outcomes[rank] = str(error)
    dist.destroy_process_group()


def test_a_loss_that_is_not_finite_on_one_process_stops_both(tmp_path):
    with multiprocessing.Manager() as manager:
        outcomes = manager.dict()
        multiprocessing.start_processes(_worker, (tmp_path, outcomes), nprocs=2, start_method='fork')
        assert 'loss on another process' in outcomes[0]
        assert 'loss is inf' in outcomes[1]
        assert all('in epoch 2, step 5; there is no checkpoint yet' in text for text in outcomes.values())
