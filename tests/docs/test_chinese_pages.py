"""Chinese pages that follow an English one have its commands, its code and its figures."""

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers_pages import blocks_in, without_comments

DOCS = Path(__file__).parents[2] / 'docs'
#: Pages that are translated whole; the others are shorter than the English ones.
WHOLE = ('your_own_models', 'performance', 'scale', 'reproduce', 'camera_damage', 'real_damage')


def code(page: Path) -> list[str]:
    """Return the blocks of a page without their comments and the blanks before these."""
    return [without_comments(block.text) for block in blocks_in(page)]


def figures(page: Path) -> list[list[str]]:
    """Return the numbers with a point in each row of a page's tables; words may be counted in another way."""
    text = re.sub(r'^```.*?^```', '', page.read_text(encoding='utf-8'), flags=re.S | re.M)
    rows = re.findall(r'^\|(.*)\|$', text, re.M)
    return [re.findall(r'[-+]?\d+\.\d+(?:e-\d+)?', re.sub(r'`[^`]*`', '', row)) for row in rows]


@pytest.mark.parametrize('name', WHOLE)
def test_a_chinese_page_has_the_code_of_the_english_one(name):
    assert code(DOCS / 'zh' / f'{name}.md') == code(DOCS / f'{name}.md')


@pytest.mark.parametrize('name', WHOLE)
def test_a_chinese_page_has_the_figures_of_the_english_tables(name):
    ours, theirs = figures(DOCS / 'zh' / f'{name}.md'), figures(DOCS / f'{name}.md')
    assert len(ours) == len(theirs)
    for own, other in zip(ours, theirs, strict=True):
        assert sorted(own) == sorted(other)
    assert sum(map(len, ours)) > 0 or name == 'scale'


def test_every_chinese_page_is_in_the_navigation():
    nav = (DOCS.parent / 'mkdocs.yml').read_text(encoding='utf-8')
    assert [page.name for page in sorted((DOCS / 'zh').glob('*.md')) if f'zh/{page.name}' not in nav] == []


@pytest.mark.parametrize(('address', 'titles'), [('limits/', ['Start', 'Use']), ('zh/limits/', ['中文'])])
def test_the_site_shows_the_pages_of_one_language(address, titles):
    hooks = runpy.run_path(str(DOCS / 'hooks.py'))
    nav = SimpleNamespace(items=[SimpleNamespace(title=title) for title in ('Start', 'Use', '中文')])
    shown = hooks['on_page_context']({}, page=SimpleNamespace(url=address), nav=nav)['nav']
    assert [item.title for item in shown.items] == titles and len(nav.items) == 3
