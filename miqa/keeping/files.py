"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from miqa.outside.regular_files import open_regular

from .temporaries import make_temporary


@contextlib.contextmanager
def atomic_write(
    path: str | os.PathLike, durable: bool = True, named: Callable[[Path], Path] | None = None
) -> Iterator[Path]:
    """Give a temporary path beside ``path``; move it into place when the block ends without an error.

    A reader therefore never sees half a file, and a killed writer leaves no file under the final name.
    The parent folder is made where it is missing. The temporary file keeps the suffix of ``path``. What a killed
    writer leaves is removed by the next process that writes into the folder.

    Args:
        path: the file.
        durable: wait until the disk has the contents, so that a power cut leaves the old file or the new one. Not
            needed where a record of sizes and checksums, written afterwards, tells whether a file is whole.
        named: returns the final path when it is given the whole temporary file; None: it is ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = make_temporary(path)
    try:
        yield temporary
        # mkstemp makes files private; a result is as readable as any other file of the user's.
        temporary.chmod(0o666 & ~_umask())
        if durable:
            _to_disk(temporary)
        temporary.replace(named(temporary) if named else path)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def _to_disk(path: Path) -> None:
    # Some writers put another file in the place of the one that was made here, so that its handle is of no use.
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


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
