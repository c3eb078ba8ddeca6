"""The tails that a gate's promise rests on are SciPy's."""

import pytest
from scipy import special, stats

from miqa.evaluation.distributions import incomplete_beta, normal_quantile, student_quantile


@pytest.mark.parametrize('n', [1, 7.3, 60, 4000.5, 1e6])
@pytest.mark.parametrize('mean', [0.001, 0.3, 0.9, 0.9999])
@pytest.mark.parametrize('x', [0.01, 0.5, 0.89, 0.999])
def test_the_incomplete_beta_function_is_scipys(n, mean, x):
    a, b = n * mean, n - n * mean + 1
    assert incomplete_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), rel=1e-7, abs=1e-12)


@pytest.mark.parametrize('tail', [1e-6, 0.05 / 3, 0.05, 0.4, 0.6, 0.99])
def test_the_quantiles_are_scipys(tail):
    assert normal_quantile(tail) == pytest.approx(stats.norm.isf(tail), rel=1e-12)
    for freedom in (1, 2, 5, 30, 1000, 1e6):
        assert student_quantile(tail, freedom) == pytest.approx(stats.t.isf(tail, freedom), rel=1e-8)
