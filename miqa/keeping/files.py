"""Atomic files: complete or absent."""

from __future__ import annotations

import atexit
import contextlib
import errno
import hashlib
import json
import os
import secrets
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from miqa.outside.addresses import address_in_path
from miqa.outside.names import fitting_name
from miqa.outside.regular_files import check_regular, open_regular

from .temporaries import make_temporary

_CHEAP_BYTES = 64 * 1024**2  # Up to this size a file is read whole to tell it from another
_TRIAL_BYTES = 1 << 14
_MOUNTS = Path('/proc/self/mountinfo')
#: What the system says where a disk, a quota or a limit has no room left.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def atomic_write(
    path: str | os.PathLike, durable: bool = True, named: Callable[[Path], Path] | None = None
) -> Iterator[Path]:
    """Give a temporary path beside ``path``; move it into place when the block ends without an error.

    A reader therefore never sees half a file, and a killed writer leaves no file under the final name.
    The parent folder is made where it is missing. The temporary file keeps the suffix of ``path``. What a killed
    writer leaves is removed by the next process that writes into the folder.

    Args:
        path: the file; a link to a file stays, and that file is written.
        durable: wait until the disk has the contents, so that a power cut leaves the old file or the new one. Not
            needed where a record of sizes and checksums, written afterwards, tells whether a file is whole.
        named: returns the final path when it is given the whole temporary file; None: it is ``path``.
    """
    path = _linked(Path(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = make_temporary(path)
    try:
        yield temporary
        if durable:
            _to_disk(temporary)
        temporary.replace(named(temporary) if named else path)
    except OSError as error:
        if path.is_dir():
            raise IsADirectoryError(f'{path} is a folder, where a file is to be written: move it away.') from None
        if error.errno not in FULL or error.filename is not None or error.args[1:] == ():
            raise
        reason = os.strerror(error.errno or 0)
        full = OSError(f'{path} cannot be written: {reason}. Make room there, or name another place.')
        full.errno = error.errno
        raise full from error
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def _linked(path: Path) -> Path:
    """Return the file that a link leads to, in a folder that is there; any other path as it is."""
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink() or not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f'it is a link that leads to {target}, which cannot be made')
    return target


def try_writing(path: str | os.PathLike) -> None:
    """Do once, with a small file of another name, all that :func:`atomic_write` will do with ``path``; remove it.

    Commands call it before they begin hours of work, so that a disk that refuses something refuses it now. The
    parent folder is made where it is missing, and removed when the process ends if nothing was written into it.

    Raises:
        ValueError: ``path`` is an address, or something other than a file is there.
        OSError: nothing can be written there; the message names the path and the reason.
    """
    path = Path(path)
    if (address := address_in_path(os.fspath(path))) is not None:
        raise ValueError(f'Files are written on this computer, not to {address}.')
    try:
        if path.is_dir():
            raise IsADirectoryError(f'{path} is a folder, where a file is to be written. Name a file in it.')
        if os.path.lexists(path) and path.exists():
            check_regular(path)
            open(path, 'ab').close()  # a read-only file could be replaced, but must stay
        path = _linked(path)
        if _is_mounted(path):
            raise OSError(errno.EBUSY, 'it is mounted by itself, and is replaced as a whole: mount its folder')
        trial = path.with_name(f'.{fitting_name(path.name, ".trial", 60)}{secrets.token_hex(4)}{path.suffix[:15]}')
        new = [folder for folder in trial.absolute().parents if not folder.exists()]
        if new:
            atexit.register(_remove_empty, new, os.getpid())
        with atomic_write(trial, durable=False) as temporary:
            temporary.write_bytes(bytes(_TRIAL_BYTES))  # a full disk takes empty files
        trial.unlink()
        with contextlib.suppress(FileNotFoundError):
            path.lstat()  # tells whether the name is one that the disk takes
    except OSError as error:
        if isinstance(error, (IsADirectoryError, ValueError)):
            raise
        reason = error.strerror or (os.strerror(error.errno) if error.errno in FULL else str(error))
        room = 'Make room there, or name' if error.errno in FULL else 'Name'
        raise OSError(f'{path} cannot be written: {reason}. {room} another place.') from None


def _is_mounted(path: Path) -> bool:
    """Return True for a file that is a place of mounting, as ``docker run -v FILE:FILE`` makes: none replaces it."""
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError:  # of Linux alone
        return False
    name = os.fsencode(os.path.realpath(path))
    for sign in b'\\ \t\n':
        name = name.replace(bytes([sign]), b'\\%03o' % sign)
    return path.is_file() and any(line.split(b' ')[4:5] == [name] for line in lines)


def _remove_empty(folders: Sequence[Path], owner: int) -> None:
    """Remove folders, the innermost first, up to one that holds something; nothing in a copy of the ``owner``."""
    with contextlib.suppress(OSError):
        for folder in folders if os.getpid() == owner else ():
            folder.rmdir()


#: What names of files end in, and hardly ever those of folders.
_FILE_SUFFIXES = {'.csv', '.json', '.jsonl', '.parquet', '.html', '.png', '.jpg', '.mp4', '.onnx', '.txt'}


def try_folder(folder: str | os.PathLike) -> None:
    """Make a folder where it is missing, and try out whether files can be written into it as :func:`try_writing` does.

    Raises:
        ValueError: it is an address, or not there and called as a file is.
        OSError: it is something else than a folder, or nothing can be written there.
    """
    folder = Path(folder)
    if (address := address_in_path(os.fspath(folder))) is not None:
        raise ValueError(f'Files are written to a folder of this computer, not to {address}.')
    if os.path.lexists(folder) and not folder.is_dir():
        raise NotADirectoryError(f'{folder} is not a folder, and files are to be written into one. Name another.')
    if not folder.is_dir() and folder.suffix.lower() in _FILE_SUFFIXES:
        raise ValueError(
            f'{folder} would be a folder, in which files are written, but its name ends as that of a file. Name it '
            f'{folder.stem}, or another folder.'
        )
    trial = folder / f'.{secrets.token_hex(4)}'  # no name of the user's
    try:
        try_writing(trial)
    except OSError as error:
        raise OSError(str(error).replace(str(trial), str(folder), 1)) from None


#: What file systems say that have no way to wait for the disk.
_NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM, errno.EACCES}


