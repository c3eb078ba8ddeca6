"""Files of results that survive a stop: what is done is not done again."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from miqa.keeping import atomic_write, only_writer
from miqa.keeping.temporaries import make_temporary
from miqa.outside import check_regular, open_regular, read_regular_text
from miqa.outside.addresses import address_in_path
from miqa.outside.names import fitting_name, printable, write_name
from miqa.running import require
from miqa.taxonomy import check_choice

#: One row an image: ``image`` is its path as :func:`miqa.outside.names.write_name` writes it; ``score`` and ``quality``
#: are empty where ``error`` says why (it may also say why a picture made of it was not written); ``model`` names the
#: weights; size and time of change of the file tell whether it is still the same.
COLUMNS = {
    'image': str,
    'score': float,
    'quality': str,
    'error': str,
    'model': str,
    'bytes': int,
    'modified_ns': int,
}
#: Columns that only some models give: the lowest score of a picture's views, with ``coverage='whole'``.
EXTRA_COLUMNS = {'minimum': float}
_KINDS = {**COLUMNS, **EXTRA_COLUMNS}
_ROWS_AT_A_TIME = 10_000
_LINE_BEGINS = b'{"image": '
#: What each line of a journal carries beside its row. The finished file has the rows alone.
_CHECKSUM = 'crc32'
_BLOCK = 1 << 20


def read_rows(path: Path) -> Iterator[dict]:
    """Yield the rows of a result file, one by one.

    Raises:
        ValueError: the file is not one of results.
    """
    try:
        for row in _READERS[path.suffix.lower()](path):
            if not isinstance(row, dict) or set(row) - set(EXTRA_COLUMNS) != set(COLUMNS):
                found = sorted(map(str, row)) if isinstance(row, dict) else type(row).__name__
                raise ValueError(f'its columns are {str(found)[:300]}, not {sorted(COLUMNS)}')
            yield row
    except (ValueError, TypeError, AttributeError, RecursionError, csv.Error) as error:
        raise ValueError(f'{path} is not a file of results of this program: {error}.') from None


def write_rows(path: Path, rows: Iterable[dict]) -> None:
    """Write rows in the format of the suffix, atomically and without holding them all."""
    with atomic_write(path) as temporary:
        _WRITERS[path.suffix.lower()](temporary, rows)


class ResultFile:
    """Collects results beside their file while they come, and puts them into it at the end.

    Each row goes at once to ``<file>.part.jsonl`` (JSON Lines files take it themselves), so that after a stop only
    what is missing is done. An image counts as done while its file has the same size and time of change; one that
    could not be read is tried again.

    Args:
        path: ends in .csv, .json, .jsonl or .parquet.
        model: what names the weights; rows of other weights are not mixed in.
        overwrite: begin anew where the file exists.

    Raises:
        ValueError: the suffix is another, or the file holds something else.
        InUse: another process writes to the file.
    """

    def __init__(self, path: str | os.PathLike, model: str, overwrite: bool = False):
        self.path = Path(path)
        try_out(self.path)
        self.model = model
        self._closing = contextlib.ExitStack()
        self._closing.enter_context(only_writer(self.path, 'name another file'))
        try:
            self._open(overwrite)
        except BaseException:
            self._closing.close()
            raise

    def _open(self, overwrite: bool) -> None:
        model = self.model
        self._lines = self.path.suffix.lower() == '.jsonl'
        self._journal = self.path if self._lines else self.path.with_name(fitting_name(self.path.name, '.part.jsonl'))
        if overwrite:
            for old in {self.path, self._journal}:
                old.unlink(missing_ok=True)
        _cut_torn_line(self._journal)
        self._done: dict[str, tuple[int, int]] = {}
        for row in self._all_rows():
            if row['model'] != model:
                raise ValueError(
                    f'{self.path} holds results of the model {row["model"]}, not of {model}. Name another file, or '
                    'begin anew with --overwrite.'
                )
            if row['error']:
                self._done.pop(row['image'], None)
            else:
                self._done[row['image']] = (row['bytes'], row['modified_ns'])
        self._stream = open(self._journal, 'a', encoding='utf-8')  # noqa: SIM115  closed by finish() or close()

    def _all_rows(self) -> Iterator[dict]:
        for path in dict.fromkeys((self.path, self._journal)):
            if path.is_file():
                yield from read_rows(path)

    def has(self, image: str) -> bool:
        """Tell whether an image, unchanged since, has its score already."""
        done = self._done.get(write_name(image))
        return done is not None and done == file_state(image)

    def add(
        self, image: str, score: float | None, quality: str | None, error: Exception | None, **extra: float | None
    ) -> None:
        """Store one result; ``extra`` are values of :data:`EXTRA_COLUMNS`, the same ones for all results of a file."""
        size, modified = file_state(image) or (None, None)
        row = {
            'image': write_name(image),
            # float32 has no more digits than this.
            'score': None if score is None else float(f'{score:.9g}'),
            **{name: None if value is None else float(f'{value:.9g}') for name, value in extra.items()},
            'quality': quality,
            'error': None if error is None else printable(str(error)),
            'model': self.model,
            'bytes': size,
            'modified_ns': modified,
        }
        text = json.dumps(row, ensure_ascii=False)
        self._stream.write(f'{text[:-1]}, "{_CHECKSUM}": "{_crc_of(text)}"}}\n')

    def flush(self) -> None:
        """Hand what was added to the operating system."""
        self._stream.flush()

    def finish(self) -> None:
        """Write the file: of each image the latest row, in the order in which they came first."""
        self._stream.close()
        latest = {row['image']: position for position, row in enumerate(self._all_rows())}
        positions = set(latest.values())
        rows = (row for position, row in enumerate(self._all_rows()) if position in positions)
        write_rows(self.path, rows)
        if not self._lines:
            self._journal.unlink()
        self._closing.close()

    def close(self) -> None:
        """Leave things as they are, to be gone on with later."""
        self._stream.close()
        self._closing.close()


def try_out(path: str | os.PathLike) -> None:
    """Find out, before anything is scored, whether results can be written to ``path``; its folder is made.

    Raises:
        ValueError: the suffix is not one of a result file, or there is a folder of that name.
        OSError: nothing can be written there.
    """
    path = Path(path)
    if (address := address_in_path(str(path))) is not None:
        raise ValueError(f'Results are written to a file of this computer, not to {address}.')
    check_choice(path.suffix.lower(), _WRITERS, 'suffix of a result file')
    if path.is_dir():
        raise IsADirectoryError(f'{path} is a folder, but results are one file. Name a file in it.')
    if path.exists():
        check_regular(path, what='file of results')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = make_temporary(path)
        temporary.unlink()
        os.close(handle)
        if path.exists():
            open(path, 'ab').close()
    except OSError as error:
        raise OSError(f'Results cannot be written to {path}: {error.strerror or error}. Name another file.') from None


def file_state(path: str) -> tuple[int, int] | None:
    """Return size in bytes and time of change in nanoseconds of a file; None where there is none."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def _cut_torn_line(path: Path) -> None:
    """Remove what a killed writer or a power cut left: half a line, or NUL bytes where a line should be.

    A file of somebody else's is left for the reader to refuse.
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
    with open_regular(path, None, what='file of results', encoding='utf-8', newline='') as stream:
        for row in csv.DictReader(stream):
            yield {key: _KINDS.get(key, str)(value) if value else None for key, value in row.items()}


def _read_json_lines(path: Path) -> Iterator[dict]:
    damaged = 0
    with open_regular(path, None, what='file of results') as stream:
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
    yield from json.loads(read_regular_text(path, what='file of results'))


def _read_parquet(path: Path) -> Iterator[dict]:
    # Imported where it is needed: other formats do without. Its errors about content are ValueErrors.
    parquet = require('pyarrow.parquet', 'Reading a .parquet file')
    for batch in parquet.ParquetFile(check_regular(path, what='file of results')).iter_batches(_ROWS_AT_A_TIME):
        yield from batch.to_pylist()


def _write_csv(path: Path, rows: Iterable[dict]) -> None:
    with open(path, 'w', encoding='utf-8', newline='') as stream:
        columns, rows = _columns_of(rows)
        writer = csv.DictWriter(stream, columns, lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)


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
