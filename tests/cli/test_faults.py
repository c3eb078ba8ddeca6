"""Commands that are killed, run out of disk, or lose an input: nothing is lost, and the end is that of a calm run."""

import os
import shutil
import subprocess

import pytest
import torch
from helpers_tools import load_tool

from miqa.keeping import sweep
from miqa.outside.checkpoint_files import read_torch_file

#: Every kind of command that writes files, and every way to disturb it.
STEPS = (
    'distort', 'machines', 'label', 'split', 'index', 'pack', 'gate', 'train', 'benchmark', 'image', 'filter', 'video',
    'miqa label',
)  # fmt: skip
FAULTS = ('kill', 'vanished', 'full disk', 'read-only')


@pytest.fixture(scope='module')
def tool(warm):
    actual = load_tool('tests/reliability/check_reliability.py')
    actual.MOST_KILLS = 1
    return actual


@pytest.fixture(scope='module')
def outcomes(tool, tmp_path_factory):
    """Disturb all steps in all ways, beside one undisturbed run that all are compared with; (fault, step) -> result."""
    work = tmp_path_factory.mktemp('reliability')
    faults = [fault for fault in FAULTS if may_mount(work) or fault in ('kill', 'vanished')]
    results = tool.check_reliability(list(STEPS), faults, tries=1, seed=1, work=work)
    return {(result.fault, result.step): result for result in results}


@pytest.mark.slow
@pytest.mark.parametrize('fault', FAULTS)
def test_disturbed_commands_end_in_a_sentence_and_the_next_run_leaves_what_a_calm_one_leaves(fault, outcomes):
    """Killed; an input vanishes while it is wanted; the disk is full or cannot be written."""
    if (fault, 'gate') not in outcomes:
        pytest.skip('Only root, where it may mount, can make a small disk.')
    assert {step: outcomes[fault, step].problems for step in STEPS} == {step: [] for step in STEPS}
    for step in STEPS:
        result = outcomes[fault, step]
        assert result.skipped or result.passed == result.tries == 1


def may_mount(folder):
    if os.geteuid() or not shutil.which('mount'):
        return False
    place = folder / 'mounted'
    place.mkdir(exist_ok=True)
    done = subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', str(place)], capture_output=True, check=False)
    if done.returncode == 0:
        subprocess.run(['umount', str(place)], check=True)
    return done.returncode == 0


def test_a_training_that_is_killed_while_it_saves_keeps_the_checkpoint_before(tool, tmp_path):
    """The new file is whole beside its place, or half-written, when the process dies."""
    folder = tmp_path / 'run'
    folder.mkdir()
    path = folder / 'latest.pth'
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
        ended = tool.Command(['-c', code, str(path), moment], tmp_path).finish(600)
        assert ended[0] == -9 and path.read_bytes() == before, ended
        assert len(list(folder.iterdir())) == 2
        assert sweep(folder) == 1 and list(folder.iterdir()) == [path]
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
