"""The bootstrap gives what scipy gives on resamples that are written out, and its intervals hold the truth."""

import numpy as np
import pytest
from helpers_refusals import refused
from scipy import stats

from miqa.benchmark.bootstrap import BootstrapScores, SourceBootstrap, paired_difference, percentile_interval
from miqa.benchmark.concordance import MAX_GROUP, concordance_matrix
from miqa.evaluation import SCORES, quality_correlations


def clustered_pairs(rng, sources, versions, rho, shared=0.5):
    """Normal pairs with correlation ``rho``, of which a share of the variance is common to a source."""
    count = sources * versions
    names = np.repeat(np.arange(sources), versions)

    def noise():
        return np.sqrt(shared) * rng.normal(size=sources)[names] + np.sqrt(1 - shared) * rng.normal(size=count)

    x = noise()
    return x, rho * x + np.sqrt(1 - rho**2) * noise(), names


@pytest.mark.parametrize('ties', [False, True])
def test_every_resample_equals_scipy_on_the_resample_written_out(ties):
    rng = np.random.default_rng(0)
    names = np.repeat([f'image {i}' for i in range(11)], rng.integers(3, 9, 11))
    names = names[rng.permutation(len(names))]
    y = rng.random(len(names))
    x = y + rng.normal(0, 0.4, len(names))
    if ties:
        x, y = np.round(x, 1), np.round(y, 1)
    bootstrap = SourceBootstrap(y, names, 40)
    result = bootstrap.scores(x)
    codes = np.unique(names, return_inverse=True)[1]
    for number, weights in enumerate(bootstrap.weights):
        a, b = np.repeat(x, weights[codes]), np.repeat(y, weights[codes])
        slope, intercept = np.polyfit(a, b, 1)
        expected = {
            'SRCC': stats.spearmanr(a, b).statistic, 'PLCC': stats.pearsonr(a, b).statistic,
            'KRCC': stats.kendalltau(a, b).statistic, 'RMSE': np.sqrt(np.mean((slope * a + intercept - b) ** 2)),
        }  # fmt: skip
        for name in SCORES:
            assert result.resamples[name][number] == pytest.approx(expected[name], abs=1e-9), name
    assert result.values == quality_correlations(x[bootstrap._order], y[bootstrap._order])


def test_many_sources_and_few_take_different_ways_to_the_same_kendall(monkeypatch):
    rng = np.random.default_rng(1)
    x, y, names = clustered_pairs(rng, 30, 6, 0.5)
    by_matrix = SourceBootstrap(y, names, 20).scores(x).resamples['KRCC']
    monkeypatch.setattr('miqa.benchmark.bootstrap.MAX_SOURCES', 5)
    by_sorting = SourceBootstrap(y, names, 20, kendall_resamples=8).scores(x).resamples['KRCC']
    assert by_sorting.shape == (8,)
    np.testing.assert_allclose(by_sorting, by_matrix[:8], atol=1e-12)


def test_concordance_matrix_equals_comparing_all_pairs():
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 9, 40), rng.integers(0, 9, 40)
    starts = np.array([0, 5, 18, 20])
    signs = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
    expected = np.add.reduceat(np.add.reduceat(signs, starts, axis=0), starts, axis=1)
    np.testing.assert_array_equal(concordance_matrix(x, y, starts), expected)


def test_concordance_of_the_largest_allowed_source_does_not_overflow():
    x = np.arange(2 * MAX_GROUP)
    expected = [[MAX_GROUP * (MAX_GROUP - 1), MAX_GROUP**2], [MAX_GROUP**2, MAX_GROUP * (MAX_GROUP - 1)]]
    np.testing.assert_array_equal(concordance_matrix(x, x, np.array([0, MAX_GROUP])), expected)
    refused(ValueError, 'at most', concordance_matrix, x, x, np.array([0, MAX_GROUP - 1]))


def test_intervals_cover_the_known_correlation_about_as_often_as_they_say():
    # Of normal pairs: SRCC = 6/pi asin(rho/2), KRCC = 2/pi asin(rho) (Kruskal, 1958), RMSE = sqrt(1 - rho^2).
    rho, repeats = 0.6, 200
    truth = {'SRCC': 6 / np.pi * np.arcsin(rho / 2), 'PLCC': rho, 'KRCC': 2 / np.pi * np.arcsin(rho), 'RMSE': 0.8}
    rng = np.random.default_rng(3)
    covered = dict.fromkeys(truth, 0)
    for _ in range(repeats):
        x, y, names = clustered_pairs(rng, 80, 4, rho)
        result = SourceBootstrap(y, names, 100).scores(x)
        for name, value in truth.items():
            low, high = result.interval(name)
            covered[name] += low <= value <= high
    # Percentile intervals of 80 clusters cover a little less than they say; chance alone moves 95 % by 2.8 % here.
    for name, count in covered.items():
        assert 0.89 <= count / repeats <= 0.985, (name, count / repeats)


