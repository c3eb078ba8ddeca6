"""Weights travel back: an exported .pth.tar is what the authors' scripts load."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_apis import photo, views_of, write_ra_miqa, write_run
from helpers_models import released_shapes, released_tensors
from helpers_refusals import refused

from machine_iqa import MIQAModel
from miqa.apis.methods import METHODS
from miqa.cli.main import main

KEYS = Path(__file__).parents[3] / 'shared' / 'reference' / 'released_checkpoint_keys.json'


@pytest.fixture(params=['ra_miqa', 'resnet18', 'vit_small_patch16_224'])
def released(request, tmp_path):
    path = tmp_path / f'miqa_{request.param}_det_accuracy_metric.pth.tar'
    torch.save({'epoch': 3, 'state_dict': released_tensors(request.param)}, path)
    return request.param, path


def test_a_released_file_comes_out_as_it_went_in(released, tmp_path):
    method, path = released
    out = tmp_path / 'out' / path.name
    assert not main(['export', str(out), '--model', str(path)])
    written = torch.load(out, weights_only=True)
    assert {name: tuple(tensor.shape) for name, tensor in written['state_dict'].items()} == released_shapes(method)
    before = torch.load(path, weights_only=True)['state_dict']
    assert list(written['state_dict']) == list(before) or set(written['state_dict']) == set(before)
    assert all(torch.equal(written['state_dict'][name], tensor) for name, tensor in before.items())
    assert written['arch'] == method and set(written) == {'epoch', 'arch', 'state_dict', 'best_srcc'}
    second = MIQAModel(weights=out)
    assert (second.spec.task, second.spec.label) == ('det', 'accuracy')


@pytest.mark.skipif(not KEYS.is_file(), reason='the list of released tensors is only where MIQA is developed')
@pytest.mark.parametrize('method', ['ra_miqa', 'resnet18', 'resnet50', 'vit_small_patch16_224'])
def test_names_and_shapes_are_those_of_the_released_files(method):
    listed = json.loads(KEYS.read_text())[method]
    assert {name: list(shape) for name, shape in released_shapes(method).items()} == listed


def test_a_run_of_ones_own_gives_the_same_scores_from_the_authors_format(tmp_path):
    method = METHODS['resnet18']
    write_run(tmp_path / 'best.pth', method.network, dict(method.views), 288)
    model = MIQAModel(weights=tmp_path / 'best.pth')
    out = model.export(tmp_path / 'mine.pth.tar')
    assert MIQAModel(weights=out).assess(photo(400, 300)) == pytest.approx(model.assess(photo(400, 300)), abs=1e-6)
    # Plain torchvision with one output, which is what the authors' scripts build.
    import torchvision

    plain = torchvision.models.resnet18()
    plain.fc = torch.nn.Linear(512, 1)
    plain.load_state_dict(torch.load(out, weights_only=True)['state_dict'], strict=True)
    assert np.isfinite(plain.eval()(torch.zeros(1, 3, 224, 224)).item())


def test_what_their_scripts_would_feed_otherwise_is_refused(tmp_path):
    write_run(tmp_path / 'small.pth', METHODS['resnet18'].network, views_of(64), 72)
    with pytest.raises(ValueError, match='its scores there would be wrong'):
        MIQAModel(weights=tmp_path / 'small.pth').export(tmp_path / 'x.pth.tar')
    write_ra_miqa(tmp_path / 'tiny.pth')
    refused(ValueError, '', MIQAModel(weights=tmp_path / 'tiny.pth').export, tmp_path / 'x.pth.tar')
    write_run(tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='none of the released methods'):
        MIQAModel(weights=tmp_path / 'other.pth').export(tmp_path / 'x.pth.tar')
    assert not list(tmp_path.glob('*.pth.tar'))


def test_a_name_that_says_something_else_is_refused(released, tmp_path):
    method, path = released
    wrong = tmp_path / f'miqa_{method}_cls_accuracy_metric.pth.tar'
    refused(ValueError, 'says task cls, but the model is of task det', MIQAModel(weights=path).export, wrong)
    assert not wrong.exists()
