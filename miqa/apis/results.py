"""Result files that survive interruptions: finished images are not scored again."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import itertools
import json
import math
import os
import secrets
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from miqa.keeping import atomic_write, only_writer
from miqa.keeping.files import has_mark, mark_of_file, state_of_file, try_writing
from miqa.outside import check_regular, open_regular, read_regular_text
from miqa.outside.addresses import address_in_path, is_web_address
from miqa.outside.names import fitting_name, place_of, printable, read_name, write_name
from miqa.outside.tables import cell_text, csv_cell
from miqa.running import require

#: One row an image: ``image`` is its path as typed (as :func:`miqa.outside.names.write_name` writes it), or its
#: absolute path where that name would stand for several files; ``score`` and ``quality`` are empty where ``error`` says
#: why (it may also say why a picture made of it was not written); ``model`` names the weights; size, times of writing
#: and change and checksum of the file tell whether it is still the same, and ``path``, its absolute path, which file.
COLUMNS = {
    'image': str,
    'score': float,
    'quality': str,
    'error': str,
    'model': str,
    'bytes': int,
    'modified_ns': int,
    'path': str,
    'changed_ns': int,
    'file_crc32': int,
}
_NEW_COLUMNS = {'path', 'changed_ns', 'file_crc32'}  # What version 0.2 did not write
_MARK = ('bytes', 'modified_ns', 'changed_ns', 'file_crc32')
_SOMEWHERE = 'somewhere:'  # Prefix for files in an unknown folder
#: Columns that only some models give: the lowest score of a picture's views, with ``coverage='whole'``, and what is
#: wrong with the picture in words.
EXTRA_COLUMNS = {'minimum': float, 'damage': str}
_KINDS = {**COLUMNS, **EXTRA_COLUMNS}
#: Kind of a column -> from the text of a cell in a CSV file to its value.
_CELLS: dict[type, Callable] = {str: cell_text, int: int, float: float}
_ROWS_AT_A_TIME = 10_000
_LINE_BEGINS = b'{"image": '
_CHECKSUM = 'crc32'  # What each line of a journal carries beside its row. The finished file has the rows alone
_BLOCK = 1 << 20


def read_rows(path: Path) -> Iterator[dict]:
    """Yield the rows of a result file, one by one.

    Raises:
        ValueError: the file is not one of results.
    """
    try:
        for row in _READERS[path.suffix.lower()](path):
            _check_columns(row)
            yield {**_checked(row), **{name: None for name in COLUMNS if name not in row}}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, csv.Error) as error:
        raise ValueError(f'{path} is not a file of results of this program: {error}.') from None


def _check_columns(columns: object) -> None:
    """Raise a ValueError if a row, or a table's columns, are not those of a file of results."""
    if not isinstance(columns, (dict, list)) or set(columns) - set(EXTRA_COLUMNS) | _NEW_COLUMNS != set(COLUMNS):
        names = sorted(map(str, columns)) if isinstance(columns, (dict, list)) else type(columns).__name__
        raise ValueError(f'its columns are {str(names)[:300]}, not {sorted(COLUMNS)}')


def _checked(row: dict) -> dict:
    """Return a row whose values are of the kinds of their columns, or None; whole numbers become scores.

    Raises:
        ValueError: one is of another kind.
    """
    for name, value in row.items():
        kind = _KINDS[name]
        if kind is float and type(value) is int:
            row[name] = value = float(value)
        finite = not isinstance(value, float) or math.isfinite(value)
        if not (value is None or type(value) is kind) or not finite:
            raise ValueError(f'{name} is {str(value)[:100]!r}, where a value of the kind {kind.__name__} belongs')
    if not row['image']:
        raise ValueError('a row names no image')
    name, place = (os.path.basename(read_name(row.get(key) or '')) for key in ('image', 'path'))  # noqa: PTH119
    if place and name not in (place, '', '.', '..'):
        raise ValueError(f'a row of {name} has the path of {place}: it was cut or edited')
    return row


def row_place(row: dict) -> str:
    """Return the file of a row: its absolute path, or its address.

    Rows of version 0.2 hold the path as typed. It is that of a file below the current folder where size and
    time of writing are those of the row; else the folder is unknown, and the result is not a path.
    """
    if row['path']:
        return read_name(row['path'])
    name = read_name(row['image'])
    if is_web_address(name):
        return name
    is_current = name.startswith(os.sep) or has_mark(name, row)
    return place_of(name) if is_current else f'{_SOMEWHERE}{name}'


