"""Correlations against scipy, torchmetrics and closed forms."""

import numpy as np
import pytest
import torch
import torchmetrics.functional as tm
from helpers_refusals import refused
from scipy import stats
from scipy.optimize import curve_fit

from miqa.evaluation import MAPPINGS, quality_correlations
from miqa.evaluation.mapping import fit_mapping


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    gt = rng.integers(0, 21, 600) / 20  # labels from few machines have many ties
    return np.round(gt**2 + rng.normal(0, 0.2, 600), 2), gt


def test_rank_and_linear_correlations_equal_torchmetrics(pairs):
    pred, gt = (torch.tensor(values) for values in pairs)
    scores = quality_correlations(*pairs)
    assert scores['SRCC'] == pytest.approx(tm.spearman_corrcoef(pred, gt).item(), abs=1e-6)
    assert scores['PLCC'] == pytest.approx(tm.pearson_corrcoef(pred, gt).item(), abs=1e-6)
    assert scores['KRCC'] == pytest.approx(tm.kendall_rank_corrcoef(pred, gt, variant='b').item(), abs=1e-6)


def test_kendall_equals_counting_all_pairs_with_ties():
    rng = np.random.default_rng(1)
    pred, gt = rng.integers(0, 6, 60), rng.integers(0, 4, 60)
    dp, dg = np.sign(pred[:, None] - pred), np.sign(gt[:, None] - gt)
    upper = np.triu_indices(60, 1)
    agreement = (dp * dg)[upper].sum()
    tau_b = agreement / np.sqrt((dp[upper] != 0).sum() * (dg[upper] != 0).sum())
    assert quality_correlations(pred, gt)['KRCC'] == pytest.approx(tau_b)


def test_rmse_after_the_linear_map_obeys_the_identity_of_the_published_tables(pairs):
    scores = quality_correlations(*pairs, mapping='linear')
    assert scores['RMSE'] == pytest.approx(pairs[1].std() * np.sqrt(1 - scores['PLCC'] ** 2), rel=1e-9)


def test_rmse_without_a_map_is_the_plain_error(pairs):
    pred, gt = pairs
    assert quality_correlations(pred, gt, mapping=None)['RMSE'] == pytest.approx(np.sqrt(((pred - gt) ** 2).mean()))


def test_a_perfect_monotone_prediction_has_rank_correlation_one_and_logistic_error_near_zero():
    x = np.linspace(-4, 4, 300)
    gt = 0.1 + 0.8 / (1 + np.exp(-2.5 * (x - 0.3)))
    for mapping in ('logistic4', 'logistic5'):
        scores = quality_correlations(x, gt, mapping)
        assert scores['SRCC'] == scores['KRCC'] == pytest.approx(1)
        assert scores['RMSE'] < 1e-6
        assert scores['PLCC'] > 1 - 1e-9


def test_the_sign_of_a_measure_where_lower_is_better_is_kept(pairs):
    pred, gt = pairs
    plus, minus = quality_correlations(pred, gt), quality_correlations(-pred, gt)
    for name in ('SRCC', 'PLCC', 'KRCC'):
        assert minus[name] == pytest.approx(-plus[name])
    assert minus['RMSE'] == pytest.approx(plus['RMSE'])


def test_logistic_fits_are_as_good_as_scipys_curve_fit(pairs):
    pred, gt = pairs

    def logistic4(x, b1, b2, b3, b4):
        return b2 + (b1 - b2) / (1 + np.exp(-(x - b3) / abs(b4)))

    def logistic5(x, b1, b2, b3, b4, b5):
        return b1 * (0.5 - 1 / (1 + np.exp(b2 * (x - b3)))) + b4 * x + b5

    for name, curve, start in (
        ('logistic4', logistic4, (1, 0, 0.5, 0.2)),
        ('logistic5', logistic5, (1, 5, 0.5, 0.1, 0.3)),
    ):
        coefficients, _ = curve_fit(curve, pred, gt, p0=start, maxfev=20000)
        theirs = np.sqrt(((curve(pred, *coefficients) - gt) ** 2).mean())
        assert quality_correlations(pred, gt, name)['RMSE'] <= theirs * (1 + 1e-6)


def test_the_five_parameter_map_is_never_worse_than_the_linear_one():
    rng = np.random.default_rng(2)
    for _ in range(10):
        pred = rng.normal(size=80)
        gt = rng.random(80)
        rmse = {name: quality_correlations(pred, gt, name)['RMSE'] for name in ('linear', 'logistic5')}
        assert rmse['logistic5'] <= rmse['linear'] + 1e-12


def test_a_fitted_map_applies_to_new_predictions(pairs):
    pred, gt = pairs
    slope, intercept = stats.linregress(pred, gt)[:2]
    np.testing.assert_allclose(fit_mapping(pred, gt, 'linear')([0.0, 2.0]), [intercept, intercept + 2 * slope])


def test_tensors_lists_and_columns_are_accepted(pairs):
    pred, gt = pairs
    expected = quality_correlations(pred, gt)
    assert quality_correlations(torch.tensor(pred)[:, None], torch.tensor(gt)[:, None]) == expected
    assert quality_correlations(list(pred), list(gt)) == expected


def test_a_quarter_million_pairs_equal_scipy_where_kendall_overflows_elsewhere():
    rng = np.random.default_rng(3)
    gt = rng.random(250_000)
    pred = gt + rng.normal(0, 0.5, 250_000)
    scores = quality_correlations(pred, gt)
    assert scores['SRCC'] == pytest.approx(stats.pearsonr(stats.rankdata(pred), stats.rankdata(gt)).statistic)
    # Kendall's tau of a bivariate normal-like cloud is well inside (0, 1); an overflow gives NaN or a value outside.
    sample = rng.choice(250_000, 3000, replace=False)
    assert scores['KRCC'] == pytest.approx(stats.kendalltau(pred[sample], gt[sample]).statistic, abs=0.03)


@pytest.mark.parametrize('mapping', MAPPINGS)
@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_raises_and_says_where(bad, mapping):
    values = np.arange(10.0)
    broken = values.copy()
    broken[7] = bad
    with pytest.raises(ValueError, match='1 of 10 predictions are NaN or infinite, the first at position 7'):
        quality_correlations(broken, values, mapping)
    refused(ValueError, 'labels are NaN or infinite', quality_correlations, values, broken, mapping)


def test_constants_mismatches_and_too_few_pairs_raise():
    values = np.arange(10.0)
    refused(ValueError, 'All 10 predictions are 3', quality_correlations, np.full(10, 3.0), values)
    refused(ValueError, 'All 10 labels are 3', quality_correlations, values, np.full(10, 3.0))
    refused(ValueError, r'shapes are \(10,\) and \(9,\)', quality_correlations, values, values[:9])
    refused(ValueError, 'at least 3 pairs; there are 2', quality_correlations, [0.0, 1.0], [0.0, 1.0])
    refused(ValueError, "Did you mean 'logistic[45]'", quality_correlations, values, values, 'logistic')
