"""Environment problems: closed streams, no home, no name, little shared memory, few processes.

Each becomes one sentence that says what to do. :func:`miqa.running.command_line.run_command` asks here, and nothing
else does.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable

from miqa.errors import MIQAError

_SHARED_MEMORY = re.compile(r'shared memory|Bus error|\(shm\)|shm_open|</torch_\w+|DataLoader worker .*signal: Killed')
_MEMORY = re.compile(
    r'out of memory|not enough memory|(can.t|cannot|failed to) allocate|bad.alloc|failed to map segment', re.IGNORECASE
)
_HANDLES = re.compile(r'Too many open files|received 0 items of ancdata')
_PROCESSES = re.compile(r"can't start new thread|Resource temporarily unavailable|pthread_create")
_HOME = re.compile(r'[Cc]ould not determine home|home directory')
_NAME = re.compile(r'getpwuid|uid not found|No username set in the environment')


def _shared_memory() -> str:
    size = ''
    if hasattr(os, 'statvfs') and os.path.isdir('/dev/shm'):  # noqa: S108, PTH112
        status = os.statvfs('/dev/shm')  # noqa: S108
        size = f' It has {status.f_frsize * status.f_blocks / 2**20:.3g} MB here.'
    return (
        f'The shared memory (/dev/shm) is too small for what processes pass to one another.{size} In Docker give more: '
        'docker run --shm-size=2g ...; or use fewer processes (--workers 0; for training: --cfg-options '
        'train_dataloader.num_workers=0 val_dataloader.num_workers=0), or a smaller batch.'
    )


def _number() -> str:
    return str(os.getuid()) if hasattr(os, 'getuid') else 'of this process'


#: What the text of an error, or of one that it came from, says; and the sentence in its place.
_CAUSES: tuple[tuple[re.Pattern, Callable[[], str]], ...] = (
    (_HOME, lambda: 'This user has no home folder. Name one: HOME=/a/folder, or MIQA_HOME=/a/folder for MIQA alone.'),
    (
        _NAME,
        lambda: (
            f'The user {_number()} has no name on this system. Give one: USER=me LOGNAME=me HOME=/a/folder; in '
            'Docker: docker run -e USER=me -e HOME=/tmp ...'
        ),
    ),
    (_SHARED_MEMORY, _shared_memory),
    (
        _HANDLES,
        lambda: (
            'Too many files are open at once for the limit of this shell. Raise it: ulimit -n 65536; or use fewer '
            'processes (--workers, --jobs).'
        ),
    ),
    (
        _PROCESSES,
        lambda: (
            'No further process or thread can be started: the limit of this user or container is reached. Raise it '
            '(ulimit -u; docker run --pids-limit), or use fewer (--workers, --jobs, OMP_NUM_THREADS).'
        ),
    ),
    (_MEMORY, lambda: 'there is not enough memory. Use a smaller --batch-size, or fewer --workers.'),
)
#: Errors in which the system says that the disk, a limit or a stream is the cause; they are sentences as they are.
_NUMBERS = {errno.EMFILE: _HANDLES, errno.ENFILE: _HANDLES, errno.ENOMEM: _MEMORY, errno.EAGAIN: _PROCESSES}


def cause_in_surroundings(error: BaseException) -> str | None:
    """Return what in a user's surroundings an error comes from, as a sentence with a remedy; None where it does not.

    Only errors of the system and of libraries count: this project's own are sentences already.
    """
    visited: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in visited and not isinstance(each, (MIQAError, ValueError)):
        visited.add(id(each))
        for pattern, sentence in _CAUSES:
            if _comes_from(each, pattern):
                reason = ' '.join(str(each).split())[:200]
                return (
                    sentence().replace('memory.', f'memory ({reason}).', 1)
                    if pattern is _MEMORY and reason
                    else sentence()
                )
        each = each.__cause__ or each.__context__
    return None


def _comes_from(error: BaseException, cause: re.Pattern) -> bool:
    if isinstance(error, MemoryError):
        return cause is _MEMORY
    if isinstance(error, KeyError):
        return cause is _NAME and bool(cause.search(str(error)))
    if isinstance(error, OSError):
        # What it says may be the name of a file.
        full = error.errno == errno.ENOSPC and (
            str(error.filename or '').startswith('/dev/shm')  # noqa: S108
            or (error.filename is None and _made_a_lock(error))
        )
        return _NUMBERS.get(error.errno or 0) is cause or (full and cause is _SHARED_MEMORY)
    return isinstance(error, (RuntimeError, ImportError)) and bool(cause.search(str(error)))


def _made_a_lock(error: BaseException) -> bool:
    """Return whether a lock between processes raised an error: locks lie in shared memory, and name no file."""
    modules = (frame.f_globals.get('__name__', '') for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(name.endswith('.synchronize') for name in modules)


def open_streams() -> None:
    """Open standard input, output and error where the process began without them (``>&-``), at /dev/null.

    Otherwise the first files that are opened take their numbers, and what a library prints is written into them.
    """
    for number, name, mode in ((0, 'stdin', 'r'), (1, 'stdout', 'w'), (2, 'stderr', 'w')):
        try:
            os.fstat(number)
        except OSError:
            handle = os.open(os.devnull, os.O_RDWR)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
        if getattr(sys, name) is None or getattr(sys, name).closed:
            stream = open(number, mode, encoding='utf-8', errors='backslashreplace', closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
