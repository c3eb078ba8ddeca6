"""Commands that are killed, run out of disk, or lose an input: nothing is lost, and the end is that of a calm run."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from helpers_tools import load_tool

from miqa.keeping import sweep
from miqa.outside.checkpoint_files import read_torch_file

#: Those that need no training, and the others.
QUICK = ('distort', 'machines', 'label', 'split', 'index', 'pack', 'gate')
SLOW = ('train', 'benchmark', 'image', 'filter', 'video', 'miqa label')
ROOT_NEEDED = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which('mount'), reason='Only root can mount a small disk.'
)


@pytest.fixture(scope='module')
def tool():
    found = load_tool('tools/analysis/check_reliability.py')
    found.MOST_KILLS = 1
    return found


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    return tmp_path_factory.mktemp('reliability')


def check(tool, work, steps, fault):
    results = tool.check_reliability(list(steps), [fault], tries=1, seed=1, work=work / fault.replace(' ', '_'))
    assert {result.step: result.problems for result in results} == {step: [] for step in steps}
    assert all(result.left_out or result.passed == result.tries == 1 for result in results)


@pytest.mark.parametrize('steps', [QUICK, pytest.param(SLOW, marks=pytest.mark.slow)], ids=['quick', 'slow'])
def test_commands_that_are_killed_leave_what_a_calm_run_leaves(steps, tool, work):
    check(tool, work, steps, 'kill')


@ROOT_NEEDED
@pytest.mark.slow
@pytest.mark.parametrize('steps', [QUICK, SLOW], ids=['quick', 'slow'])
@pytest.mark.parametrize('fault', ['full disk', 'read-only'])
def test_a_disk_that_is_full_or_cannot_be_written_ends_in_a_sentence_and_harms_nothing(fault, steps, tool, work):
    if not may_mount(work):
        pytest.skip('This root may not mount.')
    check(tool, work, steps, fault)


@pytest.mark.slow
@pytest.mark.parametrize('steps', [QUICK, SLOW], ids=['quick', 'slow'])
def test_an_input_that_vanishes_while_it_is_wanted_is_missed_by_name_and_done_when_it_is_back(steps, tool, work):
    check(tool, work, steps, 'vanished')


def may_mount(folder):
    place = folder / 'mounted'
    place.mkdir(exist_ok=True)
    done = subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', str(place)], capture_output=True, check=False)
    if done.returncode == 0:
        subprocess.run(['umount', str(place)], check=True)
    return done.returncode == 0


def test_a_training_that_is_killed_while_it_saves_keeps_the_checkpoint_before(tmp_path):
    """The new file is whole beside its place, or half-written, when the process dies."""
    path = tmp_path / 'latest.pth'
    code = """
import os, signal, sys, torch
from miqa.keeping import atomic_write
with atomic_write(sys.argv[1]) as temporary:
    torch.save({'state_dict': {'x': torch.ones(100_000)}}, temporary)
    if sys.argv[2] == 'half':
        os.truncate(temporary, os.path.getsize(temporary) // 2)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    torch.save({'state_dict': {'x': torch.zeros(3)}}, path)
    before = path.read_bytes()
    for moment in ('half', 'whole'):
        done = subprocess.run([sys.executable, '-c', code, path, moment], check=False)
        assert done.returncode == -9 and path.read_bytes() == before
        assert len(list(tmp_path.iterdir())) == 2
        assert sweep(tmp_path) == 1 and list(tmp_path.iterdir()) == [path]
    assert read_torch_file(path)['state_dict']['x'].tolist() == [0, 0, 0]


def test_the_check_notices_contents_that_differ_and_what_is_left_behind(tool, tmp_path):
    step = tool.STEPS['gate']
    (tmp_path / 'gate.json').write_text('{"a": 1}')
    expected = tool.contents_of(tmp_path / 'gate.json')
    assert tool.judge(step, tmp_path, expected, 0, '') == ''
    assert 'ended with 1' in tool.judge(step, tmp_path, expected, 1, 'Error: no')
    assert 'a traceback' in tool.judge(step, tmp_path, expected, 0, 'Traceback (most recent call last)')
    (tmp_path / '.gate.abcd1234.part.json').touch()
    assert 'left ' in tool.judge(step, tmp_path, expected, 0, '')
    (tmp_path / 'gate.json').write_text('{"a": 2}')
    assert 'other contents: gate.json' in tool.judge(step, tmp_path, expected, 0, '')
