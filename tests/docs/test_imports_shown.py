"""Every import that the documentation shows works, and what was renamed before a release is gone."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


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


@pytest.mark.parametrize('module', ['miqa.apis.cli', 'miqa.moved', 'miqa.reports.predictions'])
def test_a_module_that_was_renamed_before_the_first_release_is_unknown_to_python(module):
    done = subprocess.run([sys.executable, '-m', module], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert f'No module named {module}' in done.stderr or f'No module named {module!r}' in done.stderr
    assert 'Traceback' not in done.stderr
