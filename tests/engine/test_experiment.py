"""Configs: one set of knobs that reach every place, one text, and the identity of a finished training."""

import copy
import json
import sys
import tempfile
from pathlib import Path

import pytest
import yapf.yapflib.yapf_api as yapf_api
from helpers_config import write_tiny_config
from helpers_database import write_database
from helpers_refusals import refused
from mmengine.config import Config, ConfigDict

from miqa.engine import experiment, load_config, resolve_config
from miqa.engine.formatted_config import FormattedOnce
from miqa.engine.identity import training_identity
from miqa.engine.launch import start_processes_group
from miqa.layout import label_folder, split_path

CONFIGS = Path(__file__).parents[2] / 'configs'
METHODS = ('ra_miqa', 'resnet18', 'resnet50', 'efficientnet_b1', 'efficientnet_b5', 'vit_small')
FULL = [CONFIGS / f'{method}_{task}.py' for method in METHODS for task in ('cls', 'det', 'ins')]


@pytest.fixture
def config():
    return load_config(CONFIGS / 'ra_miqa_det.py')


@pytest.mark.parametrize('path', FULL, ids=lambda path: path.stem)
def test_every_method_and_task_has_a_config_of_at_most_ten_lines(path):
    assert len(path.read_text(encoding='utf-8').splitlines()) <= 10
    config = resolve_config(load_config(path), processes=2)
    assert config.task == path.stem.rsplit('_', 1)[1]
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        assert config[name].dataset.task == config.task
        assert config[name].dataset.label == 'composite'
    assert config.train_dataloader.batch_size == 128


def test_the_recipe_is_the_papers(config):
    config = resolve_config(config, processes=2)
    recipe = {'type': 'AdamW', 'lr': 1e-4, 'betas': (0.9, 0.999), 'eps': 1e-8, 'weight_decay': 1e-4}
    assert config.optim_wrapper.optimizer == {**recipe, 'fused': True}  # how it is computed
    assert config.schedule == {'epochs': 5, 'lr': 1e-4, 'warmup_epochs': 1, 'warmup_lr': 5e-6, 'final_lr': 1e-8}
    assert config.train_cfg.max_epochs == 5
    assert config.train_cfg.validations_per_epoch == 2
    assert config.batch_size == 256
    assert config.randomness.seed == 1234567


def test_the_label_is_one_option_a_value_in_its_place_stays_and_the_given_config_is_left_alone(config):
    def labels():
        before = config.to_dict()
        resolved = resolve_config(config)
        assert config.to_dict() == before
        return [resolved[f'{part}_dataloader'].dataset.label for part in ('train', 'val', 'test')]

    config.label = 'consistency'
    assert labels() == ['consistency'] * 3
    config.test_dataloader.dataset.label = 'accuracy'
    assert labels() == ['consistency', 'consistency', 'accuracy']


def test_the_batch_is_shared_by_processes_and_accumulation_steps(config):
    config.optim_wrapper.accumulative_counts = 4
    assert resolve_config(config, processes=8).train_dataloader.batch_size == 8
    refused(ValueError, 'batch_size 256 is not divisible by 3 processes', resolve_config, config, processes=3)


def test_a_wrong_path_names_the_nearest_config():
    refused(FileNotFoundError, r'Did you mean .*ra_miqa_det\.py', load_config, CONFIGS / 'ra_miqa_dett.py')


def test_an_unknown_option_fails_and_a_known_one_is_merged():
    refused(KeyError, "Did you mean 'schedule.epochs'", load_config, CONFIGS / 'ra_miqa_det.py', {'schedule.epoch': 3})
    refused(KeyError, "Did you mean 'batch_size'", load_config, CONFIGS / 'ra_miqa_det.py', {'batchsize': 3})
    config = load_config(CONFIGS / 'ra_miqa_det.py', {'schedule.epochs': 3, 'optim_wrapper.clip_grad.max_norm': 1.0})
    assert config.schedule.epochs == 3
    assert config.optim_wrapper.clip_grad.max_norm == 1.0


