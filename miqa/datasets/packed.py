"""Read resized pictures from the memory-mapped shards of tools/data/pack.py.

A packed folder holds

- ``packed.json``: the manifest; short side, encoding, number of images and shards, each shard's SHA-256;
- ``images.arrow``: which images, in which order (the columns of the index without labels);
- ``shard_00000.arrow`` and so on: Arrow IPC files with one row for each image (:data:`PACKED_SCHEMA`).
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from miqa.errors import DatabaseError, shorten
from miqa.keeping.files import last_change
from miqa.keeping.sealed import DamagedFile, read_batch, read_sealed_json
from miqa.layout import PACKED_IMAGES, PACKED_MANIFEST, packed_shard_path
from miqa.outside import check_regular, read_regular
from miqa.pictures import UnreadableImage
from miqa.taxonomy import KNOWN_DISTORTIONS

from .index import SampleIndex
from .pixel_coding import decode_pixels

FORMAT_VERSION = 1

#: Columns of a shard. ``problem`` is the reason why there are no pixels, if the file could not be read.
PACKED_SCHEMA = pa.schema(
    [
        ('image', pa.string()),
        ('width', pa.uint16()),
        ('height', pa.uint16()),
        ('pixels', pa.large_binary()),
        ('pixels_crc32', pa.uint32()),
        ('file_bytes', pa.uint64()),
        ('file_mtime_ns', pa.int64()),
        ('file_crc32', pa.uint32()),
        ('problem', pa.string()),
    ]
)

_COMPARED_FILES = 500  # At opening so many of the original files, evenly spread, are compared with what was packed


class PackedPictures:
    """Reads the resized pictures of an index's samples.

    Args:
        folder: made by ``tools/data/pack.py``.
        index: the samples; every one must be in the folder, in whatever order.
        image_root: where the original files are; some of them are compared with what was packed. None compares
            nothing.

    Raises:
        DatabaseError: the folder is not packed to the end, lacks images, or was packed from other files.
    """

    def __init__(self, folder: str | os.PathLike, index: SampleIndex, image_root: str | os.PathLike | None = None):
        self.folder = Path(folder)
        self._open_manifest()
        self._rows = _rows_of(self.folder, index)
        if image_root is not None:
            self._compare_files(index, Path(image_root))

    def _open_manifest(self) -> None:
        path = self.folder / PACKED_MANIFEST
        try:
            self.manifest = read_manifest(self.folder)
        except FileNotFoundError:
            raise DatabaseError(
                f'There is no {path}: the pictures were never packed there, or packing has not finished. Run '
                'tools/data/pack.py (again).'
            ) from None
        if self.manifest['format'] != FORMAT_VERSION:
            raise DatabaseError(f'{path} has format {self.manifest["format"]}, not {FORMAT_VERSION}. Pack again.')
        self._shards: dict[int, Any] = {}
        self._batches: dict[tuple[int, int], _Batch] = {}

    def __getstate__(self):
        return {'folder': self.folder, 'rows': self._rows}

    def __setstate__(self, state):
        # A worker process maps the shards itself.
        self.folder, self._rows = state['folder'], state['rows']
        self._open_manifest()

    @property
    def short_side(self) -> int:
        """Pixels of the shorter side of each picture."""
        return self.manifest['short_side']

    @property
    def interpolation(self) -> str:
        """How they were resized, one of :data:`miqa.pictures.resizing.INTERPOLATIONS`."""
        return self.manifest.get('interpolation', 'bilinear')

    def read(self, position: int) -> np.ndarray:
        """Return the resized picture of a sample of the index, uint8 (H, W, 3) RGB.

        Raises:
            UnreadableImage: the file could not be read when it was packed.
            DatabaseError: the shard is missing or damaged.
        """
        row = position if self._rows is None else int(self._rows[position])
        batch, place = self._batch_of(row)
        problem = batch.problems[place].as_py()
        if problem is not None:
            raise UnreadableImage(problem)
        pixels = batch.pixels[batch.offsets[place] : batch.offsets[place + 1]]
        if zlib.crc32(pixels) != batch.checksums[place]:
            raise DatabaseError(
                f'The packed picture of {batch.images[place].as_py()} in {batch.path} is damaged: delete that shard '
                'and run tools/data/pack.py again to repack it.'
            )
        return decode_pixels(pixels, int(batch.heights[place]), int(batch.widths[place]), self.manifest['encoding'])

    def _batch_of(self, row: int) -> tuple[_Batch, int]:
        """Return the mapped batch that holds a packed row, and the row's place in it."""
        shard, row = divmod(row, self.manifest['images_per_shard'])
        number, place = divmod(row, self.manifest['images_per_batch'])
        if (shard, number) not in self._batches:
            if shard not in self._shards:
                self._shards[shard] = open_shard(packed_shard_path(self.folder, shard))
            batch = _Batch(self._shards[shard], number, packed_shard_path(self.folder, shard))
            if facts_crc32(batch.batch) != self.manifest['shards'][shard]['facts_crc32'][number]:
                raise DatabaseError(
                    f'The shard {batch.path} is damaged: the checksum of batch {number} differs. Delete it and run '
                    'tools/data/pack.py again.'
                )
            self._batches[shard, number] = batch
        return self._batches[shard, number], place

    def _compare_files(self, index: SampleIndex, root: Path) -> None:
        step = max(1, len(index) // _COMPARED_FILES)
        for position in range(0, len(index), step):
            batch, place = self._batch_of(position if self._rows is None else int(self._rows[position]))
            changed = describe_change(root, batch.record(place), batch.path)
            if changed:
                raise DatabaseError(
                    f'{self.folder} was packed from other files: {changed}. Pack again into another folder, or check '
                    'all: tools/data/pack.py --check.'
                )


class _Batch:
    """Views of one record batch of a shard; nothing is copied."""

    def __init__(self, shard: pa.ipc.RecordBatchFileReader, number: int, path: Path):
        batch = shard.get_batch(number)
        self.path, self.batch = path, batch
        self.images, self.problems = batch.column('image'), batch.column('problem')
        self.widths, self.heights = batch.column('width').to_numpy(), batch.column('height').to_numpy()
        self.checksums = batch.column('pixels_crc32').to_numpy()
        _, offsets, data = batch.column('pixels').buffers()
        self.offsets, self.pixels = np.frombuffer(offsets, dtype=np.int64), memoryview(data or b'')

    def record(self, place: int) -> dict:
        """Return the facts of one picture without its pixels."""
        return {name: self.batch.column(name)[place].as_py() for name in PACKED_SCHEMA.names if name != 'pixels'}


def open_shard(path: Path) -> pa.ipc.RecordBatchFileReader:
    """Map a shard into memory.

    Raises:
        DatabaseError: it is missing, cut short, or no shard.
    """
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(check_regular(path))))
    except FileNotFoundError:
        raise DatabaseError(f'The shard {path} is missing: run tools/data/pack.py again to repack it.') from None
    except pa.ArrowInvalid as error:
        raise DatabaseError(
            f'The shard {path} is damaged ({error}): delete it and run tools/data/pack.py again.'
        ) from None
    if not reader.schema.equals(PACKED_SCHEMA):
        raise DatabaseError(f'{path} is an Arrow file, but not a shard of packed pictures.')
    return reader


