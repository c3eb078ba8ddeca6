"""All files of one source picture: copies, masks, distorted versions, quality table, record."""

from __future__ import annotations

import contextlib
import csv
import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..taxonomy import Version, version_name
from ..utils import UnreadableImage, atomic_write, read_image, sha256_of_file, write_json
from .compose import fuse, soft_mask
from .fidelity import fidelity, why_undefined
from .masks import UnfitMask, make_mask
from .records import describe_files, find_damage, read_record, record_path, versions
from .select import select_levels
from .sources import Source

#: PNG is written with run-length matching: 3% larger than zlib's default level, and nine times as fast (measured on
#: the released samples).
PNG_OPTIONS = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)

# MIQD's ending of JPEG sources, by the task that owns the pictures.
_JPEG_SUFFIX = {'cls': '.JPEG', 'det': '.jpg'}


class Order(NamedTuple):
    """What to make of every source."""

    folder: str
    task: str
    seed: int
    distortions: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    measures: tuple[str, ...]
    verify: str


class Outcome(NamedTuple):
    """What became of one source: 'made', 'kept' (done before) or 'bad' (with the reason)."""

    image_id: str
    state: str
    files: int = 0
    bytes: int = 0
    pixels: int = 0
    reason: str = ''


class SourceChanged(ValueError):
    """A finished source is not the picture that it was made from."""


def make_versions_of(source: Source, order: Order) -> Outcome:
    """Make all files of one source, unless its record says that they are there.

    Raises:
        SourceChanged: the record was made from a file with other contents.
    """
    folder = Path(order.folder)
    record = read_record(folder, source.image_id)
    if record is not None:
        if not Path(source.path).is_file() or sha256_of_file(source.path) != record['source']['sha256']:
            raise SourceChanged(
                f'{source.path} is not the file that {source.image_id} was made from in {folder}. '
                f'Put the old file back, or write to another folder.'
            )
        if not find_damage(folder, record, checksums=order.verify == 'sha256'):
            return Outcome(source.image_id, 'kept', len(record['files']))
        # Something was deleted or cut since: make the source again, without a record that claims otherwise.
        record_path(folder, source.image_id).unlink()
    try:
        with _one_thread():
            return _make(source, order, folder)
    except (UnreadableImage, UnfitMask) as error:
        return Outcome(source.image_id, 'bad', reason=str(error))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let OpenCV work on one thread: the processes share the cores already."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _make(source: Source, order: Order, folder: Path) -> Outcome:
    try:
        image = read_image(source.path)
    except FileNotFoundError as error:
        raise UnreadableImage(str(error)) from None
    image_folder = folder / 'images' / source.image_id
    _remove_leftovers(image_folder)
    source_copy = _copy_source(source, order.task, folder)
    written = [source_copy]
    quality: list[tuple[str, dict[str, float]]] = []
    levels_made = {}
    mask_record = weights = None
    if any(fg != bg for fg, bg in order.pairs):
        mask, method = make_mask(source.mask, image)
        path = folder / 'masks' / f'{source.image_id}_binary_mask.png'
        _write_png(path, mask)
        written.append(path)
        mask_record = {'method': method, 'foreground_share': round(float((mask > 0).mean()), 6)}
        weights = soft_mask(mask)

    for name in order.distortions:
        levels = select_levels(image, name, order.seed, source.image_id)
        levels_made[name] = [
            {
                'level': chosen.level,
                'candidate': chosen.candidate,
                'params': chosen.params,
                # JSON has no infinity: null says that nothing changed.
                'psnr': None if math.isinf(chosen.psnr) else round(chosen.psnr, 6),
            }
            for chosen in levels
        ]
        for fg, bg in order.pairs:
            version = levels[fg - 1].image
            if fg != bg:
                version = fuse(version, levels[bg - 1].image, weights)
            path = image_folder / version_name(Version(source.image_id, name, fg, bg))
            _write_png(path, version)
            written.append(path)
            if order.measures:
                quality.append((path.name, fidelity(image, version, order.measures, undefined='nan')))

    if order.measures:
        path = folder / 'quality' / f'{source.image_id}.csv'
        _write_quality(path, quality, order.measures)
        written.append(path)
    files = describe_files(folder, written)
    notes = [reason for name in order.measures if (reason := why_undefined(name, image.shape))]
    record = {
        'image_id': source.image_id,
        'source': {
            'name': Path(source.path).name,
            'copy': source_copy.relative_to(folder).as_posix(),
            'width': image.shape[1],
            'height': image.shape[0],
            'sha256': files[source_copy.relative_to(folder).as_posix()]['sha256'],
        },
        'mask': mask_record,
        'levels': levels_made,
        'undefined_measures': notes,
        'versions': versions(),
        'files': files,
    }
    write_json(record_path(folder, source.image_id), record)
    size = sum(entry['bytes'] for entry in files.values())
    return Outcome(source.image_id, 'made', len(files), size, image.shape[0] * image.shape[1])


def _remove_leftovers(image_folder: Path) -> None:
    # Temporary files of a run that was killed; only one process works on a source.
    if image_folder.is_dir():
        for path in image_folder.glob('.*.part.png'):
            path.unlink()


def _copy_source(source: Source, task: str, folder: Path) -> Path:
    """Copy the source byte by byte; JPEG files get MIQD's ending, others keep theirs."""
    path = Path(source.path)
    suffix = _JPEG_SUFFIX[task] if path.suffix.lower() in ('.jpg', '.jpeg') else path.suffix
    copy = folder / 'src_images' / f'{source.image_id}{suffix}'
    with atomic_write(copy) as temporary:
        shutil.copyfile(path, temporary)
    return copy


def _write_png(path: Path, image: np.ndarray) -> None:
    channels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode('.png', channels, PNG_OPTIONS)
    if not done:
        raise RuntimeError(f'OpenCV could not encode {path} ({image.shape[1]} x {image.shape[0]} pixels) as PNG.')
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def _write_quality(path: Path, rows: list[tuple[str, dict[str, float]]], measures: Sequence[str]) -> None:
    """Write one row per version; a measure that is not defined for so small a picture stays empty."""
    with atomic_write(path) as temporary, open(temporary, 'w', encoding='utf-8', newline='') as stream:
        writer = csv.writer(stream, lineterminator='\n')
        writer.writerow(['filename', *measures])
        for name, values in rows:
            cells = ['' if math.isnan(values[measure]) else values[measure] for measure in measures]
            writer.writerow([name, *cells])
