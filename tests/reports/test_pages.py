"""Pages of pictures and videos: worst first, whole in one file, honest about omissions, and free of injection."""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers_apis import status_of
from helpers_machines import save
from helpers_refusals import refused
from helpers_videos import write_video

from miqa.reports import scored_pictures, scored_videos
from miqa.reports.report_page import Page, data_table, failure, folded, heading, paragraph, preformatted, tiles
from miqa.reports.run_folder import RunFolder
from miqa.reports.run_sections import run_sections
from miqa.reports.score_page import try_page
from miqa.reports.score_summary import Summary
from miqa.reports.scored_pictures import ScoredPictures
from miqa.reports.scored_videos import columns_of, stretches
from miqa.reports.table_formats import Cell, Row, ScoreTable, to_html


def write_page(folder, scores, errors=()):
    report, summary = ScoredPictures(folder / 'page.html'), Summary()
    for number, score in enumerate(scores):
        path = folder / f'{number}<b>.png'
        save(path, np.full((30, 40, 3), number))
        summary.add(score, 'low')
        report.add(str(path), score, 'low', 'motion blur' if number == 0 else '')
    for name in errors:
        summary.fail(name, ValueError('it is damaged'))
    report.write(summary)
    return (folder / 'page.html').read_text(encoding='utf-8')


def test_the_worst_come_first_with_thumbnail_and_diagnosis_and_names_are_escaped(tmp_path):
    page = write_page(tmp_path, [0.9, 0.1, 0.5], ['broken.png'])
    assert re.findall(r'class="score">([\d.]+)<', page) == ['0.100', '0.500', '0.900']
    assert page.count('data:image/jpeg;base64,') == 3 and 'motion blur' in page
    assert '<b>.png' not in page and '&lt;b&gt;.png' in page
    assert 'Not read: 1' in page and 'broken.png: it is damaged' in page
    assert not re.search(r'(src|href)="(?!data:)', page), 'the page opens offline'


def test_of_many_pictures_the_lowest_are_shown_and_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(scored_pictures, 'SHOWN', 2)
    page = write_page(tmp_path, [0.4, 0.3, 0.2, 0.6])
    assert re.findall(r'class="score">([\d.]+)<', page) == ['0.200', '0.300']
    assert 'The 2 lowest of 4 pictures are shown.' in page


def test_a_file_of_another_program_is_not_replaced(tmp_path):
    write_page(tmp_path, [0.5])
    try_page(tmp_path / 'page.html')
    (tmp_path / 'mine.html').write_text('my homepage')
    refused(FileExistsError, 'not a page written by --report', try_page, tmp_path / 'mine.html')
    refused(ValueError, 'ends in .html', try_page, tmp_path / 'page.txt')


def frame(time, kind, score=0.5, strength=2.0):
    return {'timestamp': time, 'score': score, 'damage_kind': kind, 'damage_strength': strength}


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    """The page on two videos, one of which goes dark in the middle, and a file that is none."""
    folder = tmp_path_factory.mktemp('clips')
    write_video(folder / 'bright<b>.avi', [0.6] * 20)
    write_video(folder / 'dark.avi', [0.6] * 20 + [0.02] * 20 + [0.6] * 20)
    (folder / 'bad.mp4').write_bytes(b'no video' * 99)
    path = folder / 'page.html'
    arguments = ('--num-frames', 12, '--report', path, '--quiet')
    assert status_of('video', folder, *arguments) == 3
    return path.read_text(encoding='utf-8')


def test_each_video_has_its_curve_its_threshold_and_thumbnails_of_its_worst_segments(page):
    assert page.count('<h3>') == 2
    assert '<b>.avi' not in page and '&lt;b&gt;.avi' in page
    assert page.count('<polyline') == 2 and page.count('high from 0.') == 2
    assert page.count('data:image/jpeg;base64,') == page.count('<figure>') >= 2
    scores = [float(score) for score in re.findall(r'<p><span class="score">([\d.-]+)<', page)]
    assert scores == sorted(scores)


def test_the_kind_of_damage_is_shown_over_time_and_what_was_not_read_is_named(page):
    assert page.count('class="strip"') == 2 and page.count('class="legend"') == 2
    assert 'Not read: 1' in page and 'bad.mp4 is not a video' in page
    assert not re.search(r'(src|href)="(?!data:)', page), 'the page opens offline'


