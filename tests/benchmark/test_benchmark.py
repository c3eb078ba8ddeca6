"""The benchmark's tables show measured, published and failed scores as what they are."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from helpers_refusals import refused
from helpers_responses import write_labelled

from miqa.benchmark import run as benchmark_module
from miqa.benchmark.baselines import labels_without, read_test_images
from miqa.benchmark.methods import MethodFailed, parse_methods, predict
from miqa.benchmark.run import ALL_MACHINES, run_benchmark
from miqa.engine import selected_on
from miqa.evaluation import quality_correlations
from miqa.evaluation.predictions import write_predictions
from miqa.reports.benchmark_tables import score_tables, write_benchmark
from miqa.reports.table_formats import SAME, to_html, to_latex, to_markdown


@pytest.fixture(scope='module')
def database(tmp_path_factory):
    root = tmp_path_factory.mktemp('benchmark') / 'data'
    for task in ('cls', 'det'):
        write_labelled(root, task, {'small': 1.0, 'middle': 2.0, 'large': 4.0}, 8, 6)
    return root


def save_predictions(path, data_root, task, label, noise, seed=0, keep=slice(None)):
    images = read_test_images(data_root, task)
    rng = np.random.default_rng(seed)
    noisy = images[label] + rng.normal(0, noise, len(images))
    table = images.assign(task=task, label=label, ground_truth=images[label], prediction=noisy)
    write_predictions(path, table[keep])
    return table


@pytest.fixture(scope='module')
def result(database, tmp_path_factory):
    folder = tmp_path_factory.mktemp('predictions')
    for task, label in itertools.product(('cls', 'det'), ('composite', 'accuracy')):
        save_predictions(folder / f'{task}_{label}.csv', database, task, label, 0.05)
        save_predictions(folder / f'other_{task}_{label}.csv', database, task, label, 0.05, seed=1)
    files = f'RA-MIQA={folder}/{{task}}_{{label}}.csv', f'twin={folder}/other_{{task}}_{{label}}.csv'
    texts = ['PSNR', *files, 'confidence:small', 'lost=/nowhere/{task}.csv']
    methods = parse_methods(texts, database, ['cls', 'det'])
    return run_benchmark(database, methods, ['cls', 'det'], ['composite', 'accuracy'], resamples=200)


def cell(result, method, task='cls', label='composite', labels_from=ALL_MACHINES):
    rows = result.cells.query('method == @method and task == @task and label == @label and labels_from == @labels_from')
    assert len(rows) == 1
    return rows.iloc[0]


def test_scores_are_those_of_the_metric_on_the_files_predictions(result, database):
    scored = result.scores['det', 'accuracy', ALL_MACHINES]
    expected = quality_correlations(scored['RA-MIQA'], scored.ground_truth)
    row = cell(result, 'RA-MIQA', 'det', 'accuracy')
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert row.SRCC_low < row.SRCC < row.SRCC_high
    np.testing.assert_allclose(scored.ground_truth, read_test_images(database, 'det').accuracy)


def test_published_numbers_stand_beside_but_are_not_subtracted_on_another_database(result):
    row = cell(result, 'RA-MIQA')
    assert row.SRCC_published == 0.7003 and np.isnan(row.SRCC_difference)
    assert not result.test_sets.official.any()


def test_on_the_papers_test_set_the_difference_is_ours_minus_theirs(database, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_module, 'is_official_test_set', lambda labels, task, label: True)
    table = save_predictions(tmp_path / 'p.csv', database, 'cls', 'composite', 0.1)
    methods = parse_methods([f'RA-MIQA={tmp_path}/p.csv'], database, ['cls'])
    row = run_benchmark(database, methods, ['cls'], ['composite'], resamples=20).cells.iloc[0]
    expected = quality_correlations(table.prediction, table.ground_truth)['PLCC'] - 0.6989
    assert row.PLCC_difference == pytest.approx(expected, abs=1e-6)


def test_a_method_that_has_run_a_labelling_machine_is_also_scored_without_it(result, database):
    name = 'max probability of small'
    assert cell(result, name).machines_run == 'small' and cell(result, name).made_labels == 'yes'
    apart = cell(result, name, labels_from='all machines but small')
    assert apart.made_labels == 'no'
    scored = result.scores['cls', 'composite', 'all machines but small']
    names = scored.image.str.rpartition('/')[2]
    np.testing.assert_allclose(scored.ground_truth, labels_without(database, 'cls', {'small'}).composite[names])
    measured = quality_correlations(scored[name], scored.ground_truth)
    assert {score: apart[score] for score in measured} == pytest.approx(measured)
    assert apart.SRCC != cell(result, name).SRCC
    assert cell(result, 'PSNR').made_labels == '-'


def test_a_detectors_confidence_is_not_a_row_of_cls_and_the_other_way_round(result):
    methods = result.cells.groupby('task').method.unique()
    assert 'max probability of small' in methods['cls'] and 'mean score of small' not in methods['cls']
    assert 'mean score of small' in methods['det'] and 'energy of small' not in methods['det']


def test_a_failed_method_keeps_its_row_with_the_reason(result):
    row = cell(result, 'lost')
    assert np.isnan(row.SRCC) and 'no predictions file /nowhere/cls.csv' in row.failure
    table = score_tables(result)[0]
    assert 'failed (1)' in to_markdown(table) and '/nowhere/cls.csv' in to_markdown(table)
    assert 'class="failure"' in to_html(table) and '/nowhere/cls.csv' in to_html(table)
    assert 'failed' in to_latex(table, 'tab:x')


def test_twins_are_not_called_different_and_the_better_one_is_bold(result):
    best, twin = sorted([cell(result, 'RA-MIQA'), cell(result, 'twin')], key=lambda row: -row.SRCC)
    assert twin.SRCC_same_as_best and not best.SRCC_same_as_best and not cell(result, 'PSNR').SRCC_same_as_best
    text = to_markdown(score_tables(result)[0])
    assert f'**{best.SRCC:.4f}**' in text and f'{SAME} <u>{twin.SRCC:.4f}</u>' in text
    pair = result.differences.query("task == 'cls' and label == 'composite' and labels_from == @ALL_MACHINES")
    pair = pair[(pair['first'] == best.method) & (pair.second == twin.method)].iloc[0]
    assert not pair.is_difference and pair.low < 0 < pair.high


def test_captions_state_the_protocol(result):
    caption = ' '.join(score_tables(result)[0].caption)
    deviation = result.test_sets.iloc[0].label_deviation
    parts = f'σ = {deviation:.4f} (paper: 0.3008)', 'least-squares map (linear)', 'large, middle, small'
    protocol = '60 images of 6 sources', '200 bootstrap resamples of whole source images', 'no difference is given'
    assert all(part in caption for part in (*parts, *protocol))


def test_tables_follow_the_papers_layout(result):
    titles = [table.title for table in score_tables(result)]
    assert titles[0] == 'Table 1. Composite labels'
    assert any(title.startswith('Table 2, object detection') for title in titles)
    assert any('labels from all machines but small' in title for title in titles)
    assert score_tables(result)[0].groups == [('classification', 4), ('object detection', 4)]


def test_all_files_are_written_and_say_the_same(result, tmp_path):
    paths = write_benchmark(result, tmp_path / 'out', 'python tools/analysis/benchmark.py DATA')
    assert {path.name for path in paths} >= {'tables.md', 'tables.tex', 'tables.html', 'scores.csv', 'settings.json'}
    np.testing.assert_allclose(pd.read_csv(tmp_path / 'out' / 'scores.csv').SRCC, result.cells.SRCC, rtol=1e-12)
    texts = [(tmp_path / 'out' / f'tables.{kind}').read_text(encoding='utf-8') for kind in ('md', 'html', 'tex')]
    assert all(f'{cell(result, "PSNR").SRCC:.4f}' in text for text in texts)
    latex = texts[-1]
    assert latex.count(r'\begin{tabular}') == latex.count(r'\end{tabular}') == len(score_tables(result))
    assert latex.isascii()


@pytest.mark.parametrize(('text', 'task', 'said'), [
    ('half=HERE/half.csv', 'cls', '30 of 60 test images of cls have no prediction'),
    ('mine=HERE/whole.csv', 'det', 'no predictions for det; it has: cls'),
    ('net=configs/ra_miqa_{task}.py:none_{label}.pth', 'cls', 'There is no file'),
])  # fmt: skip
def test_what_does_not_cover_the_test_set_or_is_not_there_is_a_failure(database, tmp_path, text, task, said):
    save_predictions(tmp_path / 'whole.csv', database, 'cls', 'composite', 0.1)
    save_predictions(tmp_path / 'half.csv', database, 'cls', 'composite', 0.1, keep=slice(None, None, 2))
    (method,) = parse_methods([text.replace('HERE', str(tmp_path))], database, [task])
    refused(MethodFailed, said, predict, method, database, task, 'composite', read_test_images(database, task))


def test_constant_predictions_are_shown_as_a_failure(database, tmp_path):
    table = read_test_images(database, 'cls')
    table = table.assign(task='cls', label='composite', ground_truth=table.composite, prediction=0.5)
    write_predictions(tmp_path / 'flat.csv', table)
    methods = parse_methods(['PSNR', f'flat={tmp_path}/flat.csv'], database, ['cls'])
    cells = run_benchmark(database, methods, ['cls'], ['composite'], resamples=20).cells
    assert 'constant' in cells[cells.method == 'flat'].failure.iloc[0]
    assert cells[cells.method == 'PSNR'].SRCC.notna().all()


@pytest.mark.parametrize('text', ['SIM', 'name=', '=file.csv', 'name=config.py', 'energies:small'])
def test_an_unknown_method_is_refused_with_the_valid_forms(text, database):
    refused(ValueError, 'is not a method. A method is name=predictions.csv', parse_methods, [text], database, ['cls'])


def test_confidence_alone_takes_the_smallest_machine_and_names_are_unique(database):
    sources = [method.source for method in parse_methods(['confidence'], database, ['cls'])]
    assert sources == ['max_probability:small', 'negative_entropy:small', 'energy:small']
    refused(ValueError, 'Two methods are called PSNR', parse_methods, ['PSNR', 'PSNR'], database, ['cls'])


def test_a_row_whose_weights_were_chosen_on_the_test_split_says_so(database, tmp_path):
    texts = []
    for name, share in (('papers-recipe', 'test'), ('honest', 0.2)):
        folder = tmp_path / name
        folder.mkdir()
        save_predictions(folder / 'predictions.csv', database, 'cls', 'composite', 0.05)
        part = {} if share == 'test' else {'part': 'select', 'selection': share}
        message = selected_on({'val_dataloader': {'dataset': {'type': 'MIQDDataset', **part}}})
        (folder / 'metrics.json').write_text(json.dumps({'weights_chosen_on': message}))
        texts.append(f'{name}={folder}/predictions.csv')
    methods = parse_methods(texts, database, ['cls'])
    actual = run_benchmark(database, methods, ['cls'], ['composite'], resamples=50)
    assert cell(actual, 'papers-recipe').chosen_on_test and not cell(actual, 'honest').chosen_on_test
    lines = to_markdown(score_tables(actual)[0]).splitlines()
    (marked,) = [line for line in lines if 'weights chosen on the test split' in line]
    assert marked.startswith('| papers-recipe')
