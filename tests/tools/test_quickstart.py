"""The quickstart's installer says in a sentence what is missing, and never spoils what it did not make."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

REPOSITORY = Path(__file__).parents[2]
INSTALL = REPOSITORY / 'tools' / 'install.sh'
QUICKSTART = REPOSITORY / 'tools' / 'quickstart.sh'

# An interpreter that notes what pip is asked to do, keeps a list of "installed" packages in a file, and leaves
# everything else to the real one. "import cv2" works unless opencv-python is installed and libGL is "missing".
STUB = r"""#!/usr/bin/env bash
state=@STATE@
args="$*"
installed() { grep -q "^$1==" "$state/packages"; }
case "$args" in
*'-m pip'*'uninstall'*)
    echo "$args" >>"$state/log"
    for name in "${@:3}"; do sed -i "/^$name==/d" "$state/packages"; done ;;
*'-m pip --version'*) echo 'pip 23.2.1' ;;
*'-m pip'*'install'*'--editable'*'--constraint'* | *'-m pip'*'install'*'--constraint'*)
    echo "$args" >>"$state/log"
    [ ! -e "$state/kill" ] || exit 137
    installed opencv-python || echo 'opencv-python==4.12.0.88' >>"$state/packages"
    echo "$args" | sed 's/.*--editable \([^[]*\).*/\1/' >"$state/points_to" ;;
*'-m pip'*'install'*'--no-build-isolation'*)
    echo "$args" >>"$state/log"
    echo "${@: -1}" >"$state/points_to" ;;
*'-m pip'*'install'*)
    echo "$args" >>"$state/log"
    for name in "$@"; do case $name in *==*) echo "$name" >>"$state/packages" ;; esac; done ;;
*'-m venv'*)
    mkdir -p "${@: -1}/bin"
    touch "${@: -1}/pyvenv.cfg"
    cp "$0" "${@: -1}/bin/python" ;;
*'find_spec("miqa")'*) echo "$(cat "$state/points_to")/miqa/__init__.py" ;;
*'importlib.metadata'*) sed -n "s/^${@: -1}==//p" "$state/packages" | grep . ;;
*'import cv2'*)
    if [ -e "$state/no_libgl" ] && installed opencv-python; then
        echo 'ImportError: libGL.so.1: cannot open shared object file' >&2
        exit 1
    fi
    installed opencv-python || installed opencv-python-headless ;;
*'import torch'*) : ;;
*'tools/data/make_demo.py'*) exit "$(cat "$state/ends")" ;;
*'-m miqa gate make'*)
    echo "$args" >>"$state/log"
    exit "$(cat "$state/ends")" ;;
