"""Breakdowns are the metric on the part that they name, and the report page holds all of it."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from helpers_database import ALL_VERSIONS
from helpers_refusals import refused
from helpers_responses import write_labelled
from PIL import Image

from miqa.benchmark.baselines import read_test_images
from miqa.benchmark.methods import parse_methods
from miqa.benchmark.run import run_benchmark
from miqa.evaluation import quality_correlations
from miqa.evaluation.predictions import COLUMNS, read_predictions, write_predictions
from miqa.reports.benchmark_sections import read_scored_images, save_figures
from miqa.reports.benchmark_tables import write_benchmark
from miqa.reports.breakdown_plots import contact_sheet, heat_map, residual_plot
from miqa.reports.breakdowns import level_grid, residuals, score_groups, score_matrix, worst_predictions
from miqa.reports.html_report import write_report
from miqa.reports.run_folder import RunFolder
from miqa.reports.run_sections import run_sections, source_categories
from miqa.reports.tables import print_scores, score_parts
from miqa.test import warnings_of
from miqa.train import closing_sentences


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    rows = [(f's{source}', *version) for source in range(4) for version in ALL_VERSIONS]
    table = pd.DataFrame(rows, columns=['source', 'distortion', 'fg_level', 'bg_level'])
    truth = rng.random(len(table))
    image = table.source + '/' + table.distortion + table.fg_level.astype(str) + table.bg_level.astype(str)
    return table.assign(image=image, ground_truth=truth, prediction=2 * truth + rng.normal(0, 0.3, len(table)))


def test_the_grid_holds_the_score_of_each_pair_of_levels_and_leaves_missing_pairs_empty(predictions):
    grid = level_grid(predictions)
    assert grid.shape == (5, 5) and list(grid.index) == [1, 2, 3, 4, 5]
    part = predictions.query('fg_level == 2 and bg_level == 5')
    assert grid.loc[2, 5] == quality_correlations(part.prediction, part.ground_truth)['SRCC']
    grid = level_grid(predictions.query('fg_level <= bg_level'))
    assert grid.isna().to_numpy().sum() == 10 and np.isnan(grid.loc[5, 1])


def test_names_of_predictions_are_no_formulas_and_come_back(predictions, tmp_path):
    names = ['=1+1/a.png', "'@x/a.png", 'plain/a.png']
    write_predictions(
        tmp_path / 'p.csv', predictions[:3].assign(image=names, source=names, task='cls', label='accuracy')
    )
    assert not [line for line in (tmp_path / 'p.csv').read_text().splitlines() if line[0] in '=@+-']
    assert list(read_predictions(tmp_path / 'p.csv').image) == names


def test_a_part_without_a_correlation_says_why(predictions):
    predictions.loc[predictions.distortion == 'fog', 'prediction'] = 0.5
    table = score_groups(predictions, 'distortion')
    assert np.isnan(table.SRCC['fog']) and 'constant' in table.note['fog']
    assert table.drop('fog').SRCC.notna().all() and table.n.sum() == len(predictions)


def test_the_matrix_compares_on_common_images_and_stays_empty_without_any():
    truth = pd.Series([0.1, 0.4, 0.2, 0.9], index=list('abcd'))
    cls, det = truth + 1, pd.Series([3.0, 1.0, 2.0, 9.0], index=list('bcde'))
    values, counts = score_matrix({'cls': cls, 'det': det}, {'cls': truth, 'elsewhere': pd.Series([1.0], index=['z'])})
    assert values.loc['cls', 'cls'] == 1 and counts.loc['det', 'cls'] == 3
    # b, c, d: labels 0.4, 0.2, 0.9 against 3, 1, 2.
    assert values.loc['det', 'cls'] == pytest.approx(0.5)
    assert values.elsewhere.isna().all()


def test_residuals_are_what_numpys_line_leaves(predictions):
    slope, intercept = np.polyfit(predictions.prediction, predictions.ground_truth, 1)
    expected = slope * predictions.prediction + intercept - predictions.ground_truth
    np.testing.assert_allclose(residuals(predictions), expected, atol=1e-10)


def test_the_worst_predictions_come_first_and_no_source_and_distortion_twice(predictions):
    predictions.loc[[7, 300], 'prediction'] = [50.0, -40.0]
    worst = worst_predictions(predictions, 6, mapping=None)
    assert list(worst.index[:2]) == [7, 300] and worst.residual.iloc[0] > 0 > worst.residual.iloc[1]
    assert not worst.duplicated(['source', 'distortion']).any()


def test_a_heat_map_shows_every_number_and_a_dash_for_none():
    figure = heat_map(pd.DataFrame([[0.5, np.nan], [0.25, 1.0]]), title='a')
    assert [text.get_text() for text in figure.axes[0].texts] == ['0.500', '–', '0.250', '1.000']
    heat_map(pd.DataFrame([[np.nan]]))


def test_a_residual_plot_sorts_distortions_by_their_median(predictions):
    residual = pd.Series(np.where(predictions.distortion == 'snow', 1.0, 0.0))
    names = [tick.get_text() for tick in residual_plot(predictions, residual).axes[1].get_yticklabels()]
    assert names[-1] == 'snow' and len(names) == 10


def test_a_contact_sheet_puts_a_reason_in_place_of_a_picture_that_is_not_there(predictions, tmp_path):
    axes = contact_sheet(worst_predictions(predictions, 3), tmp_path).axes
    assert 'There is no image file' in axes[0].texts[0].get_text() and axes[2].get_title().count('\n') == 2


class Checker(HTMLParser):
    """Collects what a page would fetch, and checks that tags close in order."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.ids, self.links = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag in ('img', 'script', 'link', 'iframe'):
            address = attrs.get('src') or attrs.get('href')
            if address and not address.startswith('data:'):
                self.fetched.append(address)
        if tag == 'a':
            self.links.append(attrs['href'])
        if 'id' in attrs:
            self.ids.append(attrs['id'])
        if tag not in ('meta', 'link', 'img', 'br'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope='module')
