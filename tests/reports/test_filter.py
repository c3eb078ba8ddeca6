"""Filter curves have the values that can be worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from helpers_database import write_database
from helpers_refusals import refused
from helpers_responses import write_labelled

from miqa.benchmark.baselines import read_test_images
from miqa.labelling import ScoreFolder, scores_folder
from miqa.reports import filter_benefit
from miqa.reports.filter_benefit import ORACLE, RANDOM, compare_filters, machine_curves, machine_results
from miqa.reports.plots import REMOVED_SHARES

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