def test_neighbouring_frames_of_one_kind_are_one_stretch_that_meets_the_next():
    frames = [frame(0.0, 'fog'), frame(1.0, 'fog', strength=4.0), frame(2.0, 'none'), frame(4.0, 'fog')]
    runs = [(start, end, kind) for start, end, kind, _ in stretches(columns_of(frames))]
    assert runs == [(0.0, 1.5, 'fog'), (1.5, 3.0, 'none'), (3.0, 5.0, 'fog')]
    assert stretches(columns_of(frames))[0][3] == 3.0
    assert stretches(columns_of([{'timestamp': 0.0, 'score': 0.5}])) == []


def test_a_long_video_keeps_its_lowest_frames_in_few_columns():
    frames = [frame(float(number), 'fog', score=0.1 if number == 4321 else 0.9) for number in range(20_000)]
    columns = columns_of(frames)
    assert len(columns) == 1000 and min(column.score for column in columns) == 0.1
    assert columns[0].start == 0.0 and columns[-1].end == 20_000 - 0.5


def test_of_many_videos_the_lowest_are_shown_and_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(scored_videos, 'SHOWN', 1)
    for name, value in (('a', 0.6), ('b', 0.01), ('c', 0.6)):
        write_video(tmp_path / f'{name}.avi', [value] * 5)
    assert status_of('video', tmp_path, '--num-frames', 2, '--report', tmp_path / 'page.html', '--quiet') == 0
    page = (tmp_path / 'page.html').read_text()
    assert re.findall(r'<h3>.*/(\w)\.avi</h3>', page) == ['b'] and 'The 1 lowest of 3 videos are shown.' in page


PACKAGE = Path(__file__).parents[2] / 'miqa'
EVIL = '<script>alert("1")</script>&'
TAG = re.compile(r'</?(a|b|br|div|figure|h[1-6]|i|img|li|p|pre|script|section|span|table|td|th|tr|u|ul)[ >]')


@pytest.mark.parametrize('html', [
    paragraph(EVIL), failure(EVIL), heading(EVIL), preformatted(EVIL), folded(EVIL, EVIL), tiles({EVIL: EVIL}),
    data_table(pd.DataFrame({EVIL: [EVIL]}, index=pd.Index([EVIL], name=EVIL)), caption=EVIL),
    to_html(ScoreTable(EVIL, [EVIL], [Row(EVIL, [Cell(failure=EVIL)], EVIL)], [EVIL], [(EVIL, 1)])),
    to_html(ScoreTable(EVIL, ['a', 'b'], [Row(EVIL, [Cell(failure=EVIL), Cell(0.5)])], [EVIL])),
])  # fmt: skip
def test_every_fragment_escapes_what_it_shows(html):
    assert '<script' not in html and 'alert(&#34;1&#34;)' in html


def test_text_beside_fragments_is_escaped_too():
    page = Page(EVIL, EVIL)
    page.add_section(EVIL, EVIL, paragraph('plain') + EVIL, EVIL + paragraph('plain'))
    html = page.html()
    assert html.count('<script') == 1 and html.count('alert(') >= 6 and '<p>plain</p>' in html


def test_a_run_whose_scores_are_undefined_says_so_without_becoming_html(tmp_path, monkeypatch):
    def refuse(*_):
        raise ValueError(EVIL)

    monkeypatch.setattr('miqa.reports.run_sections.quality_correlations', refuse)
    folder = tmp_path / 'run'
    (folder / 'test').mkdir(parents=True)
    table = pd.DataFrame({'image': ['a.png'] * 3, 'task': 'cls', 'label': 'composite', 'source': 'a'})
    table['prediction'] = table['ground_truth'] = 0.5
    monkeypatch.setattr(RunFolder, 'predictions', lambda self: table)
    (folder / 'environment.json').write_text(json.dumps({'python': EVIL}))
    page = Page('report', '')
    for title, fragments in run_sections(RunFolder(folder), None):
        page.add_section(title, *fragments)
    assert page.html().count('<script') == 1 and '<p class="failure">&lt;script&gt;' in page.html()


def test_no_module_glues_html_together():
    """Tags stand in templates, or in Markup that is filled by ``format``: both escape."""
    glued = []
    for path in PACKAGE.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.JoinedStr):
                text = ''.join(part.value for part in node.values if isinstance(part, ast.Constant))
                if TAG.search(text):
                    glued.append(f'{path.relative_to(PACKAGE)}:{node.lineno}')
    # Markdown, whose cells are escaped by a function of its own; a file name's pattern; the pattern of inline scripts.
    allowed = ('reports/table_formats.py', 'taxonomy.py')
    assert [place for place in glued if not place.startswith(allowed)] == []
