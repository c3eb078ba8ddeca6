"""Three answers at once: equal to the single ones, and what is equal runs once."""

import numpy as np
import pytest
import torch
from helpers_apis import CNN, write_ra_miqa, write_run
from helpers_refusals import refused

from miqa.apis import MIQAModel, MultiTaskModel

TASKS = ('cls', 'det', 'ins')


@pytest.fixture
def pictures():
    rng, sizes = np.random.default_rng(0), ((60, 80), (90, 60), (70, 70), (50, 99))
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


@pytest.fixture
def weights(tmp_path):
    """Three RA-MIQA with the same frozen encoder and other heads, as the released ones are."""
    paths, shared = {task: tmp_path / f'{task}.pth' for task in TASKS}, {}
    for seed, (task, path) in enumerate(paths.items()):
        write_ra_miqa(path, seed=seed, task=task)
        checkpoint = torch.load(path, weights_only=False)
        state = checkpoint['state_dict']
        shared = shared or {key: value for key, value in state.items() if '.mask_encoder.' in key}
        state.update(shared)
        torch.save(checkpoint, path)
    return paths


def single(weights, pictures, **options):
    return {task: MIQAModel(path, device='cpu', **options).assess(pictures) for task, path in weights.items()}


@pytest.mark.parametrize('coverage', ['center', 'whole'])
def test_three_scores_are_those_of_three_models(weights, pictures, coverage):
    model = MIQAModel(task=TASKS, weights=weights, device='cpu', batch_size=3, coverage=coverage)
    assert isinstance(model, MultiTaskModel) and model.tasks == TASKS
    alone = single(weights, pictures, coverage=coverage)
    together = model.assess(pictures)
    for number, scores in enumerate(together):
        assert list(scores) == list(TASKS)
        for task in TASKS:
            assert scores[task] == pytest.approx(alone[task][number], abs=1e-5)
    assert model.assess(pictures[0]) == pytest.approx(together[0], abs=1e-5)
    assert len({round(score, 4) for score in together[0].values()}) == 3


def test_an_equal_frozen_encoder_runs_once_a_batch_and_another_one_by_itself(weights, pictures, monkeypatch):
    model = MIQAModel(task=TASKS, weights=weights, device='cpu', batch_size=4)
    calls = []
    kind = type(next(iter(model.models.values())).runtime.module.network.region_encoder)
    encode = kind.encode
    monkeypatch.setattr(kind, 'encode', lambda self, x: (calls.append(len(x)), encode(self, x))[1])
    model.assess(pictures)
    assert calls == [4]
    checkpoint = torch.load(weights['ins'], weights_only=False)
    key = next(key for key in checkpoint['state_dict'] if '.mask_encoder.' in key and key.endswith('weight'))
    checkpoint['state_dict'][key] += 0.1
    torch.save(checkpoint, weights['ins'])
    calls.clear()
    other = MIQAModel(task=TASKS, weights=weights, device='cpu', batch_size=4)
    scores = other.assess(pictures)
    assert calls == [4, 4]
    alone = single(weights, pictures)
    assert scores[1]['ins'] == pytest.approx(alone['ins'][1], abs=1e-5)


def test_pictures_are_decoded_once_for_models_that_prepare_alike(tmp_path, weights, pictures, monkeypatch):
    write_run(tmp_path / 'cnn.pth', CNN, task='det')
    weights = {'cls': weights['cls'], 'ins': weights['ins'], 'det': tmp_path / 'cnn.pth'}
    model = MIQAModel(task=('cls', 'det', 'ins'), weights=weights, device='cpu')
    seen = []
    prepare = type(model.models['cls'].prepare)
    views = prepare.views
    monkeypatch.setattr(prepare, 'views', lambda self, *args: (seen.append(self.size), views(self, *args))[1])
    scores = model.assess(pictures[0])
    assert sorted(seen) == [48, 64]
    assert list(scores) == ['cls', 'det', 'ins']
    assert scores['det'] == pytest.approx(MIQAModel(tmp_path / 'cnn.pth', device='cpu').assess(pictures[0]), abs=1e-5)


def test_a_broken_picture_among_many_is_an_error_of_its_own(weights, pictures, tmp_path):
    (tmp_path / 'broken.jpg').write_bytes(b'no picture')
    model = MIQAModel(task=TASKS, weights=weights, device='cpu')
    result = list(model.assess_all([pictures[0], str(tmp_path / 'broken.jpg'), pictures[1]]))
    assert result[1].scores is None and 'broken.jpg' in str(result[1].error)
    assert [one.error for one in (result[0], result[2])] == [None, None]


def test_weights_that_do_not_fit_the_tasks_are_refused(weights):
    refused(ValueError, 'one file for each of cls, det', MIQAModel, task=('cls', 'det'), weights=weights['cls'])
    refused(ValueError, 'names no task', MIQAModel, task=())
    with pytest.raises(ValueError, match='is a model of task det'):
        MIQAModel(task=('cls', 'ins'), weights={'cls': weights['det'], 'ins': weights['ins']})
