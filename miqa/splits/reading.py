"""Split files: which sources are for training and which for testing."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from miqa.errors import DatabaseError
from miqa.layout import SPLIT_COLUMNS, source_of_entry, split_path
from miqa.outside.regular_files import NotARegularFile
from miqa.outside.tables import TableError, id_of, read_table
from miqa.taxonomy import ALL_SPLITS, IMAGE_TASKS, SPLITS, split_name


class OfficialSplit(NamedTuple):
    """Facts of a split file published by the authors of MIQD-2.5M."""

    task: str
    split: str
    sources: int
    file_sha256: str
    sources_sha256: str


#: The four official split files; ``ins`` uses those of ``det``. File digests are of the published files;
#: source digests are :func:`digest_of_sources`, which no reordering or rewriting of a file changes.
OFFICIAL_SPLITS = (
    OfficialSplit(
        'cls',
        'train',
        4000,
        '4b471ae80f80343a6db5754da18bd7e48f94cd7dbcfb1dd56f52a11318cbbc84',
        '23346c72e47f0ac0b57a6b60e0c30d77e6ef7cc0eec35913890877fc120e12dd',
    ),
    OfficialSplit(
        'cls',
        'val',
        1000,
        '3f5bbbf2a162cede2b06596ab064512d93b579bc4543f8f548890b3b319e9937',
        '70bd1d40f21bb7697117749b837499487fa94b8bc5acaea1e8b0adc1f91b7d01',
    ),
    OfficialSplit(
        'det',
        'train',
        4000,
        '68b14be0053bbd49f793513e4e258a30beeb58092cd949c3e4a6f8c32390b7e0',
        '385ba539d794592d3e3acccaed4e8ee0a6fb2f2b665a399da3baa847e9e9db93',
    ),
    OfficialSplit(
        'det',
        'val',
        952,
        '2c1f96e0c2a450483bd2a6d0a2394683613af25c1753228ba61a4876ba1fb97d',
        '4a09db1a1c98354abbf3f0cf8d11cfd69a9ab73221c473592111da3da9049f29',
    ),
)


def digest_of_sources(sources: Iterable[str]) -> str:
    """Return the SHA-256 of a set of sources: sorted, one a line."""
    return hashlib.sha256('\n'.join(sorted(sources)).encode('utf-8')).hexdigest()


def official_split(task: str, sources: Iterable[str]) -> OfficialSplit | None:
    """Return the official split that consists of exactly these sources, or None."""
    digest = digest_of_sources(sources)
    official = (
        known for known in OFFICIAL_SPLITS if known.task == IMAGE_TASKS[task] and known.sources_sha256 == digest
    )
    return next(official, None)


def read_split(data_root: str | os.PathLike, task: str, split: str) -> list[str]:
    """Return the sources of a split in the order of its file; checks that the other split shares none of them.

    A source is the name of its folder: for ``cls`` the image's name without its suffix, for ``det`` and ``ins``
    the COCO number filled with zeros to 12 digits.

    Raises:
        FileNotFoundError: the split file is missing.
        DatabaseError: the file is empty or has a wrong column, a bad or repeated name, or a source that the
            other split has too.
    """
    split = split_name(split)
    if split == ALL_SPLITS:
        return [source for part in SPLITS for source in read_split(data_root, task, part)]
    rows = _read_rows(split_path(data_root, task, split), task)
    other = split_path(data_root, task, 'val' if split == 'train' else 'train')
    if other.is_file():
        theirs = _read_rows(other, task)
        shared = [source for source in rows if source in theirs]
        if shared:
            raise DatabaseError(
                f'{shared[0]} is in both splits: row {rows[shared[0]]} of {split_path(data_root, task, split)} and '
                f'row {theirs[shared[0]]} of {other} ({len(shared)} such sources in all). A model would be tested on '
                'what it was trained on; remove it from one of them.'
            )
    return list(rows)


def _read_rows(path: Path, task: str) -> dict[str, int]:
    """Return the row number, counted from 1 below the header, of each source."""
    column = SPLIT_COLUMNS[IMAGE_TASKS[task]]
    if not path.exists():
        raise FileNotFoundError(
            f'There is no split file {path}. Fetch the official ones with `python tools/data/download_splits.py '
            f'{shlex.quote(str(path.parent.parent))}`, or write your own with tools/data/make_splits.py: a CSV file '
            f'with the column {column!r}.'
        )
    try:
        table = read_table(path, [column], 'split file')
    except (TableError, NotARegularFile) as error:
        raise DatabaseError(str(error)) from None
    numbers: dict[str, int] = {}
    for row, entry in enumerate(table.rows, start=1):
        place = f'row {row} of the split file {path}'
        try:
            source = source_of_entry(id_of(entry[column], f'{column!r} in {place}'), task, place)
        except ValueError as error:
            raise DatabaseError(str(error)) from None
        if source in numbers:
            raise DatabaseError(f'{source} is twice in the split file {path}: rows {numbers[source]} and {row}.')
        numbers[source] = row
    if not numbers:
        raise DatabaseError(f'The split file {path} lists no sources.')
    return numbers