def write_rows(path: Path, rows: Iterable[dict]) -> None:
    """Write rows in the format of the suffix, atomically and without holding them all."""
    with atomic_write(path) as temporary:
        _WRITERS[path.suffix.lower()](temporary, rows)


class ResultFile:
    """Collects results beside their file while they come, and puts them into it at the end.

    Each row goes at once to ``<file>.part.jsonl`` (JSON Lines files take it themselves), so that after a stop only
    what is missing is done. An image counts as done while its file is the same (:func:`miqa.keeping.files.has_mark`);
    one that could not be read is tried again.

    Args:
        path: ends in .csv, .json, .jsonl or .parquet.
        model: what names the weights; rows of other weights are not mixed in.
        overwrite: start again if the file exists.
        force: as ``overwrite``, even where the file holds something else than results.
        again: advice, beside naming another file, where the file holds other results.

    Raises:
        ValueError: the suffix is another, or the file holds something else.
        InUse: another process writes to the file.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        model: str,
        overwrite: bool = False,
        force: bool = False,
        again: str = 'begin anew with --overwrite',
    ):
        self.path = Path(path)
        try_out(self.path)
        self.model = model
        self._closing = contextlib.ExitStack()
        self._closing.enter_context(only_writer(self.path, 'name another file'))
        try:
            self._open(overwrite, force, again)
        except BaseException:
            self._closing.close()
            raise

    def _open(self, overwrite: bool, force: bool, again: str) -> None:
        model = self.model
        self._lines = self.path.suffix.lower() == '.jsonl'
        self._journal = self.path if self._lines else journal_path(self.path)
        if overwrite or force:
            for old in {self.path, self._journal}:
                if old.is_file() and not force:
                    _check_ours(old)
                old.unlink(missing_ok=True)
        _cut_torn_line(self._journal)
        self._done: dict[bytes, tuple[int, int, int, int]] = {}
        self._begun: dict[str, tuple | None] = {}  # Of images that were asked for and have no row yet
        unknown = 0
        for row in self._all_rows():
            if row['model'] != model:
                raise ValueError(
                    f'{self.path} holds results of the model {row["model"]}, not of {model}. Name another file, or '
                    f'{again}.'
                )
            place = row_place(row)
            unknown += place.startswith(_SOMEWHERE)
            key = _short(place)
            if row['error'] or row['score'] is None:  # a score may have been deleted in a spreadsheet
                self._done.pop(key, None)
            else:
                self._done[key] = tuple(row[name] for name in _MARK)
        if unknown:
            warnings.warn(
                f'{unknown} rows of {self.path} are of version 0.2 and name files that have changed or lie in another '
                'folder than this one. These rows are kept as they are.',
                stacklevel=3,
            )
        self._stream = open(self._journal, 'a', encoding='utf-8')  # noqa: SIM115  closed by finish() or close()

    def _all_rows(self) -> Iterator[dict]:
        for path in dict.fromkeys((self.path, self._journal)):
            if path.is_file():
                yield from read_rows(path)

    def has(self, image: str) -> bool:
        """Return True if an image has its score already and has not changed since."""
        mark = self._done.get(_short(_place(image)))
        if mark is not None and has_mark(image, dict(zip(_MARK, mark, strict=True))):
            return True
        self._begun[image] = state_of_file(image)
        return False

    def add(
        self, image: str, score: float | None, quality: str | None, error: Exception | None, **extra: float | str | None
    ) -> None:
        """Store one result; ``extra`` are values of :data:`EXTRA_COLUMNS`, the same ones for all results of a file."""
        begun = self._begun.pop(image, None)
        mark = dict.fromkeys(_MARK) if score is None else mark_of_file(image)
        if begun is not None and begun != state_of_file(image):  # replaced while it was scored: not done
            mark = dict.fromkeys(_MARK)
        row = {
            'image': write_name(image),
            # float32 has no more digits than this.
            'score': None if score is None else float(f'{score:.9g}'),
            **{name: float(f'{value:.9g}') if isinstance(value, float) else value for name, value in extra.items()},
            'quality': quality,
            'error': None if error is None else printable(str(error)),
            'model': self.model,
            **mark,
            'path': None if is_web_address(image) else write_name(_place(image)),
        }
        row = {name: row[name] for name in (*COLUMNS, *extra)}
        text = json.dumps(row, ensure_ascii=False)
        self._stream.write(f'{text[:-1]}, "{_CHECKSUM}": "{_crc_of(text)}"}}\n')

    def flush(self) -> None:
        """Hand what was added to the operating system."""
        self._stream.flush()

    def finish(self) -> None:
        """Write the file: of each image the latest row."""
        self._stream.close()
        latest: dict[bytes, int] = {}
        first_key: dict[bytes, bytes] = {}
        ambiguous: set[bytes] = set()
        for position, row in enumerate(self._all_rows()):
            key, name = _short(row_place(row)), _short(row['image'])
            latest[key] = position
            if first_key.setdefault(name, key) != key:
                ambiguous.add(name)
        positions = set(latest.values())
        rows = (
            _named(row, _short(row['image']) in ambiguous)
            for position, row in enumerate(self._all_rows())
            if position in positions
        )
        write_rows(self.path, rows)
        if not self._lines:
            self._journal.unlink()
        self._closing.close()

    def close(self) -> None:
        """Stop without writing the file; a later run continues from the journal."""
        self._stream.close()
        self._closing.close()


def _place(image: str) -> str:
    return image if is_web_address(image) else place_of(image)


def _short(text: str) -> bytes:
    """Return a digest of a long text: a million of them must fit in memory."""
    return hashlib.blake2b(text.encode('utf-8', 'surrogateescape'), digest_size=16).digest()


def _named(row: dict, ambiguous: bool) -> dict:
    """Return a row with the absolute path of its file, and with it as the name where that may mean several files."""
    place = row_place(row)
    if place.startswith(os.sep):
        path = write_name(place)
        row = {**row, 'path': path, 'image': path if ambiguous else row['image']}
    return row


def _check_ours(path: Path) -> None:
    try:
        next(read_rows(path), None)
    except ValueError as error:
        raise ValueError(f'{error} Name another file, or replace it with --force.') from None


def journal_path(path: Path) -> Path:
    """Return where results lie until their file is written."""
    return path.with_name(fitting_name(path.name, '.part.jsonl'))


def try_out(path: str | os.PathLike) -> None:
    """Check, before anything is scored, that results can be written to ``path``; its folder is made.

    All steps of the end are tried with a file without rows.

    Raises:
        ValueError: the suffix is not one of a result file, or there is something else than a file of that name.
        MissingPackage, OSError: a package for this suffix is missing, or nothing can be written there.
    """
    path = Path(path)
    if (address := address_in_path(str(path))) is not None:
        raise ValueError(f'Results are written to a file of this computer, not to {address}.')
    if path.is_dir():
        raise IsADirectoryError(f'{path} is a folder: name a file in it, such as {path / "scores.csv"}.')
    if path.suffix.lower() not in _WRITERS:
        raise ValueError(f'The result file {path} does not end in one of: {", ".join(_WRITERS)}.')
    for place in (path, journal_path(path)):
        try_writing(place)
    trial = path.with_name(f'.{secrets.token_hex(8)}.trial{path.suffix}')
    try:
        write_rows(trial, ())
    finally:
        trial.unlink(missing_ok=True)


def _cut_torn_line(path: Path) -> None:
    """Remove what a killed writer or a power cut left: half a line, or NUL bytes where a line should be.

    Files of other programs are left unchanged for the reader to refuse.
    """
    if not path.is_file():
        return
    with open(path, 'r+b') as stream:
        begin = stream.read(len(_LINE_BEGINS))
        length = end = stream.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _BLOCK)
            stream.seek(start)
            block = stream.read(end - start).rstrip(b'\0')
            if block:
                end = start + len(block)
                break
            end = start
        # An error sentence with a long path is the longest that a line can hold.
        stream.seek(max(0, end - _BLOCK))
        tail = stream.read(min(end, _BLOCK))
        torn = tail[tail.rfind(b'\n') + 1 :]
        ours = _LINE_BEGINS.startswith(begin.rstrip(b'\0')[: len(_LINE_BEGINS)])
        if ours and (torn or end < length):
            stream.truncate(end - len(torn))


def _read_csv(path: Path) -> Iterator[dict]:
    with open_regular(path, None, kind='file of results', encoding='utf-8-sig', newline='') as stream:
        reader = csv.DictReader(stream)
        if reader.fieldnames is not None:
            _check_columns(list(reader.fieldnames))
        for row in reader:
            yield {key: _CELLS[_KINDS.get(key, str)](value) if value else None for key, value in row.items()}


def _read_json_lines(path: Path) -> Iterator[dict]:
    damaged = 0
    with open_regular(path, None, kind='file of results') as stream:
        for line in stream:
            row = _row_of(line)
            damaged += row is None
            if row is not None:
                yield row
    if damaged:
        warnings.warn(
            f'{damaged} lines of {path} were changed after they were written, as their checksums say. They are left '
            'out, and their images scored again.',
            stacklevel=2,
        )


def _row_of(line: bytes) -> dict | None:
    """Return what a line holds; None where its checksum says that it is not what was written."""
    try:
        row = json.loads(line.decode('utf-8'))
    except ValueError:
        if f'"{_CHECKSUM}": "'.encode() in line:
            return None
        raise
    seal = row.pop(_CHECKSUM, None) if isinstance(row, dict) else None
    return None if seal is not None and seal != _crc_of(json.dumps(row, ensure_ascii=False)) else row


def _crc_of(text: str) -> str:
    return f'{zlib.crc32(text.encode("utf-8")):08x}'


def _read_json(path: Path) -> Iterator[dict]:
    rows = json.loads(read_regular_text(path, kind='file of results'))
    if not isinstance(rows, list):
        raise ValueError(f'it is not a list of rows but of the kind {type(rows).__name__}')
    yield from rows


def _read_parquet(path: Path) -> Iterator[dict]:
    # Imported where it is needed: other formats do without. Its errors about content are ValueErrors.
    parquet = require('pyarrow.parquet', 'Reading a .parquet file')
    with parquet.ParquetFile(check_regular(path, kind='file of results')) as file:
        _check_columns(file.schema_arrow.names)
        for batch in file.iter_batches(_ROWS_AT_A_TIME):
            yield from batch.to_pylist()


def _write_csv(path: Path, rows: Iterable[dict]) -> None:
    with open(path, 'w', encoding='utf-8', newline='') as stream:
        columns, rows = _columns_of(rows)
        writer = csv.DictWriter(stream, columns, lineterminator='\n')
        writer.writeheader()
        writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)


def _columns_of(rows: Iterable[dict]) -> tuple[list[str], Iterator[dict]]:
    rows = iter(rows)
    first = next(rows, None)
    return list(first or COLUMNS), rows if first is None else itertools.chain([first], rows)


def _write_json_lines(path: Path, rows: Iterable[dict]) -> None:
    with open(path, 'w', encoding='utf-8') as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + '\n' for row in rows)


def _write_json(path: Path, rows: Iterable[dict]) -> None:
    with open(path, 'w', encoding='utf-8') as stream:
        texts = (json.dumps(row, ensure_ascii=False) for row in rows)
        stream.write('[\n  ' + next(texts, ''))
        stream.writelines(',\n  ' + text for text in texts)
        stream.write('\n]\n')


def _write_parquet(path: Path, rows: Iterable[dict]) -> None:
    pa, parquet = (require(name, 'Writing a .parquet file') for name in ('pyarrow', 'pyarrow.parquet'))
    types = {str: pa.string(), float: pa.float64(), int: pa.int64()}
    columns, rows = _columns_of(rows)
    schema = pa.schema([(name, types[_KINDS[name]]) for name in columns])
    with parquet.ParquetWriter(path, schema) as writer:
        while chunk := list(itertools.islice(rows, _ROWS_AT_A_TIME)):
            writer.write_table(pa.Table.from_pylist(chunk, schema))


_READERS: dict[str, Callable] = {
    '.csv': _read_csv,
    '.json': _read_json,
    '.jsonl': _read_json_lines,
    '.parquet': _read_parquet,
}
_WRITERS: dict[str, Callable] = {
    '.csv': _write_csv,
    '.json': _write_json,
    '.jsonl': _write_json_lines,
    '.parquet': _write_parquet,
}
#: Endings of result files.
RESULT_SUFFIXES = tuple(_WRITERS)
