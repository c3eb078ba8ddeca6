"""Read thousands of small label files at once, with exact errors for each row."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pa_csv

from miqa.errors import DatabaseError
from miqa.keeping.filed_labels import filed_labels
from miqa.layout import FILED_LABELS, NAME_COLUMN, label_columns, label_paths
from miqa.outside import read_regular
from miqa.outside.tables import TableError, number_of, parse_table
from miqa.taxonomy import KNOWN_DISTORTIONS, LEVEL_PAIRS, Version, parse_version_name, version_name

# A version's code is 25 * distortion + level pair.

_TAILS = [version_name(Version('', distortion, *pair))[1:] for distortion in KNOWN_DISTORTIONS for pair in LEVEL_PAIRS]
_TAIL_SET = pa.array(_TAILS)
_CODES = {tail.removesuffix('.png'): code for code, tail in enumerate(_TAILS)}


#: So many files are parsed as one text. More gain nothing, and the memory of one part serves the next.
_FILES_AT_ONCE = 256


class LabelTable(NamedTuple):
    """Rows of many label files, in the order of the files.

    ``source`` int64 (N,): position of the row's file; ``version`` int64 (N,): 25 * distortion + level pair;
    ``names``: N file names without folder; ``values``: float64 (N,) for each label.
    """

    source: np.ndarray
    version: np.ndarray
    names: pa.StringArray
    values: dict[str, np.ndarray]

    def name(self, row: int) -> str:
        """Return the file name in a row."""
        return self.names[int(row)].as_py()


def read_labels(folder: Path, task: str, sources: Sequence[str]) -> LabelTable:
    """Read and check the label files of ``sources``; where there are two of a source, they are joined by file name.

    A label that the database does not have (see :func:`miqa.keeping.filed_labels.filed_labels`) is NaN throughout.

    Raises:
        DatabaseError: a column is missing, a value is missing, not a number or outside [0, 1], a name does not
            follow the database's pattern or belongs to another source, a row is there twice, a file has no
            rows, or the two files of a source do not list the same images.
        FileNotFoundError: a label file is missing.
    """
    columns = {label: label_columns(task, label).weighted for label in filed_labels(folder)}
    if task == 'cls':
        paths = [label_paths(folder, task, source)['both'] for source in sources]
        table = _read_tables(paths, sources, NAME_COLUMN[task], columns)
    else:
        tables = {}
        for label, column in columns.items():
            paths = [label_paths(folder, task, source)[label] for source in sources]
            tables[label] = _read_tables(paths, sources, NAME_COLUMN[task], {label: column})
        table = _join(tables, folder, task, sources) if len(tables) == 2 else next(iter(tables.values()))
    absent = {label: np.full(len(table.names), np.nan) for label in FILED_LABELS if label not in columns}
    return table._replace(values={**table.values, **absent})


def _join(tables: dict[str, LabelTable], folder: Path, task: str, sources: Sequence[str]) -> LabelTable:
    first, second = tables['accuracy'], tables['consistency']
    size = len(sources) * len(_TAILS)
    row_of = np.full(size, -1, dtype=np.int64)
    row_of[second.source * len(_TAILS) + second.version] = np.arange(len(second.names))
    partner = row_of[first.source * len(_TAILS) + first.version]
    alone = np.flatnonzero(partner < 0)
    if not alone.size:
        # The same version may still be two files: a .png here and a .jpg there.
        alone = np.flatnonzero(pc.not_equal(first.names, second.names.take(pa.array(partner))))
    if alone.size or len(first.names) != len(second.names):
        if alone.size:
            label, table, row = 'accuracy', first, alone[0]
        else:
            label, table = 'consistency', second
            row = np.setdiff1d(np.arange(len(second.names)), partner)[0]
        paths = label_paths(folder, task, sources[table.source[row]])
        other = 'consistency' if label == 'accuracy' else 'accuracy'
        raise DatabaseError(
            f'{table.name(row)} is in {paths[label]} but not in {paths[other]}: both must list the same images.'
        )
    values = {'accuracy': first.values['accuracy'], 'consistency': second.values['consistency'][partner]}
    return first._replace(values=values)


def _read_tables(paths: Sequence[str], sources: Sequence[str], name_column: str, columns: dict[str, str]):
    """Read files of one kind and check every row; the checks run over all files at once."""
    parts = [
        _read_part(paths[start : start + _FILES_AT_ONCE], name_column, columns)
        for start in range(0, len(paths), _FILES_AT_ONCE)
    ]
    table, counts = pa.concat_tables(part for part, _ in parts), np.concatenate([counts for _, counts in parts])
    if not counts.all():
        raise DatabaseError(f'The label file {paths[int(np.argmin(counts))]} has a header but no rows.')
    source = np.repeat(np.arange(len(paths)), counts)
    starts = np.concatenate([[0], np.cumsum(counts)])

    def place(row: int) -> str:
        return f'row {row - starts[source[row]] + 1} of {paths[source[row]]}'

    values = {}
    for label, column in columns.items():
        values[label] = numbers = table[label].to_numpy(zero_copy_only=False)
        # A comparison with NaN is false, so that this catches NaN too.
        wrong = np.flatnonzero(~((numbers >= 0) & (numbers <= 1)))
        if wrong.size:
            value = numbers[wrong[0]]
            problem = 'missing or NaN' if np.isnan(value) else f'{value}'.removesuffix('.0') + ', outside [0, 1]'
            raise DatabaseError(f'{column} in {place(wrong[0])} is {problem} ({wrong.size} such values in all).')
    names, version = _versions(table['name'].combine_chunks(), source, sources, counts, place)
    key = source * len(_TAILS) + version
    if np.bincount(key).max(initial=0) > 1:
        order = np.argsort(key, kind='stable')
        repeated = order[1:][key[order][1:] == key[order][:-1]].min()
        earlier = np.flatnonzero(key == key[repeated])[0]
        raise DatabaseError(
            f'{names[int(repeated)].as_py()} in {place(repeated)} repeats row {earlier - starts[source[repeated]] + 1}.'
        )
    return LabelTable(source, version, names, values)


def _read_part(paths: Sequence[str], name_column: str, columns: dict[str, str]) -> tuple[pa.Table, np.ndarray]:
    """Return the rows of some files, and how many each has."""
    blocks = [_read_bytes(path) for path in paths]
    try:
        return _parse_all(blocks, name_column, columns)
    except (pa.ArrowInvalid, _NotPlain, UnicodeDecodeError):
        # Something is unusual somewhere: read file by file, which finds out where and what.
        parsed = [_parse_one(block, path, name_column, columns) for block, path in zip(blocks, paths, strict=True)]
        return pa.concat_tables(parsed), np.array([part.num_rows for part in parsed], dtype=np.int64)


class _NotPlain(Exception):
    """The files cannot be read as one: a quoted line break, a blank line, an unusual header."""


def _read_bytes(path: str) -> bytes:
    try:
        return read_regular(path, kind='label file').removeprefix(b'\xef\xbb\xbf')
    except FileNotFoundError:
        raise FileNotFoundError(f'There is no label file {path}, but a split file lists its source.') from None


def _options(name_column: str, columns: dict[str, str]) -> pa_csv.ConvertOptions:
    return pa_csv.ConvertOptions(
        include_columns=[name_column, *columns.values()],
        column_types={name_column: pa.string(), **dict.fromkeys(columns.values(), pa.float64())},
    )


def _parse_all(blocks: list[bytes], name_column: str, columns: dict[str, str]) -> tuple[pa.Table, np.ndarray]:
    """Parse files that share a header as one text; about ten times faster than one by one."""
    header = blocks[0].partition(b'\n')[0].rstrip(b'\r')
    bodies, counts = [], np.empty(len(blocks), dtype=np.int64)
    for position, block in enumerate(blocks):
        end = block.find(b'\n') + 1 or len(block)
        if block[:end].rstrip(b'\r\n') != header:
            raise _NotPlain
        counts[position] = block.count(b'\n', end)
        bodies.append(memoryview(block)[end:])
        if end < len(block) and not block.endswith(b'\n'):
            counts[position] += 1
            bodies.append(memoryview(b'\n'))
    fields = next(csv.reader([header.decode('utf-8')]), [])
    if any(fields.count(column) != 1 for column in (name_column, *columns.values())):
        raise _NotPlain
    text = pa.py_buffer(b''.join([header, b'\n', *bodies]))
    table = pa_csv.read_csv(pa.BufferReader(text), convert_options=_options(name_column, columns))
    if table.num_rows != counts.sum():
        raise _NotPlain
    return table.rename_columns(['name', *columns]), counts


def _parse_one(block: bytes, path: str, name_column: str, columns: dict[str, str]) -> pa.Table:
    """Parse one file, or raise a DatabaseError that names it and what is wrong."""
    try:
        table = parse_table(block, (name_column, *columns.values()), f'The label file {path}')
    except TableError as error:
        raise DatabaseError(str(error)) from None
    rows_read = []
    for number, row in enumerate(table.rows, start=1):
        values = (_number(row[column], column, number, path, table.decimal_comma) for column in columns.values())
        rows_read.append([row[name_column].replace('\\', '/'), *values])
    named = zip(*rows_read, strict=True) if rows_read else [[] for _ in range(1 + len(columns))]
    types = [pa.string(), *[pa.float64()] * len(columns)]
    arrays = [pa.array(list(column), kind) for column, kind in zip(named, types, strict=True)]
    return pa.Table.from_arrays(arrays, names=['name', *columns])


def _number(text: str, column: str, row: int, path: str, decimal_comma: bool) -> float:
    try:
        return number_of(text, decimal_comma)
    except ValueError:
        raise DatabaseError(f'{column} in row {row} of {path} is {text!r}, not a number.') from None


def _versions(column: pa.Array, source: np.ndarray, sources: Sequence[str], counts: np.ndarray, place):
    """Return file names without folder and the codes of their versions; checks that each belongs to its source."""
    if pc.any(pc.match_substring(column, '/')).as_py():
        column = _without_folders(column, source, sources, place)
    version = np.full(len(column), -1, dtype=np.int64)
    # Sources of equal length are handled at once: their names split at the same place.
    lengths = np.array([len(name) for name in sources])
    prefixes = pa.array([f'{name}_' for name in sources])
    for length in np.unique(lengths):
        if (lengths == length).all():
            rows: slice | np.ndarray = slice(None)
            part, mine = column, prefixes.take(pa.array(source))
        else:
            rows = np.flatnonzero((lengths == length)[source])
            part, mine = column.take(pa.array(rows)), prefixes.take(pa.array(source[rows]))
        fits = pc.equal(pc.utf8_slice_codeunits(part, 0, int(length) + 1), mine)
        code = pc.index_in(pc.utf8_slice_codeunits(part, int(length) + 1), value_set=_TAIL_SET)
        code = pc.if_else(fits, code, pa.scalar(None, code.type))
        version[rows] = pc.fill_null(code, -1).to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(version < 0):
        version[row] = _code_of(column[int(row)].as_py(), sources[source[row]], place(row))
    return column, version


def _without_folders(column: pa.Array, source: np.ndarray, sources: Sequence[str], place) -> pa.Array:
    bare = []
    for row, name in enumerate(column.to_pylist()):
        folder, slash, file = name.rpartition('/')
        if slash and folder.removeprefix('./') != sources[source[row]]:
            raise DatabaseError(
                f'{name!r} in {place(row)} should lie in the folder {sources[source[row]]}/ or in none.'
            )
        bare.append(file)
    return pa.array(bare)


def _code_of(name: str | None, source: str, place: str) -> int:
    """Return the version code of a name that is not ``{source}_{version}.png``, if it is a valid one after all."""
    try:
        version = parse_version_name(name or '')
    except ValueError as error:
        raise DatabaseError(f'The image name in {place} is wrong: {error}') from None
    if version.source != source:
        raise DatabaseError(f'{name} in {place} is a version of {version.source}, not of {source}.')
    if name is None or '.' not in name[len(source) :]:
        raise DatabaseError(f'{name} in {place} lacks a file suffix such as .png.')
    return _CODES[version_name(version, '').removeprefix(f'{source}_')]


def decode_version(code: int) -> tuple[str, int, int]:
    """Return (distortion, fg_level, bg_level) of a version code."""
    return (KNOWN_DISTORTIONS[code // len(LEVEL_PAIRS)], *LEVEL_PAIRS[code % len(LEVEL_PAIRS)])