def report(tmp_path_factory):
    root = tmp_path_factory.mktemp('report')
    data = root / 'data'
    write_labelled(data, 'cls', {'one': 1.0, 'two': 2.0})
    images = read_test_images(data, 'cls')
    rng = np.random.default_rng(0)
    for label in ('composite', 'accuracy'):
        folder = root / 'runs' / f'net_cls_{label}'
        noisy = images[label] + rng.normal(0, 0.1, len(images))
        table = images.assign(task='cls', label=label, ground_truth=images[label], prediction=noisy)
        write_predictions(folder / 'test' / 'predictions.csv', table)
        (folder / 'net.py').write_text(f"data_root = {str(data)!r}\ntask = 'cls'\nnote = 'a <b> & c'\n")
        (folder / 'environment.json').write_text(json.dumps({'python': '3.11'}))
        curves = folder / '20260101_000000' / 'vis_data'
        curves.mkdir(parents=True)
        lines = [{'step': step, 'loss': 1 / step} for step in range(1, 9)]
        (curves / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    text = f'net={root}/runs/net_cls_{{label}}/test/predictions.csv'
    methods = parse_methods(['PSNR', text, 'lost=/nowhere.csv'], data, ['cls'])
    results = run_benchmark(data, methods, ['cls'], ['composite', 'accuracy'], resamples=50)
    write_benchmark(results, root / 'runs' / 'benchmark', 'python tools/analysis/benchmark.py DATA')
    return root, write_report([root / 'runs'], root / 'report.html').read_text(encoding='utf-8')


def test_the_page_fetches_nothing_its_tags_close_and_its_contents_lead_to_sections(report):
    checker = Checker()
    checker.feed(report[1])
    assert checker.open == [] and checker.fetched == []
    assert not re.search(r'https?://(?!arxiv)', re.sub(r'<pre>.*?</pre>', '', report[1], flags=re.S))
    assert len(checker.links) >= 6 and {link[1:] for link in checker.links} <= set(checker.ids)
    assert len(checker.ids) == len(set(checker.ids))


@pytest.mark.parametrize('sign', [1, -1])
def test_training_test_and_report_call_a_negative_rank_worse_than_nothing(predictions, tmp_path, sign):
    table = predictions.assign(task='cls', label='composite', prediction=sign * predictions.prediction)
    run = RunFolder(tmp_path)
    write_predictions(tmp_path / 'test' / 'predictions.csv', table)
    (_, fragments), *_ = run_sections(run, None)
    srcc = quality_correlations(table.prediction, table.ground_truth, None)['SRCC']
    texts = {
        'report': ' '.join(map(str, fragments)),
        'test': ' '.join(warnings_of([table])),
        'train': ' '.join(closing_sentences('net.py', tmp_path, srcc, {}, None)),
    }
    warned = {place for place, text in texts.items() if f'worse than nothing: SRCC {srcc:.3f}' in text}
    assert warned == (set(texts) if sign < 0 else set())


def test_the_page_shows_scores_failures_configs_and_whole_pictures(report):
    root, text = report
    scores = pd.read_csv(root / 'runs' / 'benchmark' / 'scores.csv')
    assert f'{scores.SRCC[0]:.4f}' in text and 'no predictions file /nowhere.csv' in text
    assert 'a &lt;b&gt; &amp; c' in text and '<b> & c' not in text
    assert 'Worst predictions' in text and 'hen, chicken' in str(source_categories(root / 'data', 'cls'))
    assert 'area_gained' in text and 'oracle' in text
    encoded = re.findall(r'data:image/png;base64,([^"]+)"', text)
    assert len(encoded) >= 10
    for data in encoded:
        assert base64.b64decode(data, validate=True).endswith(b'IEND\xaeB`\x82')


def test_figures_of_a_benchmark_are_written_as_whole_files(report):
    folder = report[0] / 'runs' / 'benchmark'
    names = {path.name for path in save_figures(folder)}
    intervals = {'intervals_cls_composite.png', 'intervals_cls_accuracy.png'}
    assert names == {*intervals, 'filter_cls.png', 'filter_cls_machines.png'}
    for name in names:
        with Image.open(folder / name) as picture:
            picture.load()
            assert min(picture.size) > 100


def test_a_folder_with_nothing_to_report_is_an_error(tmp_path):
    refused(FileNotFoundError, 'holds no run', write_report, [tmp_path], tmp_path / 'report.html')
    refused(FileNotFoundError, 'There is no folder', write_report, [tmp_path / 'none'], tmp_path / 'report.html')


HEADER = ','.join(COLUMNS)


@pytest.mark.parametrize('content', [
    b'', b'image,source\na,a\n', f'{HEADER}\n'.encode(), f'{HEADER}\n{"a," * 8}x\n'.encode(), b'\xff\xfe\x00', None,
])  # fmt: skip
def test_a_file_that_is_not_a_table_is_refused_in_our_words(content, tmp_path):
    for name, read in (
        ('predictions.csv', lambda: read_predictions(tmp_path / 'predictions.csv')),
        ('predictions_cls_composite.parquet', lambda: read_scored_images(tmp_path, 'cls', 'composite')),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        elif name.endswith('.csv'):
            (tmp_path / name).mkdir()
        else:
            break
        refused(ValueError, rf'{name}.*(Run .* again|has no column|empty|UTF|is a folder)', read)


def test_a_reason_without_scores_is_printed_once_with_the_parts_that_it_is_of(capsys):
    numbers = {'prediction': [0.1, 0.2, 0.3, 0.4], 'ground_truth': [0.1, 0.3, 0.2, 0.4], 'fg_level': [1, 1, 2, 2]}
    table = pd.DataFrame({**numbers, 'distortion': ['a', 'a', 'b', 'b'], 'region_pattern': 'uniform'})
    print_scores(score_parts(table), 'title')
    assert 'a, b, level 1, level 2: Correlations need at least 3 pairs; there are 2.' in capsys.readouterr().out
