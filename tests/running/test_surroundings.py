"""What a user's surroundings cause ends in one sentence with a remedy, and is never mistaken for something else."""

import errno
import logging
import multiprocessing
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from miqa.errors import CheckpointError
from miqa.keeping.files import atomic_write
from miqa.running.cores import usable_cores
from miqa.running.logs import report_once
from miqa.running.surroundings import cause_in_surroundings


@pytest.mark.parametrize(('error', 'message'), [
    (RuntimeError('Could not determine home directory.'), 'MIQA_HOME='),
    (KeyError('getpwuid(): uid not found: 1234'), 'USER=me'),
    (RuntimeError('DataLoader worker (pid 7) is killed by signal: Bus error. It is possible ...'), '--shm-size'),
    (RuntimeError('unable to allocate shared memory(shm) for file </torch_1>: Success (0)'), '--shm-size'),
    (OSError(errno.ENOSPC, 'No space left on device', '/dev/shm/psm_1'), '--shm-size'),
    (RuntimeError("can't start new thread"), 'ulimit -u'),
    (BlockingIOError(errno.EAGAIN, 'Resource temporarily unavailable'), 'pids-limit'),
    (OSError(errno.EMFILE, 'Too many open files', 'a.jpg'), 'ulimit -n'),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), '--batch-size'),
    (MemoryError(), '--batch-size'),
], ids=str)  # fmt: skip
def test_each_cause_has_a_sentence(error, message):
    assert message in cause_in_surroundings(error)
    outer = RuntimeError('Caught an error in a worker')
    outer.__cause__ = error
    assert message in cause_in_surroundings(outer)


def test_a_lock_that_finds_no_shared_memory_and_names_no_file_has_a_sentence(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr('multiprocessing.synchronize._multiprocessing', type('Stand', (), {'SemLock': full}))
    with pytest.raises(OSError, match='No space') as raised:
        multiprocessing.Lock()
    assert '--shm-size' in cause_in_surroundings(raised.value)
    assert cause_in_surroundings(OSError(errno.ENOSPC, 'No space left on device')) is None


def test_errors_of_this_project_and_names_of_files_are_left_alone():
    error = CheckpointError('m.onnx cannot score 8 pictures at once')
    error.__cause__ = RuntimeError('out of memory')
    for each in (error, FileNotFoundError('There is no file /dev/shm/shared memory.jpg.'), KeyError('home directory')):
        assert cause_in_surroundings(each) is None
    assert cause_in_surroundings(OSError(errno.ENOSPC, 'No space left on device', '/data/x')) is None


CODE = """
from miqa.running.command_line import run_command
def main():
    with open('kept.txt', 'w') as stream:
        stream.write('kept')
        stream.flush()
        import os
        os.write(1, b'printed by a library')
        print('printed')
run_command(main)
"""


@pytest.mark.skipif(sys.platform == 'win32', reason='needs a POSIX shell')
def test_closed_streams_end_no_command_and_nothing_is_printed_into_a_file(tmp_path):
    (tmp_path / 'main.py').write_text(CODE)
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, [str(Path.cwd()), *sys.path]))}
    done = subprocess.run(
        ['sh', '-c', f'{sys.executable} main.py <&- >&- 2>&-'], cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0 and (tmp_path / 'kept.txt').read_text() == 'kept'


def test_a_user_without_home_and_name_has_a_cache_that_goes_away(tmp_path, monkeypatch):
    from miqa.outside import user_folders

    for name in ('HOME', 'XDG_CACHE_HOME', 'MIQA_HOME'):
        monkeypatch.delenv(name, raising=False)

    def nobody(number):
        raise KeyError(f'getpwuid(): uid not found: {number}')

    monkeypatch.setattr('pwd.getpwuid', nobody)
    folder = user_folders.user_cache()
    assert folder.is_dir() and folder == user_folders.user_cache()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_written_files_have_the_rights_of_the_umask_which_is_never_set(tmp_path, monkeypatch):
    plain = tmp_path / 'plain'
    plain.touch()
    monkeypatch.setattr(os, 'umask', None)
    monkeypatch.setattr(os, 'chmod', None)
    with atomic_write(tmp_path / 'x.txt') as temporary:
        temporary.write_text('x')
    assert stat.S_IMODE((tmp_path / 'x.txt').stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize(('files', 'membership', 'cores'), [
    ({'cpu.max': '200000 100000'}, '0::/', 2),
    ({'cpu.max': 'max 100000', 'a/cpu.max': '150000 100000', 'a/b/cpu.max': 'max 100000'}, '0::/a/b', 2),
    ({'cpu/cpu.cfs_quota_us': '50000', 'cpu/cpu.cfs_period_us': '100000'}, '4:cpu,cpuacct:/x\n', 1),
    ({'cpu/cpu.cfs_quota_us': '-1', 'cpu/cpu.cfs_period_us': '100000'}, '4:cpu:/', 64),
    ({'cpu.max': 'damaged'}, '', 64), ({}, '0::/../../etc', 64),
], ids=str)  # fmt: skip
def test_a_containers_quota_counts_as_cores(tmp_path, monkeypatch, files, membership, cores):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(64)), raising=False)
    for name, text in files.items():
        (tmp_path / 'groups' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'groups' / name).write_text(text)
    (tmp_path / 'membership').write_text(membership)
    assert usable_cores(tmp_path / 'groups', tmp_path / 'membership') == cores


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='only Linux has a device that is always full')
def test_a_full_disk_is_reported_once_and_other_handlers_stay_as_they_are(capsys):
    before = logging.Handler.handleError
    logger = logging.Logger('of a run')
    logger.addHandler(logging.FileHandler('/dev/full'))
    logger.handlers[0].setLevel(logging.WARNING)
    report_once(report_once(logger))
    for _ in range(3):
        logger.warning('Epoch 1')
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith('/dev/full cannot be written, so that messages are missing there: ')
    assert logger.handlers[0].level == logging.WARNING
    assert logging.Handler.handleError is before


def test_a_log_whose_reader_has_gone_ends_the_command_quietly():
    program = (
        'import sys\nfrom miqa.running.command_line import run_command\nfrom miqa.running.logs import log\n'
        'def main():\n    sys.stdin.read()\n    log("Indexed 3 samples.")\nrun_command(main)\n'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    process.stdin.close()
    assert process.stderr.read() == b''
    assert process.wait() == 141
