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
    monkeypatch.setattr(requirements, '_CHECKOUT', tmp_path)
    assert install_command('serve') == "pip install 'miqa[serve]'" and install_command() == 'pip install miqa'
    monkeypatch.setitem(sys.modules, 'fastapi', None)
    with pytest.raises(ImportError, match=r"The endpoint needs fastapi.*pip install 'miqa\[serve\]'"):
        require('fastapi', 'The endpoint')


@pytest.mark.parametrize(
    ('module', 'extra'), [('scipy.stats', '[train]'), ('torch', '[train]'), ('cv2', '[video]'), ('onnxruntime', '')]
)
def test_a_missing_module_is_one_sentence_with_the_line_to_paste(module, extra, tmp_path, monkeypatch):
    monkeypatch.setattr(requirements, '_CHECKOUT', tmp_path)
    name = module.partition('.')[0]
    install = f"pip install 'miqa{extra}'" if extra else 'pip install miqa'
    said = explained(ModuleNotFoundError(f'No module named {module!r}', name=module))
    assert said == f'This needs {name}, which is not installed. Install it: {install}'
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


def test_workers_that_distort_label_and_pack_import_no_pytorch():
    """One a core: each would spend seconds and 200 MB on it."""
    worked = 'miqa.distortions.build, miqa.labelling.build, miqa.labelling.verify, miqa.datasets.packing'
    code = f'import sys; sys.modules["torch"] = None; import {worked}'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-500:]


def test_a_plan_of_a_gate_does_not_import_what_only_its_report_and_its_heads_need():
    code = (
        'import sys; sys.modules.update(dict.fromkeys(("scipy.stats", "sklearn", "matplotlib")))\n'
        'from miqa.gates.make import plan_gate'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-500:]
