"""Configs: every one builds on the same knobs, and knobs reach every place that they decide."""

import sys
import tempfile
from pathlib import Path

import pytest
from helpers_refusals import refused
from mmengine.config import ConfigDict

from miqa.engine import experiment, load_config, resolve_config
from miqa.engine.launch import start_processes_group

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
def test_a_temporary_folder_whose_name_is_too_long_for_sockets_is_said_before_workers_wait_for_ever(monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', '/tmp/' + 'x' * 71)
    experiment._fit_machine(ConfigDict(num_workers=0))
    with pytest.raises(ValueError, match=r'75 characters, not 76.*export TMPDIR=/tmp'):
        experiment._fit_machine(ConfigDict(num_workers=1))
    monkeypatch.setattr(tempfile, 'tempdir', '/tmp/' + 'x' * 70)
    loader = ConfigDict(num_workers=1)
    experiment._fit_machine(loader)
    assert loader.num_workers == 1
