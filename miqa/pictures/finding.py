"""Find the image files of a command: files, folders, patterns, a list on stdin."""

from __future__ import annotations

import codecs
import io
import os
import shlex
import sys
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from miqa.outside.addresses import is_web_address
from miqa.outside.names import PREFIX, printable, read_name
from miqa.outside.regular_files import NotText
from miqa.outside.walking import SkippedFiles, Walker, is_pattern

from .suffixes import IMAGE_SUFFIXES, UNREAD_SUFFIXES

__all__ = ['IMAGE_SUFFIXES', 'SkippedFiles', 'find_images']

_FOUND = IMAGE_SUFFIXES | UNREAD_SUFFIXES
_BLOCK = 1 << 16
_MARK_BYTES = 8  # So many bytes tell the encoding of a list


class Others(NamedTuple):
    """Files of another kind: their endings, what they are called, and the command that takes them."""

    suffixes: Collection[str]
    kind: str
    command: str


def find_images(
    paths: Iterable[str], stdin: Iterable[str] | io.BufferedIOBase | None = None, skipped: SkippedFiles | None = None,
    others: Others | None = None,
) -> Iterator[str]:  # fmt: skip
    """Yield the image files that ``paths`` mean, each once, folders in sorted order: see :func:`find_files`."""
    return find_files(paths, _FOUND, 'images', stdin, skipped, others)


def find_files(
    paths: Iterable[str],
    suffixes: Collection[str],
    kind: str,
    stdin: Iterable[str] | io.BufferedIOBase | None = None,
    skipped: SkippedFiles | None = None,
    others: Others | None = None,
) -> Iterator[str]:
    """Yield the files that ``paths`` mean, each once, folders in sorted order.

    Args:
        paths: files; http(s) addresses; folders, searched with everything below them, links followed and each folder
            walked once; patterns such as ``'shots/**/*.PNG'`` (quoted, so that the shell leaves them alone); or ``-``
            for a list on stdin, a path a line or each ended by a NUL byte (``find -print0``), where names may also be
            written as by :func:`miqa.outside.names.write_name`. Names that begin with a dot are skipped in folders:
            they belong to other programs.
        suffixes: endings of the files that are looked for in folders.
        kind: they are, for errors.
        stdin: lines, or a binary stream, instead of ``sys.stdin``.
        skipped: collects the folders that cannot be read, and, among several paths, folders and patterns without
            such files. Without it the first of them is raised.
        others: files that another command takes; the error of a folder that holds only these names it.

    Raises:
        FileNotFoundError: a path is not there, or a folder or pattern has no such file.
        OSError: a folder cannot be read, where ``skipped`` is not given.
    """

    def problem(path: str, error: OSError) -> None:
        if skipped is None:
            raise error
        skipped.add(path, error)

    walker = Walker(problem)
    paths = [paths] if isinstance(paths, str) else list(paths)
    alone = skipped is None or len(paths) == 1
    for path in paths:
        for candidate in _expanded(os.fspath(path), stdin, walker, skipped, alone, suffixes, kind, others):
            if walker.is_new(candidate):
                yield candidate


def _expanded(
    path: str, stdin, walker: Walker, skipped: SkippedFiles | None, alone: bool, suffixes: Collection[str], kind: str,
    others: Others | None,
) -> Iterator[str]:  # fmt: skip
    if path == '-':
        yield from _listed(stdin)
        return
    if is_web_address(path):
        yield path
        return
    if path.startswith(PREFIX) and not os.path.lexists(path):
        path = read_name(path)
    before = walker.problems
    is_found = False
    if os.path.isdir(path):  # noqa: PTH112
        for image in walker.below(path, suffixes):
            is_found = True
            yield image
        if not is_found and walker.problems == before:
            hint = ''
            if others is not None and any(Walker(lambda *_: None).below(path, others.suffixes)):
                hint = f' For its {others.kind} run: miqa {others.command} {shlex.quote(path)}'
            _nothing(f'There are no {kind} in the folder {printable(path)} or below it.{hint}', skipped, alone)
    elif not is_pattern(path) or os.path.lexists(path):
        # A file that is not there is reported with the others that cannot be read.
        yield path
    else:
        for match in walker.matching(path):
            below = walker.below(match, suffixes) if os.path.isdir(match) else (match,)  # noqa: PTH112
            for image in below:
                is_found = True
                yield image
        if not is_found and walker.problems == before:
            _nothing(f'No file matches the pattern {printable(path)}.', skipped, alone)


def _nothing(sentence: str, skipped: SkippedFiles | None, alone: bool) -> None:
    if alone or skipped is None:
        raise FileNotFoundError(sentence)
    skipped.note(sentence)


def _is_wide(block: bytes) -> bool:
    """Return True if every second byte of the beginning is 0, as in UTF-16 without a byte order mark."""
    begin = block[:64]
    return len(begin) >= _MARK_BYTES and (not any(begin[::2]) or not any(begin[1::2]))


def _listed(stdin) -> Iterator[str]:
    """Yield the paths of a list: a line each, or ended by NUL bytes."""
    stdin = getattr(sys.stdin, 'buffer', sys.stdin) if stdin is None else stdin
    entries = _split(stdin) if hasattr(stdin, 'read1') else ((line, '\n') for line in stdin)
    for entry, end in entries:
        if end == '\0':
            if entry:
                yield entry
            continue
        name = entry.removesuffix('\n')
        if name.endswith('\r') and not os.path.lexists(name):
            name = name[:-1]
        if name.strip():
            yield name if os.path.lexists(name) else read_name(name)


def _split(stream: io.BufferedIOBase) -> Iterator[tuple[str, str]]:
    """Yield entries and what ends them; a byte order mark before the first is not part of its name.

    Raises:
        NotText: the list is UTF-16 or UTF-32, in which names are not the bytes that they are on the disk.
    """
    block = stream.read1(_BLOCK)
    while 0 < len(block) < _MARK_BYTES and (more := stream.read1(_BLOCK)):
        block += more
    if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)) or _is_wide(block):
        raise NotText(
            'The list of files is UTF-16 or UTF-32 text. Save it as UTF-8, such as: iconv -f UTF-16 -t UTF-8.'
        )
    block = block.removeprefix(codecs.BOM_UTF8)
    end = b'\0' if b'\0' in block else b'\n'
    buffer = b''
    while block:
        *entries, buffer = (buffer + block).split(end)
        for entry in entries:
            yield os.fsdecode(entry), end.decode()
        block = stream.read1(_BLOCK)
    if buffer:
        yield os.fsdecode(buffer), end.decode()
