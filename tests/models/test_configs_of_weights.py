"""A config that comes with weights is data: nothing in it is imported, opened, fetched or built beyond its weights."""

import json
import resource
import socket
import sys
import time

import pytest
import torch
from helpers_apis import CNN, VIT, photo, views_of, write_ra_miqa, write_run
from helpers_refusals import refused
from mmengine.config import Config
from torch import nn

from machine_iqa import MIQAModel
from miqa.apis.spec import ModelSpec
from miqa.engine.provenance import provenance_of
from miqa.models import CheckpointError
from miqa.outside.checked_values import Whole
from miqa.outside.config_text import read_config_text
from miqa.registry import MODELS
from miqa.reports.run_folder import RunFolder


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A folder in which code lies that a config may name, with the network closed; it fails where the code has run."""
    (tmp_path / 'evilmodel').mkdir()
    for name in ('__init__', 'registry'):
        (tmp_path / 'evilmodel' / f'{name}.py').write_text("open('OWNED', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def refuse(*_, **__):
        raise AssertionError('the network was asked')

    monkeypatch.setattr(socket.socket, 'connect', refuse)
    monkeypatch.setattr(socket, 'getaddrinfo', refuse)
    yield tmp_path
    assert not (tmp_path / 'OWNED').exists()
    assert 'evilmodel' not in sys.modules and 'evilmodel.registry' not in sys.modules


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp('saved')
    write_run(folder / 'best.pth', VIT)
    return MIQAModel(weights=folder / 'best.pth').save_pretrained(folder / 'hub')


def changed(saved, folder, path, value):
    """The folder of a model whose config has ``value`` at ``path``."""
    config = json.loads((saved / 'config.json').read_text())
    node = config
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    folder.mkdir(exist_ok=True)
    (folder / 'config.json').write_text(json.dumps(config))
    (folder / 'model.safetensors').write_bytes((saved / 'model.safetensors').read_bytes())
    return folder


OWNED = {'type': 'evilmodel.Thing', '_scope_': 'evilmodel'}
DEEP = {}
for _ in range(400):
    DEEP = {'x': DEEP}


#: Where in a config -> values that are refused there.
REFUSED = {
    'spec': [[1], None],
    'spec.network': [
        OWNED, {'type': 'RAMIQA', 'base': OWNED, 'region_encoder': {'type': 'PackagedRegionEncoder'}}, 7, [VIT],
    ],
    'spec.network.type': [
        'evilmodel.TimmRegressor', 'os.mkdir', ['TimmRegressor'], 'MSELoss', 'PlainTransformer', 'QualityAssessor',
    ],
    'spec.network._scope_': ['evilmodel'], 'spec.network._delete_': [True],
    'spec.network.custom_imports': [{'imports': ['evilmodel']}],
    'spec.network.model_name': [
        'hf-hub:user/model', 'hf_hub:user/model', 'HF-HUB:user/model', 'local-dir:/etc', '/etc/passwd',
        '../../test_vit', 'test_vit.no_such_tag', 'test_vit\n', {'type': 'evilmodel.Thing'},
    ],
    'spec.network.options': [5, DEEP], 'spec.network.options.checkpoint_path': ['/etc/passwd'],
    'spec.network.options.pretrained_cfg': [{'file': '/etc/passwd'}], 'spec.network.options.pretrained': [True],
    'spec.network.options.pretrained_cfg_overlay': [{'url': 'http://127.0.0.1/x'}],
    'spec.network.options.cache_dir': ['/tmp'], 'spec.network.options.act_layer': ['torch.nn.GELU'],
    'spec.network.options.norm_layer': ['evilmodel.Norm'], 'spec.network.options.embed_layer': ['evilmodel.Norm'],
    'spec.network.options.depth': [10**9, -1, 12.5, True, '12'], 'spec.network.options.embed_dim': [10**400],
    'spec.network.options.img_size': [float('nan'), 10**9], 'spec.network.options.drop_rate': [float('inf')],
    'spec.network.options.num_classes': [10**9],
    'spec.views': [5, []], 'spec.views.image': [224], 'spec.views.image.type': ['evilmodel.Thing'],
    'spec.views.image.size': [float('nan'), float('inf'), 10**9, 0, '64'],
    'spec.views.image.mean': [0.5, '0.5', [0.5, 0.5], [float('nan')] * 3],
    'spec.views.image.std': [[0, 0, 0], {'r': 1}],
    'spec.short_side': [10**12, float('nan'), None], 'spec.task': [['det'], 'everything'], 'spec.label': [{}],
    'spec.method': [7, '<script>'],
    'thresholds': [3, {'high': 'x'}, {'high': float('nan'), 'medium': 0}, {'type': 'evilmodel'}],
}  # fmt: skip


@pytest.mark.parametrize(('path', 'value'), [(path, value) for path, row in REFUSED.items() for value in row], ids=str)
def test_a_config_of_a_folder_that_is_not_plain_data_in_bounds_is_a_sentence(trap, saved, path, value):
    folder = changed(saved, trap / 'model', path.split('.'), value)
    started = time.process_time()
    caught = refused(ValueError, '', MIQAModel.from_pretrained, folder)
    assert time.process_time() - started < 20
    assert len(str(caught)) < 3000 and '\n' not in str(caught)


@pytest.mark.parametrize(
    'text', ['[' * 10_000, '{"a":' * 10_000, 'nonsense', '', '[' * 10_000 + ']' * 10_000, '7', 'null']
)
def test_a_config_file_that_is_not_a_config_is_refused(trap, saved, text):
    folder = changed(saved, trap / 'model', ('spec', 'task'), 'det')
    (folder / 'config.json').write_text(text)
    refused(ValueError, r'config\.json', MIQAModel.from_pretrained, folder)


def test_weights_that_a_config_asks_for_are_neither_opened_nor_fetched(trap, saved):
    for wish in (True, 'evil.pth', 'http://127.0.0.1:9/x.pth', {'type': 'x'}):
        back = MIQAModel.from_pretrained(changed(saved, trap / 'model', ('spec', 'network', 'pretrained'), wish))
        assert back.spec.network['pretrained'] is False
        assert back.assess(photo()) == MIQAModel.from_pretrained(saved).assess(photo())


def test_a_region_encoder_without_a_word_on_weights_fetches_none(trap):
    write_ra_miqa(trap / 'best.pth')
    folder = MIQAModel(weights='best.pth').save_pretrained(trap / 'hub')
    config = json.loads((folder / 'config.json').read_text())
    del config['spec']['network']['region_encoder']['weights']
    del config['spec']['network']['base']['pretrained']
    spec = ModelSpec.from_dict(config['spec'], 'x')
    assert spec.network['region_encoder']['weights'] is None and spec.network['base']['pretrained'] is False


@pytest.mark.parametrize('name', ['fasterrcnn_resnet50_fpn', 'fcn_resnet50', 'raft_large', 'resnet18;x', 18])
def test_torchvision_models_that_fetch_weights_when_built_are_refused(trap, name):
    network = {'type': 'TorchvisionRegressor', 'model_name': name}
    refused(ValueError, "torchvision's classifiers", ModelSpec('x', None, None, network, views_of(), 72).build, {}, 'x')


def checkpoint_with(folder, **changes):
    write_run(folder / 'best.pth', CNN)
    checkpoint = torch.load(folder / 'best.pth', weights_only=True)
    config = Config.fromstring(checkpoint['meta']['cfg'], '.py')
    config.merge_from_dict(changes)
    checkpoint['meta']['cfg'] = config.pretty_text
    torch.save(checkpoint, folder / 'evil.pth')
    return folder / 'evil.pth'


@pytest.mark.parametrize(('key', 'value'), [
    ('model.network._scope_', 'evilmodel'), ('model.network.options', {'checkpoint_path': 'x.pth'}),
    ('model.network', {'_delete_': True, 'type': 'evilmodel.registry.Thing', '_scope_': 'evilmodel'}), ('model', 3),
    ('model.data_preprocessor', 'x'), ('model.data_preprocessor.views.image.size', 10**9), ('test_dataloader', [3]),
    ('test_dataloader.dataset.pipeline', [3, 4]), ('test_dataloader.dataset.pipeline', [{'type': ['LoadImage']}]),
    ('test_dataloader.dataset.pipeline', [{'type': 'ResizeShortSide', 'size': -3}]),
    ('test_dataloader.dataset.pipeline', 'LoadImage'), ('task', ['det']), ('label', 7),
])  # fmt: skip
def test_a_config_inside_a_checkpoint_is_data_too(trap, key, value):
    path = checkpoint_with(trap, **{key: value})
    refused(ValueError, '', MIQAModel, weights=path)
    if key in ('task', 'label'):
        refused(ValueError, 'evil', provenance_of, path)


def test_what_a_checkpoint_says_beside_its_model_is_not_looked_at(trap):
    path = checkpoint_with(
        trap, custom_imports={'imports': ['evilmodel']}, default_scope='evilmodel', visualizer={'_scope_': 'evilmodel'}
    )
    assert MIQAModel(weights=path).assess(photo()) == MIQAModel(weights='best.pth').assess(photo())


@pytest.mark.parametrize('text', [
    'a = ' + '[' * 10_000 + ']' * 10_000, 'a = ' + '(' * 90 + '1' + ')' * 90 + ' + 1', 'a = ' + '-' * 100_000 + '1',
    'a = ' + 'not ' * 100_000 + '1', 'a = ' + 'b.' * 100_000 + 'c', 'a = ' + 'dict(a=' * 5_000 + '1' + ')' * 5_000,
    "a = f\"{__import__('os').mkdir('OWNED')}\"", 'a = lambda: 0', 'a = 1 if 1 else 2', 'a = {[]: 1}', 'a = {{}}',
    "a = -'x'", 'a = 9' + '0' * 10_000, 'a = "\\N{BULLET" ', 'a = 1\0', '  a = 1', 'a = (1', 'a = "x' * 3, 'import os',
    'a: int = 1', 'a = b = 1', 'a, b = 1, 2', 'a = 1\n' * 200_000, 'class A: pass', 'a = [*b]', 'a = dict(**b)',
    'a = {**b}', '\ud800 = 1',
], ids=range(28))  # fmt: skip
def test_a_text_that_is_not_a_config_is_refused_at_once(trap, text):
    started = time.process_time()
    refused(ValueError, 'x.pth', read_config_text, text, 'x.pth')
    assert time.process_time() - started < 5


def test_a_network_larger_than_its_weights_is_not_built(trap):
    write_run(trap / 'best.pth', VIT)
    state = torch.load(trap / 'best.pth', weights_only=True)['state_dict']
    ask = {'type': 'TimmRegressor', 'model_name': 'vit_giant_patch14_dinov2'}
    width = {**VIT, 'options': {'img_size': 2048, 'patch_size': 1, 'embed_dim': 16384, 'num_heads': 1}}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for network in (ask, width):
        started = time.process_time()
        with pytest.raises(CheckpointError, match='much larger than the weights'):
            ModelSpec('x', None, None, network, views_of(), 72).build(state, 'x')
        assert time.process_time() - started < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1.5e6  # kB


def test_the_config_in_a_run_folder_is_parsed_and_not_run(trap):
    (trap / 'run').mkdir()
    (trap / 'run' / 'config.py').write_text("open('OWNED', 'w')\ntask = 'det'\n")
    refused(ValueError, 'more than values', RunFolder(trap / 'run').config)
    (trap / 'run' / 'config.py').write_text("task = 'det'\ncustom_imports = dict(imports=['evilmodel'])\n")
    assert RunFolder(trap / 'run').config()['task'] == 'det'


class OfTheUser(nn.Module):
    """As in the README: a network of the user's own, which says nothing on what weights may set."""

    def __init__(self, width=8, act='relu', pretrained=True, layers=None):
        super().__init__()
        self.pretrained = pretrained
        self.seen = layers
        self.layers = nn.Sequential(nn.Conv2d(3, width, 7, stride=4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.score = nn.Linear(width, 1)

    def forward(self, inputs):
        return self.score(self.layers(inputs['image'])).squeeze(1)


class Declaring(OfTheUser):
    foreign_options = {'width': Whole(1, 64)}


@pytest.fixture
def registered():
    for kind in (OfTheUser, Declaring):
        MODELS.register_module(module=kind)
    yield
    for kind in (OfTheUser, Declaring):
        MODELS.module_dict.pop(kind.__name__)


def test_a_network_of_the_users_own_loads_where_it_is_registered(trap, registered):
    write_run(trap / 'best.pth', {'type': 'OfTheUser', 'width': 5, 'layers': [{'kind': 'conv', 'kernel': 3}]})
    model = MIQAModel(weights='best.pth')
    assert 0 <= abs(model.assess(photo())) < 1e3
    network = model.runtime.module.network
    assert network.pretrained is False and network.seen == [{'kind': 'conv', 'kernel': 3}]
    MODELS.module_dict.pop('OfTheUser')
    try:
        refused(ValueError, 'must be registered', MIQAModel, weights='best.pth')
    finally:
        MODELS.register_module(module=OfTheUser)


@pytest.mark.parametrize(('options', 'message'), [
    ({'type': 'OfTheUser', 'act': '/etc/passwd'}, 'short text'),
    ({'type': 'OfTheUser', 'act': 'http://x'}, 'short text'),
    ({'type': 'OfTheUser', 'layers': [{'type': 'evilmodel.Thing'}]}, "'type'"),
    ({'type': 'OfTheUser', 'layers': {'_scope_': 'evilmodel'}}, '_scope_'),
    ({'type': 'OfTheUser', 'layers': DEEP}, 'plain data'), ({'type': 'OfTheUser', 'width': 10**30}, 'whole number'),
    ({'type': 'OfTheUser', 'width': 10**9}, 'much larger than the weights'),
    ({'type': 'OfTheUser', 'nonsense': 1}, 'cannot be built'), ({'type': 'Declaring', 'width': 65}, 'from 1 to 64'),
    ({'type': 'Declaring', 'act': 'relu'}, 'has no option'),
])  # fmt: skip
def test_options_of_a_users_own_network_are_plain_data_or_what_it_declares(trap, registered, options, message):
    refused(ValueError, message, ModelSpec('x', None, None, options, views_of(), 72).build, {}, 'x')


@pytest.mark.parametrize(('value', 'message'), [
    (5000, 'img_size must be a whole number from 1 to 2048, not 5000'),
    (0, 'img_size must be a whole number from 1 to 2048, not 0'),
    ('x', 'img_size must be a whole number from 1 to 2048'),
    ([224, 224, 224], 'img_size must be a list of at most 2 entries'),
    ([224, 5000], r'img_size\[1\] must be a whole number from 1 to 2048, not 5000'),
])  # fmt: skip
def test_errors_name_the_range_of_a_number_and_the_wrong_item_of_a_list(value, message):
    from miqa.outside.checked_values import Either, Several, Whole

    refused(ValueError, message, Either((Whole(1, 2048), Several(Whole(1, 2048), 2))).checked, value, 'img_size')
