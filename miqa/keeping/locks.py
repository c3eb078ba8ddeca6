"""One writer for each folder or file; a second one gets an error that names the first."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shlex
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from miqa.errors import MIQAError
from miqa.outside.json_text import read_settings

from .temporaries import sweep

# A lock file's name is at most this long, so that it fits where its target's name does.
_LONGEST_NAME = 200
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class InUse(MIQAError, OSError):
    """Another process writes to the same folder or file. The message names that process."""


@contextlib.contextmanager
def only_writer(
    target: str | os.PathLike, advice: str, part: str = '', below: Callable[[], Iterable[Path]] = tuple
) -> Iterator[None]:
    """Be the only process that writes to a folder or file while the block runs.

    The operating system releases the lock when the process ends, however it ends. Temporary files that killed
    processes left in the folder are removed at the beginning, and those of killed workers at an end by an error.

    Args:
        target: the folder (made where it is missing), or a file (its folder is made).
        advice: what else the user can do than wait, such as ``name another --out``.
        part: of the folder, where others may write to other parts at the same time.
        below: returns further folders in which temporary files may have been left.

    Raises:
        InUse: another process is at it.
        OSError: the lock cannot be written, for example for want of permission.
    """
    target = Path(target)
    path = lock_path(target, part)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InUse(_sentence(target, part, owner_of(path), advice)) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        warnings.warn(
            f'{path.parent} has no file locks ({error}): see to it that nobody else writes there.', stacklevel=3
        )
        yield
        return
    note = _note_of(path)
    try:
        _write_note(note)
        _sweep_all(path.parent, below)
        try:
            yield
        except BaseException:
            _sweep_all(path.parent, below)
            raise
    finally:
        # filelock never locks a deleted file, so the lock file can be removed.
        for each in (note, path):
            with contextlib.suppress(OSError):
                each.unlink(missing_ok=True)
        lock.release()


def _sweep_all(folder: Path, below: Callable[[], Iterable[Path]]) -> None:
    for each in (folder, *below()):
        sweep(each)


def lock_path(target: Path, part: str = '') -> Path:
    """Return the file whose lock stands for ``target``."""
    if part:
        return target / f'.{part}.lock'
    if target.is_dir() or not target.suffix:
        return target / '.lock'
    name = f'.{target.name}.lock'
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f'.{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.lock'
    return target.with_name(name)


def is_held(path: Path) -> bool:
    """Return True if some other process holds the lock of this file at the moment."""
    if not path.is_file():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError, NotImplementedError):
        return True
    lock.release()
    return False


def owner_of(path: Path) -> dict:
    """Return pid, host, command and since (text) of who holds a lock, as far as is known."""
    try:
        owner = read_settings(_note_of(path))
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def describe_owner(owner: dict) -> str:
    """Return in words who holds a lock."""
    if not owner:
        return 'another process'
    return (
        f'another process: pid {owner.get("pid")} on {owner.get("host")}, since {owner.get("since")}, '
        f'`{owner.get("command")}`'
    )


def _sentence(target: Path, part: str, owner: dict, advice: str) -> str:
    description = f'{target} ({part})' if part else str(target)
    return f'{description} is in use by {describe_owner(owner)}. Wait for it to end, stop it, or {advice}.'


def _note_of(path: Path) -> Path:
    return path.with_name(f'{path.name}.owner')


def _write_note(path: Path) -> None:
    note = {
        'pid': os.getpid(),
        'host': socket.gethostname(),
        'command': shlex.join(sys.argv)[:500],
        'since': time.strftime('%Y-%m-%d %H:%M:%S'),
    }
    # Whatever has that name is removed first: to write into a pipe would wait for a reader.
    path.unlink(missing_ok=True)
    with open(path, 'x', encoding='utf-8') as stream:
        stream.write(json.dumps(note))
