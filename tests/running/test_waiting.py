"""Waiting threads sleep in programs of ours, unless the user has said something else."""

import os
import subprocess
import sys

import pytest

from miqa.running import waiting


@pytest.fixture
def environment(monkeypatch):
    for name in ('OMP_WAIT_POLICY', 'KMP_BLOCKTIME', 'OMP_NUM_THREADS'):
        monkeypatch.delenv(name, raising=False)
    return os.environ


@pytest.mark.parametrize('said', [None, 'ACTIVE'])
def test_openmp_of_pytorch_reads_what_is_set_before_it_is_imported(environment, said):
    pytest.importorskip('torch', reason="needs the extra 'train'")
    code = 'from miqa.running.waiting import wait_passively; wait_passively(); import torch'
    variables = {**environment, 'OMP_DISPLAY_ENV': 'TRUE', **({'OMP_WAIT_POLICY': said} if said else {})}
    done = subprocess.run([sys.executable, '-c', code], env=variables, capture_output=True, text=True, check=True)
    if 'OMP_WAIT_POLICY' not in done.stderr:
        pytest.skip('PyTorch of this machine does not use an OpenMP that shows its settings.')
    assert f"OMP_WAIT_POLICY = '{said or 'PASSIVE'}'" in done.stderr


def test_threads_are_limited_where_a_container_may_use_fewer_cores_than_it_sees(environment, monkeypatch):
    monkeypatch.setattr(waiting.os, 'sched_getaffinity', lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(waiting, 'usable_cores', lambda: 8)
    waiting.wait_passively()
    assert 'OMP_NUM_THREADS' not in environment
    monkeypatch.setattr(waiting, 'usable_cores', lambda: 3)
    waiting.wait_passively()
    assert environment['OMP_NUM_THREADS'] == '3'
    environment['OMP_NUM_THREADS'] = '1'
    waiting.wait_passively()
    assert environment['OMP_NUM_THREADS'] == '1'


def test_the_command_sets_it_before_a_model_is_loaded(environment, capsys):
    from miqa.cli.main import main

    with pytest.raises(SystemExit):
        main(['models', '--help'])
    assert environment['OMP_WAIT_POLICY'] == 'PASSIVE'