*'import venv, ensurepip'*) [ ! -e "$state/no_ensurepip" ] ;;
*'import virtualenv'*) exit 1 ;;
*) exec @PYTHON@ "$@" ;;
esac
"""


class Machine:
    """A made-up machine: a stub interpreter and the state that it works on."""

    def __init__(self, folder: Path):
        self.folder, self.state, self.venv = folder, folder / 'state', folder / 'venv'
        self.state.mkdir(parents=True)
        (self.state / 'packages').touch()
        (self.state / 'points_to').write_text('/nowhere')
        self.python = folder / 'python3'
        self.python.write_text(STUB.replace('@STATE@', str(self.state)).replace('@PYTHON@', sys.executable))
        self.python.chmod(0o755)

    def install(self, extra='demo', **environment):
        return self.run(INSTALL, extra, **environment)

    def quickstart(self, ends: int, **environment):
        """Run it where its longest step ends with this status."""
        (self.state / 'ends').write_text(str(ends))
        return self.run(QUICKSTART, **environment)

    def run(self, *command, **environment):
        return run(*command, **{'MIQA_PYTHON': str(self.python), 'MIQA_VENV': str(self.venv), **environment})

    @property
    def log(self) -> list[str]:
        path = self.state / 'log'
        return path.read_text().splitlines() if path.is_file() else []

    @property
    def packages(self) -> list[str]:
        return (self.state / 'packages').read_text().split()


def run(*command, cwd=None, **environment):
    environment = {'PATH': os.environ['PATH'], **environment}
    command = ['bash', *map(str, command)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.mark.parametrize('script', [INSTALL, QUICKSTART])
def test_help_explains_without_doing_anything(script, tmp_path):
    result = run(script, '--help', MIQA_VENV=str(tmp_path / 'venv'))
    assert result.returncode == 0 and 'MIQA_VENV' in result.stdout
    assert 'set -euo' not in result.stdout and not list(tmp_path.iterdir())


def test_an_unknown_set_or_option_is_refused_with_the_choices(machine):
    result = machine.install('everything')
    assert result.returncode == 1 and 'core, train, demo, dev' in result.stderr
    assert run(QUICKSTART, '--fast').returncode == 2
    assert not machine.venv.exists()


def test_an_unknown_task_is_refused_with_the_choices(tmp_path):
    result = run(QUICKSTART, MIQA_TASK='seg', MIQA_VENV=str(tmp_path / 'venv'))
    assert result.returncode == 2 and 'cls, det, ins' in result.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('status', 'said'), [(130, 'Interrupted in step'), (143, 'Interrupted in step'), (1, 'stopped in step')]
)
def test_a_step_that_ends_early_says_so_and_that_the_same_command_goes_on(machine, status, said):
    result = machine.quickstart(status)
    assert result.returncode == status
    assert f"{said} '2/6 build the database'" in result.stderr
    assert 'it goes on from there' in result.stderr


@pytest.mark.parametrize(('status', 'ends'), [(0, 0), (3, 0), (1, 1)])
def test_annotated_photographs_and_a_detector_replace_the_pasted_scenes(machine, tmp_path, status, ends):
    (tmp_path / 'shots').mkdir()
    own = {'MIQA_PHOTOS': 'shots', 'MIQA_ANNOTATIONS': 'shots.json', 'MIQA_MACHINE': 'yolox'}
    result = machine.quickstart(status, cwd=tmp_path, **own, MIQA_TASK='det', MIQA_WORK='results')
    assert result.returncode == ends, result.stderr
    assert machine.log[-1] == (
        f'-m miqa gate make {tmp_path}/shots --task det --machine yolox --annotations {tmp_path}/shots.json '
        f'--out {tmp_path}/results/gate'
    )
    assert f'Trained on: the photographs in {tmp_path}/shots' in result.stdout
    assert ('it goes on from there' in result.stderr) == bool(ends)


def test_the_pasted_scenes_are_called_what_they_are(machine):
    result = machine.quickstart(1, MIQA_TASK='ins')
    assert 'Trained on: scenes pasted together' in result.stdout and "'2/5 build the database'" in result.stderr


@pytest.mark.parametrize('environment', [
    {'MIQA_TASK': 'det', 'MIQA_PHOTOS': 'shots'},
    {'MIQA_TASK': 'ins', 'MIQA_PHOTOS': 'shots', 'MIQA_MACHINE': 'yolox'},
    {'MIQA_PHOTOS': 'shots', 'MIQA_MACHINE': 'yolox', 'MIQA_ANNOTATIONS': 'shots.json'},
])  # fmt: skip
def test_half_of_what_own_photographs_need_is_refused_before_anything_is_installed(environment, tmp_path):
    result = run(QUICKSTART, MIQA_VENV=str(tmp_path / 'venv'), **environment)
    assert result.returncode == 2 and 'MIQA_ANNOTATIONS' in result.stderr and not list(tmp_path.iterdir())


def test_no_fitting_python_is_reported(tmp_path):
    tools = tmp_path / 'bin'
    tools.mkdir()
    for name in ('bash', 'dirname', 'cat', 'mkdir', 'basename', 'id', 'sha256sum', 'cut', 'sed', 'head', 'grep', 'env'):
        (tools / name).symlink_to(shutil.which(name))
    old = tools / 'python3'
    old.write_text('#!/bin/bash\n[ "$1" = --version ] && echo "Python 3.9.18" || exit 1\n')
    old.chmod(0o755)
    result = run(INSTALL, PATH=str(tools), MIQA_VENV=str(tmp_path / 'venv'))
    assert result.returncode == 1
    assert 'Python 3.10, 3.11 or 3.12 is needed' in result.stderr and 'Python 3.9.18' in result.stderr
    assert not (tmp_path / 'venv').exists()


def test_a_named_interpreter_that_does_not_work_is_named(machine):
    result = machine.install(MIQA_PYTHON='/bin/false')
    assert result.returncode == 1 and 'MIQA_PYTHON=/bin/false is not a working Python' in result.stderr


def test_a_python_without_venv_gets_the_name_of_the_package(machine):
    (machine.state / 'no_ensurepip').touch()
    result = machine.install()
    assert result.returncode == 1 and '-venv' in result.stderr and 'apt-get install' in result.stderr


def test_a_folder_that_is_not_an_environment_is_left_alone(machine):
    machine.venv.mkdir()
    (machine.venv / 'thesis.tex').write_text('years of work')
    result = machine.install()
    assert result.returncode == 1 and 'is not a virtual environment' in result.stderr
    assert (machine.venv / 'thesis.tex').read_text() == 'years of work'


def test_the_first_run_installs_the_pinned_versions_and_the_second_does_nothing(machine):
    first = machine.install()
    assert first.returncode == 0, first.stderr
    assert any(f'--constraint {REPOSITORY}/requirements.txt --editable {REPOSITORY}[demo]' in x for x in machine.log)
    done = list(machine.log)
    second = machine.install()
    assert second.returncode == 0 and machine.log == done and 'ready' in second.stdout


def test_pytorch_comes_from_the_index_that_was_named_and_only_where_it_is_not_there(machine):
    index = 'https://example.org/cpu'
    result = machine.install(MIQA_TORCH_INDEX=index)
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in machine.log if index in line]
    assert '--no-deps' in line and 'torch==' in line and 'torchvision==' in line
    assert index in result.stdout and machine.log.index(line) < next(
        place for place, other in enumerate(machine.log) if '--editable' in other
    )
    machine.install('dev', MIQA_TORCH_INDEX=index)
    assert len([line for line in machine.log if index in line]) == 1


def test_whoever_has_no_gpu_is_told_of_the_smaller_builds(machine, tmp_path):
    tools = tmp_path / 'bin'
    tools.mkdir()
    smi = tools / 'nvidia-smi'
    smi.write_text('#!/bin/sh\n')
    smi.chmod(0o755)
    environment = {'PATH': f'{tools}:{os.environ["PATH"]}'}
    command = 'MIQA_TORCH_INDEX=https://download.pytorch.org/whl/cpu bash tools/install.sh demo'
    assert command in machine.install(**environment).stdout
    smi.write_text('#!/bin/sh\necho "GPU 0: NVIDIA H100"\n')
    assert command not in Machine(tmp_path / 'other').install(**environment).stdout


def test_a_build_for_cpus_fits_the_pins_and_no_requirement_asks_for_cuda():
    pins = dict(re.findall(r'^(torch|torchvision)==(\S+)', (REPOSITORY / 'requirements.txt').read_text(), re.M))
    assert set(pins) == {'torch', 'torchvision'}
    for pin in pins.values():
        assert SpecifierSet(f'=={pin}').contains(f'{pin}+cpu')
    required = (REPOSITORY / 'requirements.txt').read_text() + (REPOSITORY / 'setup.py').read_text()
    assert not re.search(r'nvidia-|cupy|-gpu\b|\+cu\d', required)


def test_the_package_is_installed_as_a_plain_path(machine):
    machine.install()
    installs = [line for line in machine.log if '--editable' in line]
    (machine.state / 'points_to').write_text('/another/clone')
    machine.install()
    installs += [line for line in machine.log if '--no-build-isolation' in line]
    assert len(installs) == 2 and all('--config-settings editable_mode=compat' in line for line in installs)


def test_the_larger_set_contains_the_smaller_but_not_the_other_way_round(machine):
    machine.install('demo')
    count = len(machine.log)
    machine.install('core')
    assert len(machine.log) == count
    machine.install('dev')
    assert any('[dev]' in line for line in machine.log[count:])
    count = len(machine.log)
    machine.install('demo')
    assert len(machine.log) == count


def test_an_interrupted_installation_is_made_again_from_scratch(machine):
    (machine.state / 'kill').touch()
    assert machine.install().returncode != 0
    (machine.venv / 'half_a_package').touch()
    (machine.state / 'kill').unlink()
    result = machine.install()
    assert result.returncode == 0 and 'interrupted' in result.stdout
    assert not (machine.venv / 'half_a_package').exists()
    assert not (machine.venv / '.installing').exists()


def test_an_interrupted_installation_into_the_users_own_environment_deletes_nothing(machine):
    subprocess.run([str(machine.python), '-m', 'venv', str(machine.venv)], check=True)
    (machine.state / 'kill').touch()
    assert machine.install().returncode != 0
    (machine.state / 'kill').unlink()
    (machine.venv / 'of_the_users').touch()
    result = machine.install()
    assert result.returncode == 1 and 'incomplete' in result.stderr
    assert (machine.venv / 'of_the_users').exists()


def test_without_libgl_opencv_is_replaced_by_the_headless_package_of_the_same_version(machine):
    (machine.state / 'no_libgl').touch()
    result = machine.install()
    assert result.returncode == 0, result.stderr
    assert 'opencv-python-headless==4.12.0.88' in machine.packages
    assert not any(name.startswith('opencv-python==') for name in machine.packages)
    assert 'libGL' in result.stdout and 'headless' in result.stdout


def test_two_opencv_packages_become_one(machine):
    (machine.state / 'packages').write_text('opencv-python-headless==4.12.0.88\n')
    assert machine.install().returncode == 0
    assert [name for name in machine.packages if name.startswith('opencv')] == ['opencv-python==4.12.0.88']


def test_an_environment_that_another_clone_used_last_is_pointed_back(machine):
    machine.install()
    (machine.state / 'points_to').write_text('/some/other/clone')
    count = len(machine.log)
    result = machine.install()
    assert result.returncode == 0 and '/some/other/clone' in result.stdout
    assert len(machine.log) == count + 1 and '--no-deps --no-build-isolation' in machine.log[-1]
    assert machine.log[-1].endswith(str(REPOSITORY))
