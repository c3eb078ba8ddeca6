"""Plots draw what the numbers say, and the filter curve is what sorting by hand gives."""

import numpy as np
import pytest
from helpers_refusals import refused
from PIL import Image

from miqa.evaluation import quality_correlations
from miqa.reports.plots import REMOVED_SHARES, filter_curve, filter_plot, save_figure, scatter_plot


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    gt = rng.random(200)
    return gt + rng.normal(0, 0.2, 200), gt


def test_filter_curve_equals_sorting_and_cutting_by_hand():
    rng = np.random.default_rng(1)
    scores, correct = rng.permutation(40) / 40, rng.random(40)
    expected = [correct[scores >= np.sort(scores)[round(share * 40)]].mean() for share in REMOVED_SHARES]
    np.testing.assert_allclose(filter_curve(scores, correct), expected, rtol=1e-12)


def test_filter_curve_of_ties_is_the_mean_over_random_orders():
    scores = np.array([0, 0, 0, 0, 1, 1, 1, 1], dtype=float)
    correct = np.array([1, 0, 0, 0, 1, 1, 1, 0], dtype=float)
    rng = np.random.default_rng(2)
    random_orders = [correct[np.lexsort((rng.random(8), scores))][2:].mean() for _ in range(4000)]
    assert filter_curve(scores, correct, (0.25,))[0] == pytest.approx(np.mean(random_orders), abs=0.01)
    flipped = filter_curve(scores[::-1], correct[::-1], (0.25,))
    assert flipped[0] == pytest.approx(filter_curve(scores, correct, (0.25,))[0], abs=1e-15)


@pytest.mark.parametrize(('scores', 'correct', 'shares', 'message'), [
    ([1, 2, 3], [1, 0], (0.1,), 'got 3 scores, 2 results'),
    ([], [], (0.1,), 'at least one'),
    ([1, np.nan], [1, 0], (0.1,), 'finite'),
    ([1, 2], [1, 0], (1.0,), 'below 1'),
    ([1, 2], [1, 0], (0.9,), 'leaves none'),
])  # fmt: skip
def test_filter_curve_refuses_what_it_cannot_answer(scores, correct, shares, message):
    refused(ValueError, message, filter_curve, scores, correct, shares)


@pytest.mark.parametrize('mapping', [None, 'linear', 'logistic5'])
def test_scatter_plot_shows_every_pair_and_the_same_numbers_as_the_metric(pairs, mapping):
    pred, gt = pairs
    axes = scatter_plot(pred, gt, title='a title', mapping=mapping).axes[0]
    np.testing.assert_array_equal(axes.collections[0].get_offsets().data, np.stack([pred, gt], axis=1))
    shown = dict(line.split() for line in axes.texts[0].get_text().splitlines())
    assert shown == {name: f'{value:.3f}' for name, value in quality_correlations(pred, gt, mapping).items()}
    assert axes.get_title() == 'a title'


def test_the_linear_map_in_the_scatter_plot_is_numpys_least_squares_line(pairs):
    pred, gt = pairs
    x, y = scatter_plot(pred, gt, mapping='linear').axes[0].lines[0].get_data()
    np.testing.assert_allclose(y, np.polyval(np.polyfit(pred, gt, 1), x), atol=1e-9)


def test_scatter_plot_of_constant_predictions_raises():
    refused(ValueError, 'constant', scatter_plot, np.ones(10), np.arange(10))


def test_filter_plot_draws_one_line_per_score_with_the_curves_values(pairs):
    pred, gt = pairs
    correct = (gt > 0.5).astype(float)
    axes = filter_plot({'model': pred, 'inverted': -pred}, correct).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert set(lines) == {'model', 'inverted', 'nothing removed'}
    np.testing.assert_array_equal(lines['model'].get_ydata(), filter_curve(pred, correct))
    assert lines['model'].get_ydata()[-1] > lines['inverted'].get_ydata()[-1]


def test_figures_are_saved_whole_and_readable_and_leave_no_other_file(pairs, tmp_path):
    save_figure(scatter_plot(*pairs), tmp_path / 'new' / 'scatter.png', dpi=100)
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['scatter.png']
    with Image.open(tmp_path / 'new' / 'scatter.png') as picture:
        assert picture.size == (500, 460)
        assert np.asarray(picture.convert('L')).std() > 5
