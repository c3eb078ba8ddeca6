"""Plots draw what the numbers say, and filter curves have the values that can be worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from helpers_database import write_database
from helpers_refusals import refused
from helpers_responses import write_labelled
from PIL import Image

from miqa.benchmark.baselines import read_test_images
from miqa.evaluation import quality_correlations
from miqa.labelling import ScoreFolder, scores_folder
from miqa.reports import filter_benefit
from miqa.reports.filter_benefit import ORACLE, RANDOM, compare_filters, machine_curves, machine_results
from miqa.reports.plots import REMOVED_SHARES, filter_curve, filter_plot, save_figure, scatter_plot

SHARES = (0.0, 0.25, 0.5, 0.75)


def test_curves_of_four_images_and_their_oracle_are_those_worked_out_by_hand():
    results = pd.DataFrame({'a': [1.0, 0.0, 1.0, 0.0], 'b': [0.0, 1.0, 1.0, 1.0]})
    scores = np.array([4.0, 1.0, 3.0, 2.0])
    by_machine = machine_curves(scores, results, SHARES)
    np.testing.assert_allclose(by_machine['a'], [0.5, 2 / 3, 1, 1])
    np.testing.assert_allclose(by_machine['b'], [0.75, 2 / 3, 0.5, 0])
    # The oracle is the best of each machine's own order.
    curves, areas = compare_filters({'x': scores}, results, SHARES)
    np.testing.assert_allclose(curves[ORACLE], [0.625, (2 / 3 + 1) / 2, 1, 1])
    assert areas.share_of_oracle[ORACLE] == 1


def test_a_constant_score_gains_exactly_nothing():
    results = pd.DataFrame({'a': np.random.default_rng(0).random(50)})
    curves, areas = compare_filters({'same': np.ones(50)}, results)
    np.testing.assert_allclose(curves['same'], results.a.mean(), atol=1e-12)
    assert areas.area_gained['same'] == pytest.approx(0, abs=1e-12)


def test_nothing_is_above_the_oracle_and_a_random_order_is_flat():
    rng = np.random.default_rng(1)
    quality = rng.random(20_000)
    results = pd.DataFrame({name: (rng.random(20_000) < quality).astype(float) for name in 'abc'})
    scores = {'good': quality, 'noisy': quality + rng.normal(0, 0.5, 20_000), 'inverted': -quality}
    curves, areas = compare_filters(scores, results)
    for name, curve in curves.items():
        assert (curve <= curves[ORACLE] + 1e-12).all(), name
    np.testing.assert_allclose(curves[RANDOM], 0.5, atol=0.02)
    # P(right) is the score itself: without the lowest share q, the rest averages (1 + q) / 2.
    np.testing.assert_allclose(curves['good'], (1 + np.array(REMOVED_SHARES)) / 2, atol=0.02)
    assert areas.area_gained['good'] == pytest.approx(0.7 / 4, abs=0.01)
    order = areas.area_gained.sort_values(ascending=False)
    assert list(order.index) == [ORACLE, 'good', 'noisy', RANDOM, 'inverted']


def test_area_gained_of_a_straight_rise_is_half_of_it():
    assert filter_benefit.area_gained(np.array([0.5, 0.55, 0.6]), (0.0, 0.35, 0.7)) == pytest.approx(0.05)


def test_images_on_which_a_machine_abstains_do_not_count_for_it():
    results = pd.DataFrame({'a': [1.0, np.nan, 0.0, 1.0], 'b': [1.0, 1.0, 1.0, 1.0]})
    curves = machine_curves(np.array([1.0, 9.0, 2.0, 3.0]), results, (0.0, 1 / 3))
    np.testing.assert_allclose(curves['a'], [2 / 3, 0.5])


@pytest.mark.parametrize(('task', 'column'), [('cls', 'accuracy'), ('det', 'accuracy_75')])
def test_results_are_the_stored_scores_of_every_machine(tmp_path, task, column):
    write_labelled(tmp_path, task, {'one': 1.0, 'two': 2.0}, 5, 3)
    images = read_test_images(tmp_path, task)
    results = machine_results(tmp_path, task, images)
    assert list(results) == ['one', 'two'] and results.shape[0] == len(images)
    stored = ScoreFolder(scores_folder(tmp_path, task) / 'two').read().to_pandas().set_index('filename')[column]
    np.testing.assert_array_equal(results.two, stored[images.filename])


def test_without_stored_scores_the_error_says_how_to_make_them(tmp_path):
    write_database(tmp_path, 'cls', sources=4)
    refused(FileNotFoundError, 'make_labels', machine_results, tmp_path, 'cls', read_test_images(tmp_path, 'cls'))


def test_plots_draw_the_curves_and_one_line_for_each_machine():
    rng = np.random.default_rng(2)
    results = pd.DataFrame({'a': rng.random(40), 'b': rng.random(40)})
    curves, _ = compare_filters({'x': rng.random(40)}, results)
    lines = {line.get_label(): line.get_ydata() for line in filter_benefit.comparison_plot(curves).axes[0].lines}
    assert set(lines) == {'x', ORACLE, RANDOM}
    np.testing.assert_array_equal(lines['x'], curves['x'])
    titles = ['consistency scores', 'accuracy scores']
    panels = filter_benefit.machine_plot({title: rng.random(40) for title in titles}, results).axes
    assert [axes.get_title() for axes in panels] == titles
    assert [line.get_label().split()[0] for line in panels[1].lines] == ['a', 'b']


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
