"""Every machine that a config lists exists under that name, with the published accuracy as weight."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import timm
import torch
from helpers_refusals import refused
from torchvision import models

from miqa.engine.experiment import load_config
from miqa.machines import (
    TimmClassifier,
    TorchvisionMachine,
    build_machine,
    load_machine_configs,
    machine_configs_of,
    machine_name,
)
from miqa.outside.checkpoint_files import CheckpointError

FOLDER = Path(__file__).parents[2] / 'configs/machines'
CONFIGS = sorted(FOLDER.glob('*.py'))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_a_config_lists_machines_of_its_task_with_positive_weights(path):
    machines = load_machine_configs(path)
    assert all(machine['weight'] > 0 for machine in machines)
    assert all(machine.get('task', 'cls') == path.stem.split('_')[0] for machine in machines)


def test_the_lists_have_as_many_machines_as_the_papers():
    assert [len(load_machine_configs(FOLDER / f'{task}_paper.py')) for task in ('cls', 'det', 'ins')] == [40, 20, 15]


def test_every_classifier_has_pretrained_weights_in_timm():
    known = set(timm.list_pretrained())
    names = [machine['model'] for machine in load_machine_configs(FOLDER / 'cls_paper.py')]
    assert [name for name in names if name not in known] == []
    assert {name.split('.')[0] for name in names} <= set(timm.list_models())


@pytest.mark.parametrize(
    ('task', 'figure'), [('cls', 'acc@1'), ('det', 'box_map'), ('ins', 'mask_map'), ('seg', 'miou')]
)
def test_every_model_of_torchvision_has_its_weights_and_their_published_accuracy(task, figure):
    for machine in load_machine_configs(FOLDER / f'{task}_torchvision.py'):
        weights = models.get_model_weights(machine['model'])[machine['weights']]
        assert {machine['weight']} == {
            figures[figure] for figures in weights.meta['_metrics'].values() if figure in figures
        }


@pytest.mark.machines
@pytest.mark.skipif(find_spec('mmdet') is None, reason='MMDetection is missing: bash tools/install_machines.sh')
@pytest.mark.parametrize(('config', 'metric'), [('det', 'box_ap'), ('ins', 'mask_ap')])
def test_every_detector_is_in_the_zoo_with_weights_and_the_published_ap(config, metric):
    from miqa.machines.openmmlab_zoo import zoo_model

    for name in (f'{config}_paper.py', f'{config}_rtmdet_tiny.py'):
        for machine in load_machine_configs(FOLDER / name):
            model = zoo_model(machine['config'])
            assert model.config.is_file() and model.weights.startswith('https://')
            assert machine['weight'] == getattr(model, metric)


def test_the_packaged_classifiers_are_built_from_their_config():
    (config, *_) = load_machine_configs(FOLDER / 'cls_efficientnet_lite.py', ['tf_efficientnet_lite0'])
    machine = build_machine(config)
    assert (machine.name, machine.task, machine.weight) == (machine_name(config), 'cls', 74.83)


def test_what_is_wrong_with_a_config_is_said(tmp_path):
    path = tmp_path / 'c.py'
    refused(FileNotFoundError, r'c\.py', load_machine_configs, path)
    path.write_text('x = 1')
    refused(ValueError, 'must define machines', load_machine_configs, path)
    path.write_text("machines = [dict(type='T', model='a'), dict(type='T', model='a')]")
    refused(ValueError, 'lists a twice', load_machine_configs, path)
    path.write_text("machines = [dict(type='T', model='a')]")
    refused(ValueError, 'no machine b. It has: a', load_machine_configs, path, ['b'])


@pytest.mark.parametrize('device', ['cuda:77', 'nonsense'])
def test_a_device_that_is_not_there_is_said_in_a_sentence(device):
    config = {'type': 'TorchvisionMachine', 'model': 'resnet18', 'weights': None}
    for place in (({**config, 'device': device},), (config, device)):
        refused(ValueError, rf'{device}', build_machine, *place)


@pytest.mark.parametrize(('config', 'message'), [
    ({'model': 'resnet18'}, "no type.*Say type='TorchvisionMachine'"),
    ({'type': 'TimmClassifier', 'modell': 'resnet18'}, "no option 'modell'. Did you mean 'model'"),
    ({'type': 'TimmClassifier', 'weight': 3}, 'needs model='),
    ({'type': 'OnnxMachine', 'files': 'a.onnx'}, "no option 'files'. Did you mean 'file'"),
    ({'type': 'TorchvisionMachine', 'model': 'resnet18', 'weights': None, 'classes': []}, 'list of names'),
    ({'type': 'TorchvisionMachine', 'model': 'resnet18', 'weights': None, 'classes': 'cat'}, 'list of names'),
    ({'type': 'TimmClassifier', 'model': 'resnet10t', 'weights': None, 'num_classes': 0}, 'at least 1'),
    ({'type': 'TimmClassifier', 'model': 'resnet50.none'}, r'Invalid pretrained tag.*resnet50\.a1_in1k'),
])  # fmt: skip
def test_a_wrong_key_of_a_machine_is_said_in_a_sentence(config, message):
    refused(ValueError, message, build_machine, config)


@pytest.mark.parametrize(('options', 'message'), [
    ({'options': {'box_score_tresh': 0.1}}, "no option 'box_score_tresh'"),
    ({'options': {'topk_candidate': 3}}, "Did you mean 'topk_candidates'"),
    ({'transforms': {'size': 3}}, 'transforms cannot be changed'),
])  # fmt: skip
def test_an_option_that_torchvision_would_swallow_is_refused(options, message):
    refused(ValueError, message, TorchvisionMachine, 'ssdlite320_mobilenet_v3_large', weights=None, **options)


@pytest.mark.parametrize(('text', 'message'), [
    ("machines = [dict(type='X'", 'line 1 is not Python'),
    ("machines = [dict(type='X', model=true)]", "NameError: name 'true'"),
    ("machines = dict(type='X', model='a')", 'must define machines'), ("machines = ['a']", 'must define machines'),
    ('machines = 5', 'must define machines'),
])  # fmt: skip
def test_a_config_that_cannot_be_used_is_said_in_a_sentence(tmp_path, text, message):
    (tmp_path / 'c.py').write_text(text)
    refused(ValueError, message, load_machine_configs, tmp_path / 'c.py')


def test_a_config_that_builds_on_a_missing_one_says_which_and_where_it_was_looked_for(tmp_path):
    (tmp_path / 'c.py').write_text("_base_ = ['../other.py']")
    for read in (load_machine_configs, load_config):
        refused(FileNotFoundError, r'c.py builds on .*other\.py.*relative to the file', read, tmp_path / 'c.py')


def test_a_word_that_names_no_machine_gets_the_nearest_and_what_may_be_named():
    with pytest.raises(ValueError, match="Did you mean 'fasterrcnn_resnet50_fpn'") as caught:
        machine_configs_of(['fasterrcnn_resnet50'], 'det')
    assert 'a config (.py)' in str(caught.value) and len(str(caught.value)) < 500
    refused(ValueError, "Did you mean 'vit_base_patch16_224'", machine_configs_of, ['vit_base_patch16_244'], 'cls')


@pytest.mark.parametrize('content', [b'abc', b'', None])
def test_a_checkpoint_of_another_network_or_none_at_all_is_said_in_a_sentence(tmp_path, content):
    path = tmp_path / 'w.pth'
    if content is None:
        torch.save(timm.create_model('resnet10t', num_classes=5).state_dict(), path)
    else:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r'w\.pth cannot be loaded into resnet10t'):
        TimmClassifier('resnet10t', weights=str(path), num_classes=7)


def test_weights_that_cannot_be_fetched_are_said_with_the_remedy(monkeypatch):
    monkeypatch.setattr('miqa.outside.hub._unreachable', lambda address: 'no route')
    refused(ConnectionError, "resnet10t cannot be fetched.*no route.*weights='FILE'", TimmClassifier, 'resnet10t')
