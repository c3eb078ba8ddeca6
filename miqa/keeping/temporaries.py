"""Temporary files beside their targets, and removal of those left by killed processes."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: a file that is in use cannot be removed there anyway
    fcntl = None  # type: ignore[assignment]

# What make_temporary names its files.
_OURS = re.compile(r'\..*\.[a-z0-9_]{8}\.part(\.[^./]*)?')
# A file name may have 255 bytes; this many are kept of the target's, so that the rest fits.
_LONGEST_STEM = 120

_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL
for _name in ('O_NOFOLLOW', 'O_CLOEXEC', 'O_BINARY'):
    _NEW_FILE |= getattr(os, _name, 0)

# Folders that this process has looked through.
_swept: set[str] = set()


def make_temporary(path: Path) -> tuple[int, Path]:
    """Make an empty file beside ``path``, with its suffix, that belongs to this process while the handle is open.

    A process that writes into a folder for the first time removes what killed ones have left there.

    Returns:
        An open handle, which holds a lock that the operating system releases when the process ends, however it ends;
        and the file.
    """
    _sweep_once(path.parent)
    suffix = path.suffix if len(os.fsencode(path.suffix)) < 16 else ''
    stem = os.fsdecode(os.fsencode(path.stem)[:_LONGEST_STEM])
    while True:
        name = os.path.join(os.fspath(path.parent), f'.{stem}.{secrets.token_hex(4)}.part{suffix}')  # noqa: PTH118
        try:
            # With the permissions of any other file of the user's: some disks cannot change them afterwards.
            handle = os.open(name, _NEW_FILE, 0o666)
        except FileExistsError:
            continue
        if _lock(handle, wait=True) and _is_still(handle, name):
            return handle, Path(name)
        # A concurrent sweep took it for a leftover.
        os.close(handle)


@contextlib.contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside ``path``, on the same disk, that goes away when the block ends.

    What a killed process leaves of it is removed by the next one, as with :func:`make_temporary`.
    """
    _sweep_once(path.parent)
    stem = os.fsdecode(os.fsencode(path.stem)[:_LONGEST_STEM])
    while True:
        name = tempfile.mkdtemp(prefix=f'.{stem}.', suffix='.part', dir=path.parent)
        try:
            handle = os.open(name, os.O_RDONLY)
        except FileNotFoundError:
            continue
        if _lock(handle, wait=True) and _is_still(handle, name):
            break
        os.close(handle)
    try:
        yield Path(name)
    finally:
        shutil.rmtree(name, ignore_errors=True)
        os.close(handle)


def _sweep_once(folder: Path) -> None:
    if str(folder) not in _swept:
        _swept.add(str(folder))
        sweep(folder)


def sweep(folder: str | os.PathLike) -> int:
    """Remove the temporary files and folders in ``folder`` whose processes have ended; return how many there were."""
    removed = 0
    try:
        with os.scandir(os.fspath(folder)) as entries:
            leftovers = [
                (entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries if _OURS.fullmatch(entry.name)
            ]
    except OSError:
        return 0
    for path, is_folder in leftovers:
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDONLY | getattr(os, 'O_NOFOLLOW', 0) | getattr(os, 'O_NONBLOCK', 0))
            try:
                if _lock(handle, wait=False):
                    shutil.rmtree(path) if is_folder else os.unlink(path)  # noqa: PTH108
                    removed += 1
            finally:
                os.close(handle)
    return removed


def _lock(handle: int, wait: bool) -> bool:
    """Lock a file; False if another process has it, or (not waiting) if the file system has no locks."""
    if fcntl is None:
        return wait
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        # Without locks the owner of a file is unknown: it is written, and never swept.
        return wait
    return True


def _is_still(handle: int, name: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(name))  # noqa: PTH116
    except FileNotFoundError:
        return False