def read_manifest(folder: Path) -> dict:
    """Read the manifest of a packed folder.

    Raises:
        FileNotFoundError: packing has not come to its end.
        DamagedFile: it is not what was written.
    """
    advice = 'Delete it and run tools/data/pack.py again; the shards are kept.'
    return read_sealed_json(folder / PACKED_MANIFEST, advice)


def facts_crc32(batch: pa.RecordBatch) -> int:
    """Return the CRC-32 of all that a record batch of a shard says of its pictures, but their pixels."""
    facts = batch.select([name for name in batch.schema.names if name != 'pixels']).to_pylist()
    return zlib.crc32(json.dumps(facts).encode('ascii'))


def describe_change(root: Path, record: dict, shard: Path) -> str | None:
    """Return how an original file differs from what was packed; None if it does not.

    Size and modification time decide; where only the time differs (a copied database), or the file came to its place
    after the shard was written, the file's checksum.
    """
    path = root / record['image']
    try:
        status = path.stat()
    except FileNotFoundError:
        return f'{path} is gone' if record['problem'] is None else None
    if status.st_size != record['file_bytes']:
        return f'{path} has {status.st_size} bytes now and had {record["file_bytes"]}'
    is_same = status.st_mtime_ns == record['file_mtime_ns'] and last_change(path) < last_change(shard)
    if not is_same and zlib.crc32(read_regular(path)) != record['file_crc32']:
        return f'the contents of {path} have changed'
    return None


def _rows_of(folder: Path, index: SampleIndex) -> np.ndarray | None:
    """Return the packed row of each sample, uint32 (N,); None if the order is the same."""
    packed = read_image_list(folder)
    sources, theirs = packed.column('source').dictionary.to_pylist(), _keys(packed)
    mine = index.image_columns()
    number = {source: position for position, source in enumerate(sources)}
    translate = np.array([number.get(source, -1) for source in index.sources], dtype=np.int64)
    keys = _keys(mine, translate)
    if np.array_equal(keys, theirs):
        return None
    order = np.argsort(theirs, kind='stable')
    place = np.minimum(np.searchsorted(theirs, keys, sorter=order), len(theirs) - 1)
    rows = order[place]
    absent = np.flatnonzero((theirs[rows] != keys) | (keys < 0))
    if absent.size:
        examples = [index.image(int(position)) for position in absent[:5]]
        raise DatabaseError(
            f'{absent.size} of {len(index)} images, such as {shorten(examples, 2)}, are not in the packed folder '
            f'{folder}: run tools/data/pack.py for this database and split.'
        )
    return rows.astype(np.uint32)


def read_image_list(folder: Path) -> pa.RecordBatch:
    """Return which images a folder packs, in order: the columns :data:`miqa.layout.IMAGE_COLUMNS`."""
    path = folder / PACKED_IMAGES
    advice = 'Pack again into an empty folder.'
    try:
        return read_batch(path, advice)[0]
    except FileNotFoundError:
        raise DatabaseError(f'{path} is missing. {advice}') from None
    except DamagedFile as error:
        raise DatabaseError(str(error)) from None


def _keys(images: pa.RecordBatch, translate: np.ndarray | None = None) -> np.ndarray:
    """Return one number for each image, int64 (N,); negative if ``translate`` has no such source."""
    columns = {
        name: (column.indices if pa.types.is_dictionary(column.type) else column).to_numpy().astype(np.int64)
        for name, column in zip(images.schema.names, images.columns, strict=True)
    }
    source = columns['source'] if translate is None else translate[columns['source']]
    # An index may be older than a distortion: its own numbers become ours. There are at most 256; levels are 1 to 5.
    names = images.column('distortion').dictionary.to_pylist()
    distortion = np.array([KNOWN_DISTORTIONS.index(name) for name in names], np.int64)[columns['distortion']]
    version = (distortion * 8 + columns['fg_level']) * 8 + columns['bg_level']
    return np.where(source < 0, -1, source * (256 * 64) + version)
