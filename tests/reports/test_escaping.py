"""Nothing that a file or a user says becomes HTML."""

import ast
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from miqa.reports.report_page import Page, data_table, failure, folded, heading, paragraph, preformatted, tiles
from miqa.reports.run_folder import RunFolder
from miqa.reports.run_sections import run_sections
from miqa.reports.table_formats import Cell, Row, ScoreTable, to_html

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
