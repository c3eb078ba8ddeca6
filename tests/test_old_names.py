"""What version 0.1 let people import still imports: every module path, and every name in an ``__all__``.

``old_names.csv`` holds them (a row without a name is a module). Four modules are not in it: the package's halves of
benchmarks (``apis.benchmark``, ``datasets.index_benchmark``, ``datasets.loader_benchmark``,
``models.step_benchmark``), which nothing but the scripts in tools/analysis imported and which are part of them now.
"""

import csv
import importlib
import re
from pathlib import Path

import pytest

from miqa.moved import MOVED

ROOT = Path(__file__).parents[1]

with open(Path(__file__).with_name('old_names.csv'), encoding='utf-8') as stream:
    OLD = [(row['module'], row['name']) for row in csv.DictReader(stream)]


@pytest.mark.parametrize('module', sorted({module for module, _ in OLD}))
def test_an_old_module_imports_with_all_its_public_names(module):
    found = importlib.import_module(module)
    missing = [name for old, name in OLD if old == module and name and not hasattr(found, name)]
    assert not missing


@pytest.mark.parametrize('old', sorted(MOVED))
def test_a_module_that_moved_is_the_very_same_module(old):
    assert importlib.import_module(old) is importlib.import_module(MOVED[old])


def test_every_old_module_is_listed():
    # Of version 0.1: 195 modules of the package and two at the top, less the four above.
    assert len({module for module, _ in OLD}) == 195 + 2 - 4
    assert set(MOVED) <= {module for module, _ in OLD}


def test_every_import_that_the_documentation_shows_works():
    pages = [*ROOT.glob('*.md'), *(ROOT / 'docs').rglob('*.md'), ROOT / 'data/README.md', ROOT / 'docs/tutorial.ipynb']
    shown = set()
    for page in pages:
        for module, names in re.findall(
            r'from ((?:miqa|machine_iqa)[a-z_.]*) import ([A-Za-z_][\w, ]*)', page.read_text(encoding='utf-8')
        ):
            shown.update((module, name.split(' as ')[0].strip()) for name in names.split(','))
    assert len(shown) >= 10
    for module, name in sorted(shown):
        assert hasattr(importlib.import_module(module), name), f'from {module} import {name}'
