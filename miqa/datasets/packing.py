"""Resize every picture of a split once and write it into shards; resumable."""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from miqa.errors import DatabaseError
from miqa.keeping import atomic_write, only_writer, sha256_of_file
from miqa.keeping.sealed import DamagedFile, read_sealed_json, write_batch, write_sealed_json
from miqa.layout import PACKED_IMAGES, PACKED_MANIFEST, PACKED_PLAN, packed_shard_path
from miqa.outside import NotARegularFile, read_regular
from miqa.pictures import UnreadableImage, read_image
from miqa.running.parallel import end_with_parent
from miqa.taxonomy import check_choice

from .index import SampleIndex
from .packed import FORMAT_VERSION, PACKED_SCHEMA, facts_crc32, open_shard, read_image_list, read_manifest
from .pixel_coding import ENCODINGS, encode_pixels
from .transforms import ResizeShortSide

_SAMPLED = 40
_RESERVE = 0.05  # Room that must stay free on the disk after packing, as a share of what is written


class Estimate(NamedTuple):
    """What packing will take, measured on some pictures spread over the split."""

    images: int
    done: int
    total_bytes: int
    seconds: float
    free_bytes: int

    @property
    def missing_bytes(self) -> int:
        """Bytes still to be written."""
        return round(self.total_bytes * (1 - self.done / self.images)) if self.images else 0

    def __str__(self) -> str:
        hours, minutes = divmod(round(self.seconds / 60), 60)
        took = f'{hours} h {minutes:02d} min' if hours else (f'{minutes} min' if minutes else f'{self.seconds:.0f} s')
        return (
            f'{self.images:,} pictures, about {self.total_bytes / 1e9:.2f} GB in all; {self.done:,} are done; '
            f'about {took} and {self.missing_bytes / 1e9:.2f} GB to go; {self.free_bytes / 1e9:.1f} GB are free.'
        )


