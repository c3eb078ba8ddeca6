"""The zoo: the one table of names, and what happens at first use."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest
import torch
from helpers_apis import photo, write_ra_miqa, write_run
from helpers_refusals import refused
from helpers_serving import web_server
from mmengine.config import Config

from machine_iqa import MIQAModel, list_models
from miqa.apis import register_demo, zoo
from miqa.apis.methods import METHODS, SHORT_SIDE, method_name
from miqa.apis.zoo.catalogue import fetch, find
from miqa.models import CheckpointError, WeightsUnavailable, parse_released_name
from miqa.models.parts.checkpoints import RELEASED_METHODS
from miqa.outside.config_text import read_config_text

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.fixture(autouse=True)
def empty_home(tmp_path, monkeypatch):
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    monkeypatch.delenv('MIQA_MIRROR', raising=False)


def test_the_43_released_files_are_all_there():
    entries = zoo.entries()
    assert len(entries) == 43
    assert len({entry.google_drive_id for entry in entries}) == 43
    for entry in entries:
        name = parse_released_name(entry.file_name)
        assert (RELEASED_METHODS[name.method], name.task, name.label) == (entry.method, entry.task, entry.label)
    counts = Counter((entry.label, entry.task) for entry in entries)
    for label, numbers in (('composite', [6, 6, 6]), ('consistency', [5, 4, 4]), ('accuracy', [4, 4, 4])):
        assert [counts[label, task] for task in ('cls', 'det', 'ins')] == numbers


def test_published_figures_are_those_of_the_papers_tables():
    figures = {(entry.method, entry.task, entry.label): (entry.srcc, entry.plcc) for entry in zoo.entries()}
    assert figures['ra_miqa', 'cls', 'composite'] == (0.7003, 0.6989)
    assert figures['vit_small', 'ins', 'composite'] == (0.7968, 0.8139)
    assert figures['resnet50', 'det', 'composite'] == (0.7743, 0.7925)
    # The one file that was released without a row in the paper's tables.
    assert [key for key, values in figures.items() if None in values] == [('resnet18', 'cls', 'consistency')]


def test_the_list_can_be_narrowed_and_is_best_first():
    result = list_models(task='det', label='composite')
    assert [entry.method for entry in result][:2] == ['ra_miqa', 'vit_small']
    assert [entry.srcc for entry in result] == sorted((entry.srcc for entry in result), reverse=True)
    assert {entry.method for entry in list_models(method='ResNet-50')} == {'resnet50'}
    refused(ValueError, "Unknown task 'seg'", list_models, task='seg')
    with pytest.raises(ValueError, match='no released weights of resnet18 for det/accuracy; there are cls/composite'):
        find('resnet18', 'det', 'accuracy')


@pytest.mark.parametrize('name', METHODS)
def test_methods_are_built_and_fed_as_their_configs_say(name):
    config = Config.fromfile(CONFIGS / f'{name}_cls.py')
    method, model = METHODS[name], config.model.to_dict()

    def without_weights(network):
        return {
            key: without_weights(value) if isinstance(value, dict) else value
            for key, value in network.items()
            if key not in ('pretrained', 'weights', 'pos_embed_order')
        }

    assert without_weights(method.network) == without_weights(model['network'])
    assert method.views == model['data_preprocessor']['views']
    resize = next(step for step in config.test_dataloader.dataset.pipeline if step.type == 'ResizeShortSide')
    assert resize.size == SHORT_SIDE
    assert method_name(method.title) == method_name(method.released) == name


@pytest.mark.parametrize(
    'path', [*sorted(CONFIGS.glob('*_cls.py')), *sorted(CONFIGS.glob('mini/*.py'))], ids=lambda path: path.stem
)
def test_every_config_can_be_read_from_its_text_without_running_it(path):
    text = Config.fromfile(path).pretty_text
    assert read_config_text(text) == Config.fromstring(text, '.py').to_dict()


def test_keys_that_are_not_python_names_are_read_too():
    values = {'rates': {'network.backbone': 0.003, 'x': {1: (-2, None)}}, 'odd': [True, {'a b': {}}], 'task': 'cls'}
    assert read_config_text(Config(values).pretty_text) == values


def test_without_a_connection_a_sentence_says_which_file_to_put_where(monkeypatch, tmp_path):
    monkeypatch.setenv('MIQA_MIRROR', 'http://127.0.0.1:9/miqa')
    caught = refused(WeightsUnavailable, '', MIQAModel, 'ra-miqa', task='det')
    message = str(caught)
    assert str(tmp_path / 'home' / 'miqa_ra_miqa_det_composite_metric.pth.tar') in message
    assert '1zUcrPOvvYd4rquAm1Wilnh03d8Hj1EDe' in message
    assert 'MIQA_MIRROR' in message and '--weights' in message and '--model demo' in message


def test_a_web_page_in_place_of_the_file_is_not_kept(monkeypatch, tmp_path):
    def quota(handler):
        handler.send_response(200)
        handler.send_header('Content-Type', 'text/html; charset=utf-8')
        handler.end_headers()
        handler.wfile.write(b'<html>Too many users have viewed or downloaded this file recently</html>')

    with web_server(quota) as (host, _):
        monkeypatch.setattr(zoo.ZooEntry, 'url', property(lambda _: f'http://{host}/file'))
        refused(WeightsUnavailable, 'a web page came instead', fetch, find('resnet18', 'cls', 'composite'))
    assert not find('resnet18', 'cls', 'composite').path.exists()


@pytest.mark.parametrize('as_url', [False, True])
def test_a_mirror_is_used_once_and_then_no_more(monkeypatch, tmp_path, as_url):
    import torchvision
    from torch import nn

    mirror = tmp_path / 'mirror'
    mirror.mkdir()
    plain = torchvision.models.resnet18()
    plain.fc = nn.Linear(512, 1)
    file = mirror / 'miqa_resnet18_cls_consistency_metric.pth.tar'
    torch.save({'state_dict': plain.state_dict()}, file)
    monkeypatch.setenv('MIQA_MIRROR', mirror.as_uri() if as_url else str(mirror))
    first = MIQAModel('resnet18', label='consistency')
    assert (first.spec.method, first.spec.task, first.spec.label) == ('resnet18', 'cls', 'consistency')
    file.unlink()
    second = MIQAModel('resnet-18', label='consistency')
    assert second.assess(photo()) == first.assess(photo())
    assert hashlib.sha256(Path(second.source).read_bytes()).hexdigest()[:12] in second.identity


def test_a_file_that_is_not_the_known_one_is_not_kept(monkeypatch, tmp_path):
    import dataclasses

    entry = dataclasses.replace(find('resnet18', 'cls', 'composite'), sha256='0' * 64)
    (tmp_path / entry.file_name).write_bytes(b'PK something else')
    refused(WeightsUnavailable, 'SHA-256', fetch, entry, mirror=str(tmp_path))
    assert not entry.path.exists()


def test_the_demo_model_is_what_the_quickstart_registers(tmp_path):
    refused(WeightsUnavailable, r'bash tools/quickstart\.sh', MIQAModel, 'demo')
    write_ra_miqa(tmp_path / 'best.pth', seed=3)
    register_demo(tmp_path / 'best.pth')
    (tmp_path / 'best.pth').rename(tmp_path / 'moved.pth')
    model = MIQAModel('demo')
    assert model.spec.method == 'ra_miqa'
    assert model.assess(photo()) == MIQAModel(weights=tmp_path / 'moved.pth').assess(photo())
    write_run(tmp_path / 'other.pth')
    register_demo(tmp_path / 'other.pth')
    assert MIQAModel('demo').spec.method == 'test_vit.r160_in1k'
    (tmp_path / 'none.pth').write_bytes(b'nothing')
    refused(CheckpointError, '', register_demo, tmp_path / 'none.pth')
    assert MIQAModel('demo').spec.method == 'test_vit.r160_in1k'
