"""Open regular files only: never a device, pipe, socket or folder."""

from __future__ import annotations

import codecs
import errno
import os
import shutil
import stat
from pathlib import Path
from typing import IO, BinaryIO, TextIO, overload

from miqa.errors import MIQAError

from .addresses import address_in_path, path_in_file_address

#: Largest files that are read, in bytes. No camera's picture, no database's labels and no network come near them.
PICTURE_BYTES = 2 << 30
TEXT_BYTES = 8 << 30
WEIGHTS_BYTES = 64 << 30

_KINDS = (
    (stat.S_ISDIR, 'a folder'),
    (stat.S_ISFIFO, 'a named pipe (FIFO)'),
    (stat.S_ISSOCK, 'a socket'),
    (stat.S_ISCHR, 'a device'),
    (stat.S_ISBLK, 'a device'),
)
# Absent on Windows; there O_BINARY is needed instead.
_FLAGS = os.O_RDONLY
for _name in ('O_NONBLOCK', 'O_CLOEXEC', 'O_NOCTTY', 'O_BINARY'):
    _FLAGS |= getattr(os, _name, 0)


class NotARegularFile(MIQAError, ValueError):
    """A path that leads to something other than a file, or to a file above the limit. The message names it."""


class UnopenedFile(NotARegularFile, OSError):
    """A file that cannot be opened or read, for a reason of its own: others can. The message names it."""


#: Of the operating system's reasons, those that concern one file: permissions, links in a circle, a broken disk sector.
_OF_ONE_FILE = {errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.EIO, errno.EINVAL, errno.EOVERFLOW}


def missing_file(kind: str, name: str) -> FileNotFoundError:
    """Return the error that says that there is no file, and what was meant where ``name`` is an address."""
    if (local := path_in_file_address(name)) is not None:
        return FileNotFoundError(
            f'There is no {kind} {name}: paths are given as they are, without file://, such as {local}'
        )
    if (address := address_in_path(name)) is not None:
        return FileNotFoundError(
            f'{address} is an address, not a local file. The commands `miqa image` and `miqa video` download http(s) '
            'addresses, and `miqa camera` follows streams.'
        )
    return FileNotFoundError(f'There is no {"folder" if name.endswith(os.sep) else kind} {name}.')