def test_a_launcher_without_its_environment_says_what_is_missing(monkeypatch):
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'SLURM_PROCID'):
        monkeypatch.delenv(name, raising=False)
    refused(RuntimeError, r'RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR: use', start_processes_group, 'pytorch')
    refused(RuntimeError, 'start through srun', start_processes_group, 'slurm')
    refused(ValueError, "Did you mean 'slurm'", start_processes_group, 'slrum')


@pytest.mark.skipif(sys.platform != 'linux', reason='Elsewhere pictures are passed in another way.')
def test_a_temporary_folder_whose_name_is_too_long_for_sockets_is_reported_before_workers_wait_for_ever(monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', '/tmp/' + 'x' * 71)
    experiment._fit_machine(ConfigDict(num_workers=0))
    with pytest.raises(ValueError, match=r'75 characters, not 76.*export TMPDIR=/tmp'):
        experiment._fit_machine(ConfigDict(num_workers=1))
    monkeypatch.setattr(tempfile, 'tempdir', '/tmp/' + 'x' * 70)
    loader = ConfigDict(num_workers=1)
    experiment._fit_machine(loader)
    assert loader.num_workers == 1


@pytest.fixture
def parts(tmp_path):
    database = write_database(tmp_path / 'data', 'det', sources=4, val_sources=1)
    return database, write_tiny_config(tmp_path / 'tiny.py', database)


def test_packages_pictures_comments_and_other_configs_change_nothing(parts, tmp_path):
    database, config = parts
    before = training_identity(config, database)
    (label_folder(database, 'det') / 'manifest.json').write_text(json.dumps({'versions': {'pycocotools': '2.0.11'}}))
    next((database / 'miqa_det' / 'images').rglob('*.png')).touch()
    config.write_text('# a comment\n' + config.read_text())
    (tmp_path / 'other.py').write_text('x = 1\n')
    assert training_identity(config, database) == before and len(before) == 16


def test_a_value_of_the_config_a_label_and_a_split_change_it(parts):
    database, config = parts
    result = [training_identity(config, database)]
    config.write_text(config.read_text() + '\nbatch_size = 9\n')
    result.append(training_identity(config, database))
    label = sorted(label_folder(database, 'det').glob('*.csv'))[0]
    label.write_text(label.read_text() + '\n')
    result.append(training_identity(config, database))
    split = split_path(database, 'det', 'val')
    split.write_text(split.read_text() + '\n')
    result.append(training_identity(config, database))
    assert len(set(result)) == 4


def test_the_command_prints_a_line_for_each_config_and_nothing_else(warm, parts, tmp_path):
    database, config = parts
    command = ['python', '-m', 'miqa.engine.identity', '--data-root']
    done = warm.call(*command, database, config, config)
    assert done.stdout.splitlines() == [training_identity(config, database)] * 2
    lost = warm.call(*command, tmp_path, config)
    assert lost.returncode == 1 and 'There are no labels in' in lost.stderr and 'Traceback' not in lost.stderr


@pytest.fixture
def calls(monkeypatch):
    """Count how often MMEngine formats a config."""
    made, formatted = [], yapf_api.FormatCode
    monkeypatch.setattr(yapf_api, 'FormatCode', lambda *args, **options: made.append(1) or formatted(*args, **options))
    return made


def test_the_text_is_mmengines_and_made_once(calls):
    plain = Config(dict(a=1, model=dict(type='Net', sizes=(1, 2)), words=['x', 'y']))
    config = FormattedOnce.of(plain)
    assert [config.pretty_text for _ in range(5)] == [plain.pretty_text] * 5
    assert len(calls) == 2


def test_a_changed_value_changes_the_text(calls):
    config = FormattedOnce.of(Config(dict(a=1, model=dict(type='Net', depth=2))))
    before = config.pretty_text
    config.model.depth = 3
    config.merge_from_dict({'b': 4})
    assert before != config.pretty_text == Config(dict(a=1, model=dict(type='Net', depth=3), b=4)).pretty_text
    config.pop('b')
    assert 'b' not in config.pretty_text and 'depth=3' in config.pretty_text


def test_a_copy_has_its_own_text():
    config = FormattedOnce.of(Config(dict(a=1)))
    assert config.pretty_text == 'a = 1\n'
    other = copy.deepcopy(config)
    other.a = 2
    assert (config.pretty_text, other.pretty_text) == ('a = 1\n', 'a = 2\n')
