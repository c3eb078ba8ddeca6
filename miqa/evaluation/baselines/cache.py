"""Values of one measure for the images of a database, in Parquet: made once, continued after a kill."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from miqa.utils import atomic_write, write_json

_SCHEMA = pa.schema([('image', pa.string()), ('value', pa.float64()), ('error', pa.string())])


def image_list_digest(images: Iterable[str]) -> str:
    """Return 64 hexadecimal digits that change when an image joins or leaves the list; the order does not count."""
    digest = hashlib.sha256()
    for image in sorted(images):
        digest.update(image.encode('utf-8') + b'\n')
    return digest.hexdigest()


class BaselineCache:
    """The folder of one measure, version and list of images: ``{root}/{metric}-{version}-{digest}``.

    Parts ``00000.parquet``, ... have the columns ``image`` (path below the image root), ``value`` (float64, raw; null
    where the image could not be read) and ``error`` (why).

    Args:
        root: folder of all caches of a database.
        metric: name of the measure.
        version: of the software behind it.
        digest: from :func:`image_list_digest`.
    """

    def __init__(self, root: str | Path, metric: str, version: str, digest: str):
        self.folder = Path(root) / re.sub(r'[^A-Za-z0-9.]+', '_', f'{metric}-{version}-{digest[:16]}')
        self.key = {'metric': metric, 'version': version, 'images': digest}

    def start(self) -> None:
        """Make the folder and note the key.

        Raises:
            ValueError: the folder was made for another key.
        """
        path = self.folder / 'manifest.json'
        if not path.is_file():
            write_json(path, self.key)
        elif json.loads(path.read_text(encoding='utf-8')) != self.key:
            raise ValueError(f'{self.folder} belongs to another measure or list of images; delete or move it.')

    def read(self) -> pd.DataFrame:
        """Return what is done: ``image``, ``value``, ``error``; empty where nothing is."""
        parts = sorted(path for path in self.folder.glob('*.parquet') if not path.name.startswith('.'))
        if not parts:
            return _SCHEMA.empty_table().to_pandas()
        return pa.concat_tables([pq.read_table(part) for part in parts]).to_pandas()

    def write(self, rows: list[dict]) -> None:
        """Add one part, atomically."""
        numbers = [int(path.stem) for path in self.folder.glob('[0-9]*.parquet')]
        with atomic_write(self.folder / f'{max(numbers, default=-1) + 1:05d}.parquet') as temporary:
            pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), temporary, compression='zstd')