class Packing:
    """One packed folder in the making.

    Args:
        index: the samples to pack, in its order.
        image_root: where their files are.
        folder: where to write; empty, or left by an earlier run with the same settings.
        short_side: pixels of the shorter side.
        interpolation: one of :data:`miqa.pictures.resizing.INTERPOLATIONS`.
        encoding: one of :data:`miqa.datasets.pixel_coding.ENCODINGS`.
        images_per_shard: a multiple of ``images_per_batch``.
        images_per_batch: pictures that are written together.
        bad_images: ``error``, or ``skip`` to keep the reason instead of an unreadable picture.

    Raises:
        ValueError: a setting is wrong.
        DatabaseError: the folder holds something else, or was begun with other images or settings.
    """

    def __init__(
        self,
        index: SampleIndex,
        image_root: str | os.PathLike,
        folder: str | os.PathLike,
        short_side: int = 288,
        encoding: str = 'zstd',
        images_per_shard: int = 4096,
        images_per_batch: int = 64,
        bad_images: str = 'error',
        interpolation: str = 'bilinear',
    ):
        check_choice(encoding, ENCODINGS, 'encoding')
        check_choice(bad_images, ('error', 'skip'), "value of 'bad_images'")
        if images_per_batch < 1 or images_per_shard < 1 or images_per_shard % images_per_batch:
            raise ValueError(f'{images_per_shard} images a shard are not a multiple of {images_per_batch} a batch.')
        self._resize = ResizeShortSide(short_side, interpolation).resize
        self.index, self.image_root, self.folder = index, Path(image_root), Path(folder)
        self.bad_images = bad_images
        self.settings: dict[str, Any] = {
            'format': FORMAT_VERSION,
            'images': len(index),
            'short_side': short_side,
            'encoding': encoding,
            'images_per_shard': images_per_shard,
            'images_per_batch': images_per_batch,
            # Folders of earlier versions do not name the usual one.
            **({} if interpolation == 'bilinear' else {'interpolation': interpolation}),
        }
        self.shards = -(-len(index) // images_per_shard)

    def run(self, workers: int = 1, progress: bool = True) -> dict:
        """Pack what is missing, write the manifest, and return it.

        Raises:
            DatabaseError: see the class; the disk has too little room.
            InUse: another process packs into the folder.
            UnreadableImage, FileNotFoundError: a picture cannot be read and ``bad_images`` is ``error``.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with only_writer(self.folder, 'pack into another folder'), _pool(workers) as run_in_order:
            self._begin()
            manifest = self._whole()
            if manifest:
                return manifest
            finished = [number for number in range(self.shards) if self._is_finished(number)]
            estimate = self.estimate(workers, len(finished))
            if estimate.missing_bytes * (1 + _RESERVE) > estimate.free_bytes:
                raise DatabaseError(
                    f'Packing needs {estimate.missing_bytes / 1e9:.2f} GB more, but {self.folder} has '
                    f'{estimate.free_bytes / 1e9:.2f} GB free. Choose another disk.'
                )
            packed = sum(len(self._rows(number)) for number in finished)
            with tqdm(total=len(self.index), initial=packed, desc='Packing', unit='image', disable=not progress) as bar:
                for number in range(self.shards):
                    if number not in finished:
                        self._write_shard(number, run_in_order, bar.update)
            return self._finish(progress)

    def estimate(self, workers: int = 1, finished_shards: int | None = None) -> Estimate:
        """Measure size and time on some pictures, without writing anything."""
        if finished_shards is None:
            finished_shards = sum(self._is_finished(number) for number in range(self.shards))
        started, sizes = time.perf_counter(), []
        for position in np.linspace(0, len(self.index) - 1, min(_SAMPLED, len(self.index))).astype(int):
            record = self._pack_one(self.index.image(int(position)))
            sizes.append(len(record['pixels'] or b''))
        seconds = (time.perf_counter() - started) / len(sizes)
        packed = min(finished_shards * self.settings['images_per_shard'], len(self.index))
        existing = next(parent for parent in (self.folder, *self.folder.absolute().parents) if parent.exists())
        return Estimate(
            images=len(self.index),
            done=packed,
            # 100 bytes a picture: its name, checksums and sizes.
            total_bytes=round((np.mean(sizes) + 100) * len(self.index)),
            seconds=seconds * (len(self.index) - packed) / workers,
            free_bytes=shutil.disk_usage(existing).free,
        )

    def _begin(self) -> None:
        plan = self.folder / PACKED_PLAN
        images = self.index.image_columns()
        if plan.is_file():
            stored = read_sealed_json(plan, 'Pack into another, empty folder.')
            if stored != self.settings:
                changed = [
                    f'{key} was {stored.get(key)}, is {value}'
                    for key, value in self.settings.items()
                    if stored.get(key) != value
                ]
                raise DatabaseError(
                    f'{self.folder} was begun with other settings ({", ".join(changed)}): use the same ones, or '
                    'another folder.'
                )
            if not read_image_list(self.folder).equals(images):
                raise DatabaseError(f'{self.folder} was begun with other images. Choose another folder.')
            return
        strangers = [path.name for path in self.folder.iterdir() if not path.name.startswith('.')]
        if strangers and strangers != [PACKED_IMAGES]:
            raise DatabaseError(f'{self.folder} holds other files ({strangers[0]}). Choose an empty folder.')
        write_batch(self.folder / PACKED_IMAGES, images)
        write_sealed_json(plan, self.settings)

    def _whole(self) -> dict | None:
        """Return the manifest of an earlier run if all its shards are there; else remove it."""
        path = self.folder / PACKED_MANIFEST
        if not path.is_file():
            return None
        try:
            manifest = read_manifest(self.folder)
        except DamagedFile:
            # The shards say all that it said.
            path.unlink()
            return None
        shards = [
            (packed_shard_path(self.folder, number), shard['bytes']) for number, shard in enumerate(manifest['shards'])
        ]
        if all(shard.is_file() and shard.stat().st_size == size for shard, size in shards):
            return manifest
        path.unlink()
        return None

    def _rows(self, shard: int) -> range:
        size = self.settings['images_per_shard']
        return range(shard * size, min((shard + 1) * size, len(self.index)))

    def _is_finished(self, number: int) -> bool:
        # Shards appear whole or not at all; the images they hold are those of the plan.
        return packed_shard_path(self.folder, number).is_file()

    def _write_shard(self, number: int, run_in_order, report: Callable[[int], object]) -> None:
        size = self.settings['images_per_batch']
        rows = self._rows(number)
        parts = [[self.index.image(row) for row in rows[start : start + size]] for start in range(0, len(rows), size)]
        path = packed_shard_path(self.folder, number)
        with atomic_write(path) as temporary, pa.ipc.new_file(str(temporary), PACKED_SCHEMA) as writer:
            for records in run_in_order(self._pack_many, parts):
                writer.write_batch(pa.RecordBatch.from_pylist(records, schema=PACKED_SCHEMA))
                report(len(records))

    def _pack_many(self, images: list[str]) -> list[dict]:
        return [self._pack_one(image) for image in images]

    def _pack_one(self, image: str) -> dict:
        """Return the row of a shard for one image file."""
        path = self.image_root / image
        record = dict.fromkeys(PACKED_SCHEMA.names)
        record.update(image=image)
        try:
            data, status = read_regular(path, kind='image file'), path.stat()
            record.update(file_bytes=len(data), file_mtime_ns=status.st_mtime_ns, file_crc32=zlib.crc32(data))
            picture = self._resize(read_image(data, str(path)))
        except (UnreadableImage, NotARegularFile, FileNotFoundError) as error:
            if self.bad_images == 'error':
                raise
            return {**record, 'width': 0, 'height': 0, 'pixels_crc32': 0, 'problem': str(error)}
        pixels = encode_pixels(picture, self.settings['encoding'])
        height, width = picture.shape[:2]
        return {**record, 'width': width, 'height': height, 'pixels': pixels, 'pixels_crc32': zlib.crc32(pixels)}

    def _finish(self, progress: bool) -> dict:
        """Write the manifest, the sign that the folder is whole."""
        problems, shards = 0, []
        for number in tqdm(range(self.shards), desc='Checksums', unit='shard', disable=not progress):
            path = packed_shard_path(self.folder, number)
            reader, facts = open_shard(path), []
            for batch in range(reader.num_record_batches):
                content = reader.get_batch(batch)
                problems += len(content) - content.column('problem').null_count
                facts.append(facts_crc32(content))
            digest = sha256_of_file(path)
            shards.append({'file': path.name, 'bytes': path.stat().st_size, 'sha256': digest, 'facts_crc32': facts})
        manifest = {**self.settings, 'unreadable': problems, 'shards': shards}
        write_sealed_json(self.folder / PACKED_MANIFEST, manifest)
        return manifest


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[Callable]:
    """Give ``run(function, tasks)``, which yields results in order and keeps only a few ahead of the reader."""
    if workers <= 1:
        yield map
        return
    context = get_context('spawn')
    with ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent) as pool:

        def run(function, tasks):
            tasks = iter(tasks)
            waiting: collections.deque[Future] = collections.deque()
            waiting.extend(pool.submit(function, task) for task in itertools.islice(tasks, 2 * workers))
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(function, task) for task in itertools.islice(tasks, 1))
                yield result

        yield run
