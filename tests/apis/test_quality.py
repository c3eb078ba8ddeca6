"""Words for scores, thresholds that keep accuracy, and the gate."""

import numpy as np
import pytest
from helpers_apis import write_photos
from helpers_refusals import refused

from miqa.apis import Thresholds, fit_thresholds, quality_of
from miqa.apis.gate import choose, deliver


def brute_force(scores, accuracy, target):
    """The lowest score at or above which the mean accuracy reaches the target."""
    fit = [
        score for score in scores if np.mean([a for s, a in zip(scores, accuracy, strict=True) if s >= score]) >= target
    ]
    return min(fit)


@pytest.mark.parametrize('seed', range(5))
def test_fitted_thresholds_keep_the_wanted_share_of_accuracy(seed):
    rng = np.random.default_rng(seed)
    scores = rng.random(300).round(2)
    accuracy = (rng.random(300) < scores).astype(float)
    clean = accuracy[scores > 0.9].mean()
    result = fit_thresholds(scores, accuracy, high=0.9, medium=0.6, clean_accuracy=clean)
    assert result.high == brute_force(scores, accuracy, 0.9 * clean)
    assert result.medium == brute_force(scores, accuracy, 0.6 * clean)
    assert accuracy[scores >= result.high].mean() >= 0.9 * clean


def test_thresholds_that_cannot_be_reached_are_refused():
    refused(ValueError, 'No threshold keeps 0.95', fit_thresholds, [0.1, 0.5, 0.9], [0.2, 0.2, 0.2], clean_accuracy=1.0)
    refused(ValueError, '0 < medium <= high <= 1', fit_thresholds, [0.1], [1.0], high=0.5, medium=0.7)
    refused(ValueError, '2 scores, 1 accuracies', fit_thresholds, [0.1, 0.2], [1.0])
    refused(ValueError, 'finite', fit_thresholds, [np.nan], [1.0])


def test_a_score_at_a_threshold_has_the_better_word():
    edges = Thresholds(0.7, 0.4)
    assert [quality_of(score, edges) for score in (0.7, 0.699, 0.4, 0.399, -1, 2)] == [
        'high', 'medium', 'medium', 'low', 'low', 'high',
    ]  # fmt: skip
    refused(ValueError, 'not a number', quality_of, float('nan'))


def test_the_gate_keeps_the_best_share_or_all_above_a_threshold():
    scores = [0.3, 0.9, 0.5, 0.5, 0.1]
    assert choose(scores, keep=0.4).tolist() == [False, True, True, False, False]
    assert choose(scores, keep=1).all()
    assert choose(scores, threshold=0.5).tolist() == [False, True, True, True, False]
    assert choose([], threshold=0.5).tolist() == []
    for wrong in ({}, {'keep': 0.5, 'threshold': 0.5}, {'keep': 0}, {'keep': 1.2}):
        refused(ValueError, 'share', choose, scores, **wrong)
    refused(ValueError, 'finite', choose, [np.nan], keep=0.5)


@pytest.mark.parametrize('mode', ['copy', 'link', 'hardlink'])
def test_delivery_keeps_names_and_repeats_harmlessly(tmp_path, mode):
    images = write_photos(tmp_path / 'in' / 'a', 2) + write_photos(tmp_path / 'in' / 'b', 1)
    before = {path: path.read_bytes() for path in (tmp_path / 'in').rglob('*.png')}
    assert deliver(images, tmp_path / 'in', tmp_path / 'out', mode) == 3
    assert deliver(images, tmp_path / 'in', tmp_path / 'out', mode) == 0
    result = {path.relative_to(tmp_path / 'out').as_posix(): path for path in (tmp_path / 'out').rglob('*.png')}
    assert sorted(result) == ['a/000.png', 'a/001.png', 'b/000.png']
    assert all(path.is_symlink() == (mode == 'link') for path in result.values())
    assert {path: path.read_bytes() for path in (tmp_path / 'in').rglob('*.png')} == before
    assert result['a/001.png'].read_bytes() == before[tmp_path / 'in' / 'a' / '001.png']


def test_delivery_overwrites_nothing_and_never_into_its_own_source(tmp_path):
    images = write_photos(tmp_path / 'in', 1)
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / '000.png').write_text('mine')
    refused(FileExistsError, 'another file', deliver, images, tmp_path / 'in', tmp_path / 'out')
    assert (tmp_path / 'out' / '000.png').read_text() == 'mine'
    for inside in (tmp_path / 'in', tmp_path / 'in' / 'good'):
        refused(ValueError, 'lies in the input folder', deliver, images, tmp_path / 'in', inside)
    refused(ValueError, 'Unknown mode', deliver, images, tmp_path / 'in', tmp_path / 'new', 'move')
