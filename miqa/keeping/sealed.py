"""Files with a checksum, which is compared wherever they are read.

A disk, a copy or a careless editor may change a byte; what is computed from it would be wrong without a word.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from miqa.errors import MIQAError
from miqa.outside.json_text import parse_json
from miqa.outside.regular_files import check_regular, read_regular

from .files import atomic_write, crc_of_file, sha256_of_file, state_of_file, write_json

_SEAL = 'checksum'
_PART = re.compile(r'(?P<stem>.+)\.(?P<crc>[0-9a-f]{8})(?P<suffix>\.[a-z]+)')
# Files that were found to be whole, with their state: once for each time that they are opened is enough.
_whole: dict[tuple, object] = {}


class DamagedFile(MIQAError, ValueError):
    """A file is not what was written. The message names it and says how to make it again."""


def damaged(path: str | os.PathLike, reason: str, advice: str) -> DamagedFile:
    """Return the error for a file whose contents are not to be believed."""
    return DamagedFile(f'{path} is damaged: {reason}. {advice}')


# ---- JSON ------------------------------------------------------------------------------------------------------------


def write_sealed_json(path: str | os.PathLike, value: dict) -> None:
    """Write ``value`` as :func:`miqa.keeping.write_json` does, with one more key: ``checksum``."""
    write_json(path, sealed(value))


def sealed(value: dict) -> dict:
    """Return a dict with one more key, ``checksum``, as :func:`read_sealed_json` expects it in a file."""
    return {**value, _SEAL: _seal(value)}


def read_sealed_json(path: str | os.PathLike, advice: str) -> dict:
    """Return what :func:`write_sealed_json` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFile: it is not JSON, not a dict, or its checksum is missing or wrong.
    """
    try:
        value = parse_json(read_regular(path).decode('utf-8'), 'it')
    except ValueError as error:
        raise damaged(path, str(error).rstrip('.'), advice) from None
    if not isinstance(value, dict):
        raise damaged(path, f'it holds a {type(value).__name__} where a dict was written', advice)
    seal = value.pop(_SEAL, None)
    if seal is None:
        raise damaged(path, f'it has no {_SEAL}', advice)
    if seal != _seal(value):
        raise damaged(path, 'it was changed after it was written, its checksum does not fit', advice)
    return value


def _seal(value: dict) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(',', ':'), allow_nan=False)
    return f'crc32:{zlib.crc32(text.encode("ascii")):08x}'


# ---- Files whose names carry their checksum --------------------------------------------------------------------------


def write_part(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file of the name ``{stem}.{CRC-32}{suffix}``, atomically: name and contents come into being together.

    Args:
        path: folder (made where it is missing), stem and suffix.
        write: writes to the path that it is given.
    """

    def named(temporary: Path) -> Path:
        return path.with_name(f'{path.stem}.{crc_of_file(temporary):08x}{path.suffix}')

    with atomic_write(path, named=named) as temporary:
        write(temporary)


def list_parts(folder: Path, suffix: str) -> dict[str, Path]:
    """Return stem -> path of the parts in a folder that carry a checksum, sorted."""
    if not folder.is_dir():
        return {}
    matches = ((_PART.fullmatch(path.name), path) for path in sorted(folder.glob(f'[!.]*{suffix}')))
    return {match['stem']: path for match, path in matches if match}


def check_part(path: Path, advice: str) -> Path:
    """Return a part that :func:`write_part` wrote if its contents fit its name.

    Raises:
        DamagedFile: they do not.
    """
    match = _PART.fullmatch(path.name)
    if match is None:
        raise damaged(path, 'its name carries no checksum', advice)
    if _once(path, crc_of_file) != int(match['crc'], 16):
        raise damaged(path, 'its contents do not fit the checksum in its name', advice)
    return path


def check_sha256(path: Path, expected: str, advice: str) -> Path:
    """Return a file if it has the SHA-256 that was noted when it was written.

    Raises:
        DamagedFile: it has another.
    """
    if _once(path, sha256_of_file) != expected:
        raise damaged(path, 'its SHA-256 is not the one that was noted when it was written', advice)
    return path


def _once(path: Path, digest: Callable[[Path], object]) -> object:
    key = (f'{digest.__name__} {path.absolute()}', state_of_file(path))
    if key not in _whole:
        _whole[key] = digest(path)
    return _whole[key]


# ---- One Arrow record batch, mapped into memory ----------------------------------------------------------------------


def write_batch(path: str | os.PathLike, batch: pa.RecordBatch, about: str = '') -> None:
    """Write a record batch without nulls as an Arrow IPC file; text ``about`` and a checksum join its metadata."""
    seal = f'{_crc_of_batch(batch, about):08x}'
    batch = batch.replace_schema_metadata({'miqa': about, 'miqa_crc32': seal})
    with atomic_write(path) as temporary, pa.ipc.new_file(str(temporary), batch.schema) as writer:
        writer.write_batch(batch)


def read_batch(path: str | os.PathLike, advice: str) -> tuple[pa.RecordBatch, str]:
    """Map what :func:`write_batch` wrote, and return it with its text. Every byte is read once.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFile: it is cut, or a byte has changed.
    """
    try:
        batch = pa.ipc.open_file(pa.memory_map(str(check_regular(path)))).get_batch(0)
        metadata = batch.schema.metadata or {}
        about = metadata[b'miqa'].decode('utf-8')
        batch.validate(full=True)
        fits = int(metadata[b'miqa_crc32'], 16) == _crc_of_batch(batch, about)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise damaged(path, str(error).splitlines()[0] if str(error) else type(error).__name__, advice) from None
    if not fits:
        raise damaged(path, 'its checksum does not fit', advice)
    return batch, about


def _crc_of_batch(batch: pa.RecordBatch, about: str) -> int:
    crc = zlib.crc32('\n'.join([about, *batch.schema.names]).encode('utf-8'))
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            crc = zlib.crc32('\0'.join(column.dictionary.to_pylist()).encode('utf-8'), crc)
            column = column.indices
        crc = zlib.crc32(memoryview(column.to_numpy(zero_copy_only=True)).cast('B'), crc)
    return crc
