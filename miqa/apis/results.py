"""Files of results that survive a stop: what is done is not done again."""

from __future__ import annotations

import csv
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from miqa.taxonomy import check_choice
from miqa.utils import atomic_write

#: One row an image: ``score`` and ``quality`` are empty where ``error`` says why; ``model`` names the weights; size and
#: time of change of the file tell whether it is still the same.
COLUMNS = {
    'image': str,
    'score': float,
    'quality': str,
    'error': str,
    'model': str,
    'bytes': int,
    'modified_ns': int,
}
_ROWS_AT_A_TIME = 10_000
_LINE_BEGINS = b'{"image": '


def read_rows(path: Path) -> Iterator[dict]:
    """Yield the rows of a result file, one by one.

    Raises:
        ValueError: the file is not one of results.
    """
    try:
        for row in _READERS[path.suffix.lower()](path):
            if set(row) != set(COLUMNS):
                raise ValueError(f'its columns are {sorted(row)}, not {sorted(COLUMNS)}')
            yield row
    except (ValueError, AttributeError, pa.ArrowInvalid) as error:
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
    """

    def __init__(self, path: str | os.PathLike, model: str, overwrite: bool = False):
        self.path = Path(path)
        check_choice(self.path.suffix.lower(), _WRITERS, 'suffix of a result file')
        self.model = model
        self._lines = self.path.suffix.lower() == '.jsonl'
        self._journal = self.path if self._lines else self.path.with_name(f'{self.path.name}.part.jsonl')
        self.path.parent.mkdir(parents=True, exist_ok=True)
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
        done = self._done.get(image)
        return done is not None and done == file_state(image)

    def add(self, image: str, score: float | None, quality: str | None, error: Exception | None) -> None:
        """Store one result."""
        size, modified = file_state(image) or (None, None)
        row = {
            'image': image,
            # float32 has no more digits than this.
            'score': None if score is None else float(f'{score:.9g}'),
            'quality': quality,
            'error': None if error is None else str(error),
            'model': self.model,
            'bytes': size,
            'modified_ns': modified,
        }
        self._stream.write(json.dumps(row, ensure_ascii=False) + '\n')

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

    def close(self) -> None:
        """Leave things as they are, to be gone on with later."""
        self._stream.close()


def file_state(path: str) -> tuple[int, int] | None:
    """Return size in bytes and time of change in nanoseconds of a file; None where there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _cut_torn_line(path: Path) -> None:
    """Remove half a line that a killed writer left; a file of somebody else's is left for the reader to refuse."""
    if not path.is_file():
        return
    with open(path, 'r+b') as stream:
        length = stream.seek(0, os.SEEK_END)
        # An error sentence with a long path is the longest that a line can hold.
        stream.seek(max(0, length - (1 << 20)))
        tail = stream.read()
        torn = tail[tail.rfind(b'\n') + 1 :]
        if torn and (torn.startswith(_LINE_BEGINS) or _LINE_BEGINS.startswith(torn)):
            stream.truncate(length - len(torn))


def _read_csv(path: Path) -> Iterator[dict]:
    with open(path, encoding='utf-8', newline='') as stream:
        for row in csv.DictReader(stream):
            yield {key: COLUMNS.get(key, str)(value) if value else None for key, value in row.items()}


def _read_json_lines(path: Path) -> Iterator[dict]:
    with open(path, encoding='utf-8') as stream:
        yield from map(json.loads, stream)


def _read_json(path: Path) -> Iterator[dict]:
    yield from json.loads(path.read_text(encoding='utf-8'))


def _read_parquet(path: Path) -> Iterator[dict]:
    for batch in pq.ParquetFile(path).iter_batches(_ROWS_AT_A_TIME):
        yield from batch.to_pylist()


def _write_csv(path: Path, rows: Iterable[dict]) -> None:
    with open(path, 'w', encoding='utf-8', newline='') as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)


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
    types = {str: pa.string(), float: pa.float64(), int: pa.int64()}
    schema = pa.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    rows = iter(rows)
    with pq.ParquetWriter(path, schema) as writer:
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
