"""The comparison prints the benchmark's numbers, marks who knows the labels, and draws every method."""

import io
import re
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers_refusals import refused
from helpers_responses import write_labelled
from rich.console import Console

from miqa.benchmark.baselines import read_test_images
from miqa.benchmark.methods import parse_methods
from miqa.benchmark.run import ALL_MACHINES, run_benchmark
from miqa.cli.main import main
from miqa.evaluation.predictions import write_predictions
from miqa.reports.comparison import print_comparison, save_comparison

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def database(tmp_path_factory):
    root = tmp_path_factory.mktemp('comparison') / 'data'
    write_labelled(root, 'cls', {'small': 1.0, 'large': 4.0}, 8, 6)
    images = read_test_images(root, 'cls')
    noise = np.random.default_rng(0).normal(0, 0.1, len(images))
    table = images.assign(task='cls', label='composite', ground_truth=images.composite)
    write_predictions(root / 'ours.csv', table.assign(prediction=images.composite + noise))
    return root


@pytest.fixture(scope='module')
def benchmark(database):
    texts = [
        'SSIM', f'ours={database}/ours.csv', f'OURS!={database}/ours.csv', 'max_probability:small',
        'lost=/nowhere/predictions.csv',
    ]  # fmt: skip
    methods = parse_methods(texts, database, ['cls'])
    return run_benchmark(database, methods, ['cls'], ['composite'], resamples=50)


def test_the_table_shows_methods_best_first_marks_who_asks_a_labelling_machine_and_says_why_one_is_missing(benchmark):
    stream = io.StringIO()
    print_comparison(benchmark, 'cls', 'composite', Console(file=stream, width=140))
    # Labels that no method has helped to make come first, those of all machines after them.
    apart, first = stream.getvalue().split('label from all machines:')
    assert 'all machines but small' in apart
    cells = benchmark.cells[benchmark.cells.labels_from == ALL_MACHINES].set_index('method')
    actual = dict(re.findall(r'│ (ours|SSIM|max probability of small)[ *]*│ +(-?\d\.\d{3})', first))
    assert actual == {name: f'{cells.SRCC[name]:.3f}' for name in actual} and len(actual) == 3
    assert list(actual) == list(cells.loc[list(actual)].sort_values('SRCC', ascending=False).index)
    assert 'lost was not scored' in first and '/nowhere/predictions.csv' in first
    for mark in ('max probability of small *', 'which is an advantage'):
        assert mark in first and mark not in apart


@pytest.mark.parametrize('methods', [['ours'], ['ours', 'lost']])
def test_the_status_tells_whether_every_method_was_scored(database, tmp_path, methods):
    words = ['compare', str(database), '--out', str(tmp_path), '--resamples', '20', '--jobs', '1', '--methods']
    run = partial(main, [*words, *(f'{name}={database}/{name}.csv' for name in methods)])
    if 'lost' in methods:
        refused(SystemExit, '3', run)
    else:
        run()


def test_every_scored_method_gets_a_scatter_plot_and_the_table_keeps_the_failure(benchmark, database, tmp_path):
    images = read_test_images(database, 'cls')
    paths = save_comparison(benchmark, images, 'cls', 'composite', tmp_path)
    assert sorted(path.name for path in paths) == sorted(path.name for path in tmp_path.iterdir())
    plots = {f'scatter_{name}.png' for name in ('ours', 'ours_2', 'ssim', 'max_probability_of_small')}
    assert {path.name for path in paths} == {'comparison.csv', 'filter_curve.png', *plots}
    saved = pd.read_csv(tmp_path / 'comparison.csv').set_index(['labels_from', 'method'])
    assert 'nowhere' in saved.failure[ALL_MACHINES, 'lost']


def test_a_task_that_was_not_scored_is_refused(benchmark, database, tmp_path):
    with pytest.raises(ValueError, match='det, composite'):
        save_comparison(benchmark, read_test_images(database, 'cls'), 'det', 'composite', tmp_path)


def test_the_tool_does_the_same_from_the_command_line(warm, database, tmp_path):
    command = ['python', REPOSITORY / 'tools' / 'analysis' / 'compare.py', database, '--out', tmp_path / 'out']
    methods = ['--methods', 'PSNR', f'ours={database}/ours.csv', '--resamples', '20', '--jobs', '1']
    result = warm.must(*command, *methods, cwd=tmp_path)
    assert 'held-out sources' in result.stdout and 'filter_curve.png' in result.stdout
    assert (tmp_path / 'out' / 'scatter_psnr.png').is_file()
