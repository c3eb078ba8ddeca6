"""Cached region features: the same training step, never those of another encoder, picture or view."""

import json
import pickle
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_config import write_tiny_config
from helpers_database import write_database
from helpers_models import tiny_assessor
from helpers_refusals import refused
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from miqa.datasets import MIQDDataset
from miqa.datasets.transforms import FeatureCache, LoadRegionFeatures
from miqa.datasets.transforms.cached_features import check_cached_pixels
from miqa.engine.feature_cache import cache_features
from miqa.models.parts.frozen_identity import frozen_identity
from miqa.registry import MODELS

LOAD = [{'type': 'LoadImage'}, {'type': 'ResizeShortSide', 'size': 48}]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_database(tmp_path_factory.mktemp('database'), 'cls', sources=4, size=(60, 52))


def dataset(root, *steps, split='train', **options):
    return MIQDDataset(root, 'cls', split=split, pipeline=[*LOAD, *steps], seed=3, **options)


def regions(root, **options):
    return dataset(root, {'type': 'PackViews', 'image': 32, 'region': 48}, **options)


def untrained():
    torch.manual_seed(0)
    return tiny_assessor(dropout=0.0)


@pytest.fixture
def model():
    return untrained()


@pytest.fixture(scope='module')
def filled(root, tmp_path_factory):
    """A cache of the training split, with the features of an encoder like that of every other test."""
    folder = tmp_path_factory.mktemp('filled') / 'cache'
    fill(untrained(), regions(root), folder)
    return folder


def fill(model, data, folder, **options):
    return cache_features(model.network.mask_encoder, model.data_preprocessor, data, folder, 7, **options)


def training_step(model, items):
    data = model.data_preprocessor(pseudo_collate(items), True)
    loss = model.train()(**data, mode='loss')['loss']
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    model.zero_grad()
    return loss, gradients


def test_a_training_step_from_the_cache_equals_the_one_with_the_encoder(root, model, filled):
    flip = {'type': 'RandomFlip'}
    with_encoder = dataset(root, flip, {'type': 'PackViews', 'image': 32, 'region': 48, 'random': True})
    pack = {'type': 'PackViews', 'image': 32, 'region': None, 'random': True}
    from_cache = dataset(root, flip, pack, {'type': 'LoadRegionFeatures', 'cache': str(filled)})
    chosen = [0, 5, 11, 28]
    expected, expected_gradients = training_step(model, [with_encoder[i] for i in chosen])
    result, gradients = training_step(model, [from_cache[i] for i in chosen])
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-7)
    for name, gradient in expected_gradients.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-3, atol=1e-7, msg=name)


def test_every_picture_of_the_split_has_its_own_features(root, model, tmp_path):
    data = regions(root)
    cache = fill(model, data, tmp_path / 'cache', num_workers=1)
    assert len(cache) == len(data) == 30
    for item in (data[i] for i in range(len(data))):
        region = model.data_preprocessor.region_batch([item['inputs']['region']])
        expected = model.network.region_features(region)[0].numpy()
        np.testing.assert_allclose(cache.get(item['data_sample'].image), expected, rtol=1e-5, atol=1e-6)
    about = json.loads((tmp_path / 'cache' / 'about.json').read_text())
    assert about['encoder_sha256'] == model.network.mask_encoder.digest()
    names = ['about.json', 'checksums.npy', 'features.npy', 'keys.npy', 'rows.npy']
    assert sorted(path.name for path in (tmp_path / 'cache').iterdir()) == names


class Killed(Exception):
    pass


class Counting:
    """A dataset that notes what is read of it and stops after a number of pictures."""

    def __init__(self, data, stop=10**9):
        self.data, self.stop, self.read = data, stop, []

    @property
    def metainfo(self):
        return self.data.metainfo

    def __len__(self):
        return len(self.data)

    def __getitem__(self, position):
        if len(self.read) >= self.stop:
            raise Killed
        self.read.append(position)
        return self.data[position]


def test_an_interrupted_run_goes_on_where_it_stopped(root, model, tmp_path):
    whole = fill(model, regions(root), tmp_path / 'whole')
    refused(Killed, '', fill, model, Counting(regions(root), stop=17), tmp_path / 'cache')
    assert not (tmp_path / 'cache').exists()
    rest = Counting(regions(root))
    cache = fill(model, rest, tmp_path / 'cache')
    assert rest.read == list(range(14, 30)), 'two batches of seven were done'
    assert np.array_equal(cache.features, whole.features) and np.array_equal(cache.keys, whole.keys)


def test_a_run_that_was_begun_with_another_encoder_is_not_continued(root, model, tmp_path):
    refused(Killed, '', fill, model, Counting(regions(root), stop=10), tmp_path / 'cache')
    torch.manual_seed(1)
    with pytest.raises(FileExistsError, match=r'cache.part was begun with other settings \(encoder_sha256, re'):
        fill(tiny_assessor(), regions(root), tmp_path / 'cache')


def test_a_cache_that_is_there_is_not_overwritten(root, model, filled):
    refused(FileExistsError, 'cache exists already. Delete it first', fill, model, regions(root), filled)


def cached_batch(root, folder):
    pack = {'type': 'PackViews', 'image': 32, 'region': None, 'random': True}
    data = dataset(root, pack, {'type': 'LoadRegionFeatures', 'cache': str(folder)})
    return pseudo_collate([data[0], data[1]])