@overload
def open_regular(
    path: str | os.PathLike, max_bytes: int | None = ..., *, kind: str = ..., name: str | None = ...
) -> BinaryIO: ...
@overload
def open_regular(
    path: str | os.PathLike,
    max_bytes: int | None = ...,
    *,
    kind: str = ...,
    name: str | None = ...,
    encoding: str,
    newline: str | None = ...,
) -> TextIO: ...
def open_regular(
    path: str | os.PathLike,
    max_bytes: int | None = TEXT_BYTES,
    *,
    kind: str = 'file',
    name: str | None = None,
    encoding: str | None = None,
    newline: str | None = None,
) -> IO:
    """Open a regular file for reading. Links are followed; what they lead to must be a regular file, too.

    Nothing else is even opened: a pipe would wait for a writer, and some devices act when they are opened. Whatever
    takes the file's place between the look and the opening is found by a second look at what was opened.

    Args:
        path: the file.
        max_bytes: its largest size; None for any.
        kind: what it is called in errors, such as ``image file``.
        name: how it is named in errors; the path where it is None.
        encoding: give text of this encoding instead of bytes.
        newline: as for :func:`open`, with an encoding.

    Raises:
        FileNotFoundError: there is no such file.
        NotARegularFile: it is a folder, pipe, device or socket, or larger than ``max_bytes``.
        UnopenedFile: it cannot be opened, for example for want of permission.
        OSError: nothing can be opened, for example because too many files are open.
    """
    name = name or os.fspath(path)
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    try:
        _check(os.stat(path), max_bytes, kind, name)  # noqa: PTH116  bytes are paths, too
        number = os.open(path, _FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        raise missing_file(kind, name) from None
    except OSError as error:
        raise _of_one_file(error, kind, name) from None
    except ValueError as error:
        if isinstance(error, NotARegularFile):
            raise
        raise NotARegularFile(f'{name!r} cannot be the path of a file: {error}.') from None
    try:
        _check(os.fstat(number), max_bytes, kind, name)
        if hasattr(os, 'set_blocking'):
            os.set_blocking(number, True)
        mode = 'rb' if encoding is None else 'r'
        return open(number, mode, encoding=encoding, newline=newline)
    except BaseException:
        os.close(number)
        raise


def read_regular(
    path: str | os.PathLike, max_bytes: int = TEXT_BYTES, *, kind: str = 'file', name: str | None = None
) -> bytes:
    """Return the bytes of a regular file; arguments and errors as for :func:`open_regular`."""
    with open_regular(path, max_bytes, kind=kind, name=name) as stream:
        # Python allocates the requested bytes, not the available ones.
        size = os.fstat(stream.fileno()).st_size
        try:
            data = stream.read(size + 1)
        except OSError as error:
            raise _of_one_file(error, kind, name or os.fspath(path)) from None
        if len(data) > size:  # it grows while it is read, or is in /proc, where sizes are 0
            blocks = [data]
            while len(blocks) << 20 <= max_bytes + (2 << 20) and (block := stream.read(1 << 20)):
                blocks.append(block)
            data = b''.join(blocks)
    if len(data) > max_bytes:
        raise NotARegularFile(f'The {kind} {name or path} grows while it is read, beyond {max_bytes} bytes.')
    return data


class NotText(MIQAError, ValueError):
    """A file that should hold text and holds something else. The message names it and says how to save it."""


def read_regular_text(path: str | os.PathLike, max_bytes: int = TEXT_BYTES, *, kind: str = 'file') -> str:
    r"""Return the text of a regular file, its lines ended by ``\n`` whatever ended them in the file.

    Arguments and errors as for :func:`open_regular`; and NotText as for :func:`decoded_text`.
    """
    text = decoded_text(read_regular(path, max_bytes, kind=kind), f'The {kind} {path}')
    return text.replace('\r\n', '\n').replace('\r', '\n')


def decoded_text(data: bytes, name: str) -> str:
    """Return the text in the bytes of a file: UTF-8, or UTF-16 or UTF-32 with a byte order mark, which is left out.

    Raises:
        NotText: the bytes are of another encoding; the message begins with ``name``.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), 'utf-8')
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise NotText(f'{name} is not {encoding.upper()} text: {error}. Save it as UTF-8.') from None
    if '\0' in text:
        line = text.count('\n', 0, text.index('\0')) + 1
        raise NotText(
            f'{name}, line {line}: there is a NUL byte, as in UTF-16 without a byte order mark or after a power cut. '
            'Save it as UTF-8.'
        )
    return text.removeprefix('\ufeff')


#: Byte order marks and their encodings, which remove the mark; the one of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, 'utf-32'),
    (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
    (codecs.BOM_UTF8, 'utf-8'),
)


def copy_regular(
    source: str | os.PathLike, target: str | os.PathLike, max_bytes: int | None = PICTURE_BYTES, *, kind: str = 'file'
) -> None:
    """Copy the bytes of a regular file over ``target``; errors as for :func:`open_regular`."""
    with open_regular(source, max_bytes, kind=kind) as stream, open(target, 'wb') as copy:
        shutil.copyfileobj(stream, copy, 1 << 20)


def check_regular(path: str | os.PathLike, max_bytes: int | None = None, *, kind: str = 'file') -> Path:
    """Return the path if it leads to a regular file that can be opened: for readers that want a path.

    Raises:
        FileNotFoundError, NotARegularFile, OSError: as for :func:`open_regular`.
    """
    open_regular(path, max_bytes, kind=kind).close()
    return Path(path)


def _of_one_file(error: OSError, kind: str, name: str) -> OSError:
    if error.errno not in _OF_ONE_FILE or isinstance(error, UnopenedFile):
        return error
    return UnopenedFile(f'The {kind} {name} cannot be read: {error.strerror}.')


def _check(status: os.stat_result, max_bytes: int | None, kind: str, name: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        actual = next((word for test, word in _KINDS if test(status.st_mode)), 'no regular file')
        article = 'an' if kind[:1].lower() in 'aeiou' else 'a'
        raise NotARegularFile(f'{name} is {actual}, not {article} {kind}.')
    if max_bytes is not None and status.st_size > max_bytes:
        raise NotARegularFile(
            f'The {kind} {name} is too large: {status.st_size} bytes, where at most {max_bytes} are read.'
        )


def check_data_root(data_root: str | os.PathLike) -> None:
    """Raise a FileNotFoundError if there is no such folder."""
    if not Path(data_root).is_dir():
        raise FileNotFoundError(
            f'There is no data root {Path(data_root).absolute()}. It should hold miqa_cls/, miqa_det/, miqa_ins/ and '
            'splits/ as data/README.md shows.'
        )
