"""Labels of classification and their average over machines, by hand-made cases and numpy."""

import numpy as np
import pytest

from miqa.labelling import Aggregation, composite, soft_consistency, summarise, top1_accuracy, top1_consistency


def test_consistency_is_agreement_with_the_clean_image_and_accuracy_with_the_truth():
    distorted, clean, truth = np.array([1, 1, 2, 3]), np.array([1, 2, 2, 3]), np.array([1, 1, 0, 0])
    assert top1_consistency(distorted, clean).tolist() == [1, 0, 1, 1]
    assert top1_accuracy(distorted, truth).tolist() == [1, 1, 0, 0]


def test_soft_consistency_is_one_minus_the_total_variation():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(9), 50), rng.dirichlet(np.ones(9), 50)
    np.testing.assert_allclose(soft_consistency(p, q), 1 - 0.5 * np.abs(p - q).sum(1), atol=1e-12)
    np.testing.assert_allclose(soft_consistency(p, p), 1)
    assert soft_consistency(np.eye(2)[:1], np.eye(2)[1:]).tolist() == [0]


def test_averages_over_machines_are_numpys():
    rng = np.random.default_rng(1)
    scores, weights = rng.random((7, 30)), rng.uniform(1, 90, 7)
    summary = summarise(scores, weights)
    np.testing.assert_allclose(summary.weighted, np.average(scores, axis=0, weights=weights))
    np.testing.assert_allclose(summary.mean, scores.mean(0))
    np.testing.assert_allclose(summary.std, scores.std(0))
    assert (summary.votes == 7).all()


def test_a_machine_that_abstains_takes_its_weight_with_it():
    scores = np.array([[1.0, np.nan, np.nan], [0.0, 0.5, np.nan]])
    summary = summarise(scores, np.array([3.0, 1.0]))
    np.testing.assert_allclose(summary.weighted, [0.75, 0.5, np.nan])
    np.testing.assert_allclose(summary.std, [0.5, 0.0, np.nan])
    assert summary.votes.tolist() == [2, 1, 0]


def test_machines_that_agree_give_exactly_one_and_no_deviation():
    summary = summarise(np.ones((40, 3)), np.linspace(69.76, 83.9, 40))
    assert (summary.weighted == 1).all() and (summary.std == 0).all()


@pytest.mark.parametrize('weight', [0, -1, float('nan')])
def test_a_weight_must_be_positive(weight):
    with pytest.raises(ValueError, match='positive'):
        Aggregation(2).add(np.ones(2), weight)


def test_composite_is_half_and_half():
    assert composite(np.array([1.0, 0.4]), np.array([0.0, 0.6])).tolist() == [0.5, 0.5]
