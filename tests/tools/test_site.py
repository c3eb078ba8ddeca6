"""The site builds without a warning: every link leads somewhere, every documented name exists."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip('mkdocs', reason="mkdocs is missing: pip install -e '.[docs]'")
    pytest.importorskip('mkdocstrings_handlers.python', reason="mkdocstrings is missing: pip install -e '.[docs]'")
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--quiet', '--site-dir', str(tmp_path / 'site')]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, 'NO_MKDOCS_2_WARNING': '1'}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / 'site' / 'api' / 'apis' / 'index.html').read_text(encoding='utf-8')
    assert ':class:<code' not in page and ':meth:<code' not in page and 'Examples::' not in page
    assert 'miqa.apis.model.MIQAModel.assess' in page and 'miqa.apis.gate_fit.fit_gate' in page
    assert (tmp_path / 'site' / 'zh' / 'index.html').is_file()
    # Nothing is fetched from elsewhere: fonts and scripts are the site's own.
    assert 'fonts.googleapis.com' not in (tmp_path / 'site' / 'index.html').read_text(encoding='utf-8')
