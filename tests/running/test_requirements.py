"""What is missing is said with a command that installs it, from where MIQA was installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from miqa.running import requirements
from miqa.running.requirements import explained, install_command, require

ROOT = Path(__file__).parents[2]


def test_a_checkout_is_named_by_its_path_where_one_is_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert install_command('serve') == f"pip install -e '{ROOT}[serve]'"
    monkeypatch.chdir(ROOT)
    assert install_command('serve') == "pip install -e '.[serve]'" and install_command() == 'pip install -e .'


def test_a_wheel_is_named_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(requirements, '__file__', str(tmp_path / 'site-packages/miqa/running/requirements.py'))
    assert install_command('serve') == "pip install 'miqa[serve]'" and install_command() == 'pip install miqa'
    monkeypatch.setitem(sys.modules, 'fastapi', None)
    with pytest.raises(ImportError, match=r"The endpoint needs fastapi.*pip install 'miqa\[serve\]'"):
        require('fastapi', 'The endpoint')


def test_a_part_that_is_missing_of_what_is_required_comes_with_the_rest():
    said = explained(ModuleNotFoundError("No module named 'scipy.stats'", name='scipy.stats'))
    assert said.startswith("No module named 'scipy.stats'. Only a part of what MIQA requires") and 'pip install' in said
    assert 'pip install' in explained(ModuleNotFoundError("No module named 'cv2'", name='cv2'))
    # A module of the user's own is nothing that pip has.
    assert explained(ModuleNotFoundError("No module named 'my_net'", name='my_net')) == "No module named 'my_net'"


def test_the_help_of_every_command_needs_nothing_heavy():
    from miqa.cli.main import COMMANDS

    heavy = ('torch', 'scipy', 'pandas', 'matplotlib', 'pyarrow', 'timm')
    code = (
        f'import sys\nsys.modules.update(dict.fromkeys({heavy}))\n'
        'from miqa.cli.main import main\nmain([sys.argv[1], "--help"])'
    )
    for command in COMMANDS:
        done = subprocess.run([sys.executable, '-c', code, command], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0 and 'usage: miqa' in done.stdout, (command, done.stderr[-500:])
