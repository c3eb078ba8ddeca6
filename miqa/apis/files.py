"""From what a command is given to the image files that are meant: files, folders, patterns, a list on stdin."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

#: Suffixes of the files that are taken from a folder, whatever their case. A file that is named is always taken.
IMAGE_SUFFIXES = frozenset(
    ('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.bmp', '.dib', '.webp', '.tif', '.tiff', '.gif', '.ppm', '.pgm')
    + ('.pbm', '.pnm', '.jp2', '.j2k', '.avif', '.ico')
)


def find_images(paths: Iterable[str], stdin: Iterable[str] | None = None) -> Iterator[str]:
    """Yield the image files that ``paths`` mean, each once, folders in sorted order.

    Args:
        paths: files; folders, searched with everything below them; patterns such as ``'shots/**/*.PNG'`` (quoted,
            so that the shell leaves them alone); or ``-`` for one path a line on stdin. Names that begin with a dot
            are left out of folders: they belong to other programs.
        stdin: lines in place of ``sys.stdin``.

    Raises:
        FileNotFoundError: a path is not there, or a folder or pattern has no images.
    """
    seen: set[str] = set()
    for path in paths:
        for found in _expanded(path, stdin):
            if found not in seen:
                seen.add(found)
                yield found


def _expanded(path: str, stdin: Iterable[str] | None) -> Iterator[str]:
    if path == '-':
        yield from (line.rstrip('\r\n') for line in (stdin or sys.stdin) if line.strip())
    elif Path(path).is_dir():
        empty = True
        for found in images_below(path):
            empty = False
            yield found
        if empty:
            raise FileNotFoundError(f'There are no images in the folder {path} or below it.')
    elif Path(path).exists() or not glob.has_magic(path):
        # A file that is not there is reported with the others that cannot be read.
        yield path
    else:
        found = sorted(name for name in glob.glob(path, recursive=True) if not Path(name).is_dir())  # noqa: PTH207  not relative to a folder
        if not found:
            raise FileNotFoundError(f'No file matches the pattern {path}.')
        yield from found


def images_below(folder: str | os.PathLike) -> Iterator[str]:
    """Yield the images in a folder and below it, sorted within each folder; links to folders are not followed."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        for name in sorted(names):
            if not name.startswith('.') and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield str(Path(root) / name)
