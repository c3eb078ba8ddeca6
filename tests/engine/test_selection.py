"""Weights are chosen on photographs that neither train nor test; training can end early; networks can be fitted."""

from types import SimpleNamespace

import pytest
import torch
from helpers_config import CONFIGS, write_tiny_config
from helpers_database import write_database
from mmengine.config import Config
from mmengine.logging import MessageHub

from machine_iqa import MIQAModel
from miqa.benchmark.folds import cross_validate
from miqa.engine import StopEarly, build_runner, load_config, resolve_config, selected_on
from miqa.registry import DATASETS


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_database(tmp_path_factory.mktemp('database'), 'cls', sources=10, size=(60, 52))


def tiny(path, root, more=''):
    return load_config(write_tiny_config(path / 'tiny.py', root, task='cls', more=more))


def datasets(config):
    resolved = resolve_config(config)
    names = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    return [DATASETS.build(resolved[name].dataset) for name in names]


def sources(dataset):
    return {dataset.get_data_info(position)['source'] for position in range(len(dataset))}


def test_three_splits_share_no_photograph_and_the_test_split_stays_whole(root, tmp_path):
    train, select, test = datasets(tiny(tmp_path, root, 'selection = 0.3\n'))
    assert not sources(train) & sources(select) and not (sources(train) | sources(select)) & sources(test)
    whole_train, whole_select, whole_test = datasets(tiny(tmp_path, root, "selection = 'test'\n"))
    assert sources(train) | sources(select) == sources(whole_train)
    assert sources(whole_select) == sources(whole_test) == sources(test)


def test_every_shipped_config_selects_apart_from_its_test_split():
    for path in sorted([*CONFIGS.glob('*.py'), *(CONFIGS / 'distill').glob('*.py'), *(CONFIGS / 'mini').glob('*.py')]):
        config = resolve_config(load_config(path))
        assert config.val_dataloader.dataset.part == 'select' and config.val_dataloader.dataset.split == 'train', path
        assert config.test_dataloader.dataset.split == 'val' and 'part' not in config.test_dataloader.dataset, path


def test_the_selection_of_weights_is_reported_in_words(root, tmp_path):
    assert '30% of the training photographs' in selected_on(resolve_config(tiny(tmp_path, root, 'selection = 0.3\n')))
    assert 'the test split itself' in selected_on(resolve_config(tiny(tmp_path, root, "selection = 'test'\n")))


@pytest.mark.parametrize('value', ['0', '1.5', 'True', "'val'"])
def test_an_invalid_selection_is_refused(value, root, tmp_path):
    with pytest.raises(ValueError, match="selection is a share of the training sources between 0 and 1, or 'test'"):
        resolve_config(tiny(tmp_path, root, f'selection = {value}\n'))


def stopped_after(scores, patience):
    """Return how many validations a run makes whose scores are given."""
    hub = MessageHub.get_instance(f'stop_{patience}_{scores}')
    loop = SimpleNamespace(stop_training=False)
    runner = SimpleNamespace(
        message_hub=hub, train_loop=loop, _train_loop=loop, logger=SimpleNamespace(info=lambda text: None)
    )
    hook = StopEarly(patience)
    for count, score in enumerate(scores, start=1):
        hook.after_val_epoch(runner, {'SRCC': score})
        if loop.stop_training:
            return count
    return None


def test_training_ends_when_validations_stop_improving():
    assert stopped_after([0.1, 0.3, 0.2, 0.3, 0.25], 3) == 5
    assert stopped_after([0.1, 0.3, 0.2, 0.31, 0.25], 3) is None
    assert stopped_after([0.3, float('nan'), float('nan')], 2) == 3
    assert stopped_after([0.3, 0.2, 0.1, 0.0], 0) is None
    with pytest.raises(ValueError, match='patience is a number of validations'):
        StopEarly(-1)


RESPONSE = """
_base_ = [
    '{configs}/_base_/default_runtime.py',
    '{configs}/_base_/datasets/mini_response.py',
    '{configs}/_base_/models/mini_response.py',
    '{configs}/_base_/schedules/mini_response.py',
]
task = 'cls'
data_root = '{root}'
batch_size = 16
selection = 0.3
schedule = dict(epochs=1)
model = dict(
    data_preprocessor=dict(views=dict(image=dict(size=32))),
    network=dict(
        probe=dict(model_name='resnet10t', pretrained=False, top=3), members=2, components=3, hidden=8
    ),
)
_load = [dict(type='LoadImage'), dict(type='ResizeShortSide', size=40), dict(type='PackViews', image=32, region=None)]
train_dataloader = dict(num_workers=0, dataset=dict(pipeline=_load))
val_dataloader = dict(batch_size=16, num_workers=0, dataset=dict(pipeline=_load))
test_dataloader = val_dataloader
visualizer = dict(_delete_=True, type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
"""


@pytest.fixture
def response_config(root, tmp_path):
    path = tmp_path / 'response.py'
    path.write_text(RESPONSE.format(configs=CONFIGS.as_posix(), root=root), encoding='utf-8')
    return path


def test_a_response_network_is_fitted_trained_and_tested_by_the_runner(response_config, tmp_path):
    runner = build_runner(load_config(response_config), tmp_path / 'run')
    runner.train()
    network = runner.model.network
    assert network.is_fitted and network.label == 'composite'
    best = torch.load(tmp_path / 'run/best.pth', map_location='cpu', weights_only=False)
    assert bool(best['state_dict']['network.projection.fitted'])
    assert Config.fromstring(best['meta']['cfg'], '.py').val_dataloader.dataset.part == 'select'
    for label in ('accuracy', 'composite'):
        config = load_config(response_config, {'label': label})
        tester = build_runner(config, tmp_path / label, checkpoint=tmp_path / 'run/best.pth')
        assert tester.model.network.label == label
        assert set(tester.test()) >= {'SRCC', 'PLCC'}


def test_folds_predict_every_picture_once_for_each_label(response_config, root, tmp_path):
    config = load_config(response_config)
    table = cross_validate(config, tmp_path / 'folds', folds=2, selection=0.3, labels=['composite', 'accuracy'])
    assert list(table.fold) == [0, 0, 1, 1]
    from miqa.datasets import MIQDDataset
    from miqa.evaluation.predictions import read_predictions

    result = read_predictions(tmp_path / 'folds/predictions.csv')
    everything = MIQDDataset(root, 'cls', split='all')
    images = sorted(everything.get_data_info(position)['image'] for position in range(len(everything)))
    MIQAModel(weights=tmp_path / 'folds/fold_1/best.pth')  # a fold's weights score pictures
    for label, rows in result.groupby('label'):
        assert sorted(rows.image) == images, label
    stamp = (tmp_path / 'folds/fold_0/best.pth').stat().st_mtime_ns
    second = cross_validate(config, tmp_path / 'folds', folds=2, selection=0.3)
    assert (tmp_path / 'folds/fold_0/best.pth').stat().st_mtime_ns == stamp and len(second) == 2