def _to_disk(path: Path) -> None:
    # Some writers put another file in the place of the one that was made here, so that its handle is of no use.
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(handle)


def write_json(path: str | os.PathLike, value) -> None:
    """Write ``value`` as indented UTF-8 JSON, atomically. NaN and infinity raise a ValueError."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as temporary:
        temporary.write_text(text + '\n', encoding='utf-8')


def keep_previous(path: str | os.PathLike) -> Path | None:
    """Rename a file that is about to be written anew, so that the earlier result is not lost.

    ``metrics.json`` becomes ``metrics.1.json``, or the next free number.

    Returns:
        The new path of the earlier file, or None where there was none.
    """
    path = Path(path)
    if not path.exists():
        return None
    number = 1
    while (target := path.with_name(f'{path.stem}.{number}{path.suffix}')).exists():
        number += 1
    path.rename(target)
    return target


def state_of_file(path: str | os.PathLike) -> tuple[int, int, int] | None:
    """Return size, time of writing and time of change of a file, by which a replaced one shows; None if it is missing.

    Copies may keep the time of writing (``cp -p``, archives); the time of change is set by the system, and also by
    ``chmod``, a hard link or a new name. Times are in nanoseconds since 1970, from 1677 to 2262: what lies outside is
    the end of that, as no column of a Parquet file holds more.
    """
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    written, changed = (min(max(time, -(1 << 63)), (1 << 63) - 1) for time in (status.st_mtime_ns, status.st_ctime_ns))
    return status.st_size, written, changed


def last_change(path: str | os.PathLike) -> int:
    """Return when a file was written or put into its place, the later of both (nanoseconds since 1970).

    Raises:
        OSError: the file is missing.
    """
    status = os.stat(path)  # noqa: PTH116
    return max(status.st_mtime_ns, status.st_ctime_ns)


def mark_of_file(path: str | os.PathLike) -> dict[str, int | None]:
    """Return ``bytes``, ``modified_ns``, ``changed_ns``, ``file_crc32`` for :func:`has_mark`; None without one.

    The checksum is that of files up to 64 MB; of larger ones, videos, it would cost more than what is asked of them.
    """
    state = state_of_file(path)
    try:
        crc = crc_of_file(path) if state is not None and state[0] <= _CHEAP_BYTES else None
    except (OSError, ValueError):
        crc = None
    return {**dict(zip(('bytes', 'modified_ns', 'changed_ns'), state or [None] * 3, strict=True)), 'file_crc32': crc}


def has_mark(path: str | os.PathLike, mark: dict[str, int | None]) -> bool:
    """Return True if a file is the one that had this mark; it is read if nothing but the time of change differs.

    Without a checksum in the mark the time of change decides; version 0.2 had size and time of writing alone.
    """
    state = state_of_file(path)
    if state is None or state[:2] != (mark.get('bytes'), mark.get('modified_ns')):
        return False
    if mark.get('changed_ns') in (None, state[2]):
        return True
    if mark.get('file_crc32') is None:
        return False
    try:
        return crc_of_file(path) == mark['file_crc32']
    except (OSError, ValueError):
        return False


def crc_of_file(path: str | os.PathLike) -> int:
    """Return the CRC-32 of a file."""
    crc = 0
    with open_regular(path, None) as stream:
        while block := stream.read(1 << 20):
            crc = zlib.crc32(block, crc)
    return crc


def sha256_of_file(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with open_regular(path, None) as stream:
        return hashlib.file_digest(stream, 'sha256').hexdigest() if hasattr(hashlib, 'file_digest') else _digest(stream)


def _digest(stream) -> str:
    # Python 3.10 has no hashlib.file_digest.
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def writable_folder(path: str | os.PathLike) -> bool:
    """Make the folder ``path`` if it is missing; return whether files can be written to it."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=os.fspath(path)):
            return True
    except OSError:
        return False