def test_features_of_another_encoder_are_refused_when_they_are_used(root, model, filled):
    batch = cached_batch(root, filled)
    torch.manual_seed(1)
    other = tiny_assessor()
    with pytest.raises(ValueError, match='made by another frozen encoder or from another view'):
        other(**other.data_preprocessor(batch, True), mode='loss')
    other.load_state_dict(model.state_dict())
    other(**other.data_preprocessor(batch, True), mode='loss')


def test_features_of_another_normalisation_are_refused(root, model, filled):
    batch = cached_batch(root, filled)
    model.data_preprocessor.views['region']['std'] = (0.4, 0.5, 0.5)
    refused(ValueError, 'another view', model, **model.data_preprocessor(batch, True), mode='loss')


def test_the_identity_depends_on_all_that_features_depend_on(model):
    encoder, preprocessor = model.network.mask_encoder, model.data_preprocessor
    before = frozen_identity(encoder, preprocessor)
    for key, value in (('size', 64), ('mean', (0.1, 0.5, 0.5)), ('std', (0.1, 0.5, 0.5))):
        kept = preprocessor.views['region'][key]
        preprocessor.views['region'][key] = value
        assert frozen_identity(encoder, preprocessor) != before, key
        preprocessor.views['region'][key] = kept
    assert frozen_identity(encoder, preprocessor) == before


def test_a_picture_that_the_cache_does_not_have_is_named(root, model, tmp_path):
    fill(model, regions(root, split='val'), tmp_path / 'val')
    refused(KeyError, 'is stale: none of its 10 pictures is .*png', cached_batch, root, tmp_path / 'val')


def test_a_missing_or_damaged_cache_is_a_sentence(root, model, tmp_path):
    refused(FileNotFoundError, 'There is no cache of features in .*nowhere', LoadRegionFeatures, tmp_path / 'nowhere')
    fill(model, regions(root), tmp_path / 'cache')
    np.save(tmp_path / 'cache' / 'features.npy', np.zeros((3, 16), np.float32))
    refused(ValueError, 'is not whole', FeatureCache, tmp_path / 'cache')


def test_the_transform_travels_to_worker_processes_without_its_arrays(root, filled):
    transform = LoadRegionFeatures(filled)
    assert len(pickle.dumps(transform)) < 1000
    results = {'path': regions(root).get_data_info(2)['path'], 'inputs': {}}
    ours = transform(dict(results, inputs={}))['inputs']
    theirs = pickle.loads(pickle.dumps(transform))(dict(results, inputs={}))['inputs']
    assert all(torch.equal(ours[name], theirs[name]) for name in ('region_features', 'region_identity'))


def test_an_unreadable_picture_is_left_out_where_the_dataset_skips_it(model, tmp_path):
    root = write_database(tmp_path / 'database', 'cls', sources=4, size=(60, 52))
    broken = regions(root).get_data_info(4)['path']
    Path(broken).write_bytes(b'no picture')
    cache = fill(model, regions(root, bad_images='skip'), tmp_path / 'cache')
    assert len(cache) == 29
    refused(KeyError, 'is stale', cache.get, broken)


def test_the_command_fills_a_cache_with_the_weights_of_a_checkpoint(root, tmp_path, request, monkeypatch, capsys):
    config = write_tiny_config(tmp_path / 'tiny.py', root, task='cls')
    trained = MODELS.build(Config.fromfile(config).model)
    torch.save({'state_dict': trained.state_dict()}, tmp_path / 'best.pth')
    tool = request.config.rootpath / 'tools/data/cache_features.py'
    options = ['--split', 'val', '--out', tmp_path / 'cache', '--workers', '0', '--checkpoint', tmp_path / 'best.pth']
    monkeypatch.setattr('sys.argv', [str(argument) for argument in (tool, config, *options)])
    runpy.run_path(str(tool), run_name='__main__')
    assert '10 vectors of 24 numbers' in capsys.readouterr().out
    cache = FeatureCache(tmp_path / 'cache')
    assert cache.about['region_identity'] == frozen_identity(trained.network.mask_encoder, trained.data_preprocessor)


@pytest.mark.parametrize('task', ['cls', 'det', 'ins'])
def test_the_cached_configs_differ_from_the_others_in_the_training_pipeline_alone(task, request):
    configs = request.config.rootpath / 'configs'
    plain, cached = (Config.fromfile(configs / name / f'ra_miqa_{task}.py').to_dict() for name in ('', 'cached'))
    steps = [step['type'] for step in cached['train_dataloader']['dataset'].pop('pipeline')]
    assert steps == ['LoadImage', 'ResizeShortSide', 'PackViews', 'LoadRegionFeatures']
    plain['train_dataloader']['dataset'].pop('pipeline')
    for config in (plain, cached):
        config.pop('train_pipeline')
    assert plain == cached


def test_features_of_pictures_that_were_resized_otherwise_are_refused(filled):
    """The cache of one config, given to another that resizes to other pixels."""
    cached = [{'type': 'LoadRegionFeatures', 'cache': str(filled)}]
    check_cached_pixels(cached, LOAD)
    for other in ({'size': 49}, {'interpolation': 'bicubic'}):
        with pytest.raises(ValueError, match=r'short side of 48 pixels \(bilinear\), but the config resizes to 4[89]'):
            check_cached_pixels(cached, [LOAD[0], {**LOAD[1], **other}])
    # A pipeline without a resize takes its features from the same cache.
    check_cached_pixels(cached, cached)
    # Steps that are objects say nothing.
    check_cached_pixels([object(), *cached], [object()])
