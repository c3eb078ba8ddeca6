"""Values of one measure for the images of a database, cached in Parquet and resumable."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from miqa.keeping.files import state_of_file
from miqa.keeping.sealed import check_part, list_parts, read_sealed_json, write_part, write_sealed_json
from miqa.layout import MANIFEST, part_name

#: Columns of the values of one measure of human vision: image (below the image root), value, why there is none, and
#: size and time of change of the files that were measured.
BASELINE_SCHEMA = pa.schema(
    [('image', pa.string()), ('value', pa.float64()), ('error', pa.string()), ('files', pa.string())]
)


def image_list_digest(images: Iterable[str]) -> str:
    """Return 64 hexadecimal digits that change when an image joins or leaves the list; the order does not count."""
    digest = hashlib.sha256()
    for image in sorted(images):
        digest.update(image.encode('utf-8') + b'\n')
    return digest.hexdigest()


class BaselineCache:
    """The folder of one measure, version and list of images: ``{root}/{metric}-{version}-{digest}``.

    Parts ``00000.{CRC-32}.parquet``, ... have the columns ``image`` (path below the image root), ``value`` (float64,
    raw; null where the image could not be read), ``error`` (why) and ``files`` (size and time of change of what was
    measured, from :func:`state_of`). Of an image that was measured again, the latest row counts.
    """

    def __init__(self, root: str | Path, metric: str, version: str, digest: str):
        self.folder = Path(root) / re.sub(r'[^A-Za-z0-9.]+', '_', f'{metric}-{version}-{digest[:16]}')
        self.key = {'metric': metric, 'version': version, 'images': digest}

    def start(self) -> None:
        """Make the folder and note the key.

        Raises:
            ValueError: the folder was made for another key.
        """
        path = self.folder / MANIFEST
        if not path.is_file():
            write_sealed_json(path, self.key)
        elif read_sealed_json(path, self._again) != self.key:
            raise ValueError(f'{self.folder} belongs to another measure or list of images; delete or move it.')

    @property
    def _again(self) -> str:
        return f'Delete {self.folder}; the next benchmark measures again.'

    def read(self) -> pd.DataFrame:
        """Return what is done: ``image``, ``value``, ``error``, ``files``; one row an image, empty where nothing is.

        Raises:
            DamagedFile: a part is not what was written.
        """
        parts = list_parts(self.folder, '.parquet').values()
        if not parts:
            return BASELINE_SCHEMA.empty_table().to_pandas()
        tables = [pq.read_table(check_part(part, self._again)) for part in parts]
        return pa.concat_tables(tables).to_pandas().drop_duplicates('image', keep='last')

    def write(self, rows: list[dict]) -> None:
        """Add one part, atomically."""
        number = max(map(int, list_parts(self.folder, '.parquet')), default=-1) + 1
        table = pa.Table.from_pylist(rows, schema=BASELINE_SCHEMA)
        write_part(self.folder / part_name(number), lambda path: pq.write_table(table, path, compression='zstd'))


def state_of(*paths: Path | None) -> str:
    """Return size, time of writing and of change (ns) of files as one text; ``-`` for a file that is not there."""
    return ' '.join(_state(path) for path in paths if path is not None)


def _state(path: Path) -> str:
    state = state_of_file(path)
    return '-' if state is None else ':'.join(map(str, state))
