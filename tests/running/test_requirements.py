"""What is missing is said with a command that installs it, from where MIQA was installed."""

import json
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


@pytest.mark.parametrize(('module', 'install'), [
    ('scipy.stats', "pip install scipy (all that train needs: pip install 'miqa[train]')"),
    ('torch', "pip install 'miqa[train]'"), ('cv2', "pip install 'miqa[video]'"), ('onnxruntime', 'pip install miqa'),
])  # fmt: skip
def test_a_missing_module_is_one_sentence_with_the_line_to_paste(module, install, tmp_path, monkeypatch):
    monkeypatch.setattr(requirements, '_CHECKOUT', tmp_path)
    name = module.partition('.')[0]
    message = explained(ModuleNotFoundError(f'No module named {module!r}', name=module))
    assert message == f'This needs {name}, which is not installed. Install it: {install}'
    # A module of the user's own is nothing that pip has.
    assert explained(ModuleNotFoundError("No module named 'my_net'", name='my_net')) == "No module named 'my_net'"


#: Runs the help of every command in one process.
HELP = """
import contextlib, io, json, sys
from miqa.cli.main import COMMANDS, main
texts = {}
for command in COMMANDS:
    with contextlib.redirect_stdout(io.StringIO()) as stdout, contextlib.suppress(SystemExit):
        main([command, '--help'])
    texts[command] = stdout.getvalue()
with contextlib.suppress(SystemExit):
    main(['--help'])
print(json.dumps(texts))
"""
FILTER = "from miqa.cli.main import main; main(['filter', 'docs/images', '--keep', '0.5'])"


@pytest.mark.parametrize(
    ('code', 'heavy'),
    [
        (HELP, 'torch scipy pandas matplotlib pyarrow timm mmengine'),
        # One a core: each would spend seconds and 200 MB on it.
        ('import miqa.distortions.build, miqa.labelling.build, miqa.labelling.verify, miqa.datasets.packing', 'torch'),
        ('from miqa.gates.make import plan_gate', 'scipy.stats sklearn matplotlib'),
        (FILTER, 'torch scipy pandas cv2'),
    ],
    ids=['help', 'workers that distort, label and pack', 'a plan of a gate', 'a filter of pictures'],
)
def test_it_needs_nothing_heavy(code, heavy):
    forbid = f'import sys; sys.modules.update(dict.fromkeys({heavy.split()}))\n'
    done = subprocess.run([sys.executable, '-c', forbid + code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-500:]
    if code == HELP:
        assert done.stdout.startswith('usage: miqa')
        texts = json.loads(done.stdout.splitlines()[-1])
        assert len(texts) > 10 and all(text.startswith(f'usage: miqa {name}') for name, text in texts.items())
        assert all('Examples:' in texts[name] for name in ('image', 'filter', 'models', 'export'))