def test_resampling_single_images_would_be_too_sure_of_itself():
    rng = np.random.default_rng(4)
    x, y, names = clustered_pairs(rng, 60, 20, 0.6, shared=0.9)
    by_source = SourceBootstrap(y, names, 400).scores(x).interval('SRCC')
    by_image = SourceBootstrap(y, np.arange(len(y)), 400, kendall_resamples=2).scores(x).interval('SRCC')
    assert by_source[1] - by_source[0] > 2 * (by_image[1] - by_image[0])


def test_a_paired_difference_sees_what_two_intervals_hide():
    rng = np.random.default_rng(5)
    x, y, names = clustered_pairs(rng, 60, 20, 0.7, shared=0.8)
    bootstrap = SourceBootstrap(y, names, 500)
    good, slightly_worse = bootstrap.scores(x), bootstrap.scores(x + rng.normal(0, 0.35, len(x)))
    assert slightly_worse.interval('SRCC')[1] > good.interval('SRCC')[0]
    difference = paired_difference(good, slightly_worse)
    assert difference.is_one and difference.low > 0 and difference.p_value < 0.01
    assert difference.value == pytest.approx(good.values['SRCC'] - slightly_worse.values['SRCC'])


def test_a_method_does_not_differ_from_itself_in_any_increasing_disguise():
    rng = np.random.default_rng(6)
    x, y, names = clustered_pairs(rng, 20, 10, 0.7)
    bootstrap = SourceBootstrap(y, names, 100)
    difference = paired_difference(bootstrap.scores(x), bootstrap.scores(np.exp(x)))
    assert not difference.is_one and difference.p_value == 1 and difference.low == difference.high == 0


def test_equally_good_methods_are_called_different_about_as_rarely_as_stated():
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(100):
        x, y, names = clustered_pairs(rng, 80, 4, 0.6)
        other = 0.6 * y + 0.8 * clustered_pairs(rng, 80, 4, 0)[0]
        bootstrap = SourceBootstrap(y, names, 100)
        wrong += paired_difference(bootstrap.scores(x), bootstrap.scores(other)).is_one
    assert wrong / 100 <= 0.12


def test_the_order_of_images_does_not_change_an_interval():
    rng = np.random.default_rng(8)
    x, y, names = clustered_pairs(rng, 15, 8, 0.5)
    order = rng.permutation(len(x))
    first = SourceBootstrap(y, names, 50).scores(x)
    second = SourceBootstrap(y[order], names[order], 50).scores(x[order])
    for name in SCORES:
        np.testing.assert_allclose(first.resamples[name], second.resamples[name], atol=1e-12)


def test_an_inverted_method_keeps_its_sign_in_every_resample():
    rng = np.random.default_rng(9)
    x, y, names = clustered_pairs(rng, 15, 8, 0.9)
    result = SourceBootstrap(y, names, 50).scores(-x)
    assert all((result.resamples[name] < 0).all() for name in ('SRCC', 'PLCC', 'KRCC'))


@pytest.mark.parametrize('mapping', [None, 'logistic5'])
def test_other_maps_are_kept_from_the_whole_test_set(mapping):
    rng = np.random.default_rng(10)
    x, y, names = clustered_pairs(rng, 20, 10, 0.8)
    bootstrap = SourceBootstrap(y, names, 200)
    result = bootstrap.scores(x, mapping)
    low, high = result.interval('RMSE')
    assert low < result.values['RMSE'] < high
    whole = np.ones((1, 20), int)
    bootstrap.weights = whole
    repeated = bootstrap.scores(x, mapping)
    for name in SCORES:
        assert repeated.resamples[name][0] == pytest.approx(repeated.values[name], abs=1e-9)


def test_resamples_without_a_correlation_make_the_interval_unknown_not_zero():
    labels = np.array([0.2] * 12 + [0.9] * 4)
    names = np.repeat([f'{i}' for i in range(4)], 4)
    result = SourceBootstrap(labels, names, 300).scores(np.arange(16.0))
    assert np.isnan(result.resamples['SRCC']).mean() > 0.05
    assert np.isnan(result.interval('SRCC')).all()


@pytest.mark.parametrize(
    ('labels', 'sources', 'message'),
    [([1, 2, 3], ['a', 'b'], '3 labels and 2 sources'), ([1, 2, 3], ['a', 'a', 'a'], 'at least 2 source')],
)
def test_a_bootstrap_says_what_it_lacks(labels, sources, message):
    refused(ValueError, message, SourceBootstrap, labels, sources)


def test_pairs_need_the_same_resamples():
    a = BootstrapScores({'SRCC': 1.0}, {'SRCC': np.zeros(3)})
    b = BootstrapScores({'SRCC': 1.0}, {'SRCC': np.zeros(4)})
    refused(ValueError, 'same resamples', paired_difference, a, b)


def test_percentile_interval_equals_numpys_quantiles():
    values = np.random.default_rng(11).normal(size=1001)
    assert percentile_interval(values, 0.9) == pytest.approx(tuple(np.quantile(values, [0.05, 0.95])))
