"""Whatever a config that comes with weights says, it is a sentence, or a network of ours that its weights fill."""

import contextlib
import socket
import time

import pytest
import torch
from helpers_apis import VIT, views_of, write_run
from helpers_fuzz import examples
from hypothesis import given
from hypothesis import strategies as st

from miqa.apis.spec import ModelSpec
from miqa.models.parts.foreign_configs import checked_network
from miqa.outside.checked_values import Options, Part
from miqa.outside.config_text import read_config_text
from miqa.registry import MODELS

bounded = examples(40)

#: Every class that a config may name, every option of each, and what attackers would like to be one.
KEYS = sorted(
    {'type', '_scope_', '_delete_', 'custom_imports', 'checkpoint_path', 'pretrained_cfg', 'init_cfg', '__class__'}
    | {name for kind in MODELS.module_dict.values() for name in getattr(kind, 'foreign_options', {})}
    | {'img_size', 'depth', 'embed_dim', 'num_heads', 'act_layer', 'norm_layer', 'cache_dir'}
)
texts = st.sampled_from(
    [*MODELS.module_dict, 'os.system', 'evilmodel.Thing', 'hf-hub:a/b', 'local-dir:/etc', '/etc/passwd', 'resnet18']
    + ['fasterrcnn_resnet50_fpn', 'vit_tiny_patch16_224', 'http://127.0.0.1:9/x.pth', '']
)
numbers = st.integers(-3, 40) | st.sampled_from([10**9, 10**30, -1, 0, 2**31]) | st.floats()
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=15,
)


@pytest.fixture(autouse=True)
def closed(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError('the network was asked')

    monkeypatch.setattr(socket.socket, 'connect', refuse)
    monkeypatch.setattr(socket, 'getaddrinfo', refuse)


@pytest.fixture(scope='module')
def state(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    write_run(folder / 'best.pth', VIT)
    return torch.load(folder / 'best.pth', weights_only=True)['state_dict']


def build(network, state):
    started = time.process_time()
    try:
        model = ModelSpec('x', None, None, network, views_of(), 72).build(state, 'x.pth')
    except ValueError as error:
        assert 'x.pth' in str(error) and '\n' not in str(error)
    else:
        # Every weight of the file is in the network, and no other.
        filled = model.state_dict()
        assert filled.keys() == state.keys()
        assert all(torch.equal(filled[name], value) for name, value in state.items())
    finally:
        assert time.process_time() - started < 60


@bounded
@given(network=values)
def test_networks_of_any_shape(state, network):
    build(network, state)


def options_of(kind):
    """Configs of a class with the options that it lists, most of them of the right type."""
    near = {}
    for name, option in getattr(kind, 'foreign_options', {}).items():
        if isinstance(option, Part):
            near[name] = st.sampled_from(
                [{'type': key} for key, item in MODELS.module_dict.items() if hasattr(item, 'foreign_options')]
            )
        elif isinstance(option, Options):
            near[name] = st.dictionaries(st.sampled_from(list(option.kinds)), numbers | st.booleans(), max_size=3)
        else:
            near[name] = numbers | texts
    return st.fixed_dictionaries({'type': st.just(kind.__name__)}, optional=near)


networks = st.one_of([options_of(kind) for kind in MODELS.module_dict.values() if hasattr(kind, 'foreign_options')])


@bounded
@given(network=networks)
def test_networks_of_listed_options(state, network):
    build(network, state)


@bounded
@given(network=networks)
def test_what_has_been_checked_names_no_weights_and_passes_again(network):
    try:
        made = checked_network(network, 'x.pth')
    except ValueError:
        return
    assert checked_network(made, 'x.pth') == made

    def walk(node):
        if isinstance(node, dict):
            assert not node.get('pretrained') and not node.get('weights')
            list(map(walk, node.values()))

    walk(made)


@bounded
@given(text=st.text(alphabet='ab=()[]{}:,.-+*"\'\n 01\\#@;dict', max_size=80) | st.text(max_size=60))
def test_texts_of_configs(text):
    try:
        assert isinstance(read_config_text(text, 'x.pth'), dict)
    except ValueError as error:
        assert 'x.pth' in str(error)


@bounded
@given(value=values)
def test_specs_and_training_configs(value):
    whole = {'method': 'x', 'task': 'det', 'label': None, 'network': VIT, 'views': views_of(), 'short_side': 72}
    for data in ({**whole, key: value} for key in whole):
        with contextlib.suppress(ValueError):
            ModelSpec.from_dict(data, 'x.pth')
    for config in (value, {'model': value}, {'model': {'network': VIT, 'data_preprocessor': value}}):
        try:
            ModelSpec.from_config(config, 'x.pth')
        except ValueError as error:
            assert 'x.pth' in str(error)
