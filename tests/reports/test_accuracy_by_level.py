"""Accuracy by level: the averages that pandas would give, and rises that are noticed."""

import pandas as pd
import pytest
from helpers_machines import brightness_classes, write_cls_database
from helpers_refusals import refused

from miqa.labelling import label_database, read_classes
from miqa.machines import CallableMachine, list_sources, responses_folder, run_machine
from miqa.reports.accuracy_by_level import clean_accuracy, level_plot, mean_table, rises, scores_by_level


@pytest.fixture(scope='module')
def database(tmp_path_factory):
    root = write_cls_database(tmp_path_factory.mktemp('db'), levels=(1, 2, 3, 4, 5))
    machine = CallableMachine(brightness_classes, 'cls', 'brightness')
    run_machine(machine, list_sources(root, 'cls'), responses_folder(root, 'cls') / 'brightness', progress=False)
    label_database(root, 'cls', progress=False)
    return root


def test_the_table_holds_the_mean_over_images(database):
    rows = scores_by_level(database, 'cls')
    table = mean_table(rows)
    # s0 (40) is and stays dark, class 0. s1 (128) is right while above 84, s2 (215) while above 171.5.
    values = {level: [True, 128 - 45 * level >= 84, 215 - 45 * level > 171.5] for level in range(1, 6)}
    assert table.loc['darkness'].tolist() == pytest.approx([sum(values[level]) / 3 for level in range(1, 6)])
    assert (rows['images'] == 3).all()


def test_the_clean_images_are_scored_too(database):
    classes = read_classes(database / 'miqa_cls/ground_truth.csv')
    assert clean_accuracy(database, classes) == {'brightness': 1.0}
    assert clean_accuracy(database, {**classes, 's0': 2}) == {'brightness': pytest.approx(2 / 3)}


def test_a_rise_is_reported_with_its_numbers():
    table = pd.DataFrame({1: [0.9, 0.8], 2: [0.7, 0.82]}, index=['snow', 'fog'])
    assert rises(table) == ['fog: 0.800 at level 1, 0.820 at level 2']
    assert rises(table, tolerance=0.05) == []


def test_the_plot_has_a_panel_with_the_clean_point_first(database):
    figure = level_plot(scores_by_level(database, 'cls'), {'brightness': 1.0})
    (line,) = figure.axes[0].lines
    assert line.get_xdata().tolist() == [0, 1, 2, 3, 4, 5] and line.get_ydata()[0] == 1.0


def test_a_database_without_scores_is_an_error(tmp_path):
    refused(FileNotFoundError, r'make_labels\.py', scores_by_level, tmp_path, 'cls')
