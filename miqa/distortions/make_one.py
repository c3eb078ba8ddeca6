"""All files of one source picture: copies, masks, distorted versions, quality table, record."""

from __future__ import annotations

import contextlib
import csv
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from miqa.errors import MIQAError
from miqa.keeping import atomic_write, sha256_of_file, sweep
from miqa.keeping.sealed import write_sealed_json
from miqa.layout import JPEG_SUFFIX, images_in, mask_path, quality_columns, quality_path, record_path, sources_in
from miqa.outside import copy_regular
from miqa.pictures import UnreadableImage, read_image
from miqa.taxonomy import Version, version_name

from .compose import fuse, soft_mask
from .few_versions import Versions
from .fidelity import FidelitySource, why_undefined
from .masks import UnfitMask, make_mask
from .records import describe_files, find_damage, read_record, versions
from .select import SelectedLevel, select_levels
from .sources import Source
from .ticks import tick

#: PNG is written with run-length matching: 3% larger than zlib's default level, and nine times as fast (measured on
#: the released samples).
PNG_OPTIONS = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)


class VersionPlan(NamedTuple):
    """What to make of every source."""

    folder: str
    task: str
    seed: int
    versions: tuple[Versions, ...]
    measures: tuple[str, ...]
    verify: str
    #: Threads that encode and measure versions; no byte depends on it.
    threads: int = 1
    #: Where each version is reported, see :mod:`miqa.distortions.ticks`; None for nowhere.
    ticks: str | None = None


class Outcome(NamedTuple):
    """What became of one source: 'made', 'kept' (done before) or 'bad' (with the reason)."""

    image_id: str
    state: str
    files: int = 0
    bytes: int = 0
    pixels: int = 0
    reason: str = ''


class SourceChanged(MIQAError, ValueError):
    """A finished source is not the picture that it was made from."""


def make_versions_of(source: Source, plan: VersionPlan) -> Outcome:
    """Make all files of one source, unless its record says that they are there.

    Raises:
        SourceChanged: the record was made from a file with other contents.
    """
    folder = Path(plan.folder)
    record = read_record(folder, source.image_id)
    if record is not None:
        if not Path(source.path).is_file() or sha256_of_file(source.path) != record['source']['sha256']:
            raise SourceChanged(
                f'{source.path} is not the file that {source.image_id} was made from in {folder}. '
                f'Put the old file back, or write to another folder.'
            )
        if not find_damage(folder, record, checksums=plan.verify == 'sha256'):
            return Outcome(source.image_id, 'kept', len(record['files']))
        # Something was deleted or cut since: make the source again, without a record that claims otherwise.
        record_path(folder, source.image_id).unlink()
    try:
        with _one_thread():
            return _make(source, plan, folder)
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


def _make(source: Source, plan: VersionPlan, folder: Path) -> Outcome:
    try:
        image = read_image(source.path)
    except FileNotFoundError as error:
        raise UnreadableImage(str(error)) from None
    image_folder = images_in(folder) / source.image_id
    sweep(image_folder)  # temporary files of a run that was killed
    source_copy = _copy_source(source, plan.task, folder)
    written = [source_copy]
    quality: list[tuple[str, dict[str, float]]] = []
    levels_made = {}
    mask_record = weights = None
    if any(fg != bg for _, pairs in plan.versions for fg, bg in pairs):
        mask, method = make_mask(source.mask, image)
        path = mask_path(folder, source.image_id)
        _write_png(path, mask)
        written.append(path)
        mask_record = {'method': method, 'foreground_share': round(float((mask > 0).mean()), 6)}
        weights = soft_mask(mask)

    measuring = FidelitySource(image, plan.measures, undefined='nan') if plan.measures else None

    def finished() -> Iterator[tuple[Path, Callable[[], _EncodedVersion]]]:
        for name, pairs in plan.versions:
            levels = select_levels(image, name, plan.seed, source.image_id)
            levels_made[name] = [_level_record(chosen) for chosen in levels]
            for fg, bg in pairs:
                path = image_folder / version_name(Version(source.image_id, name, fg, bg))
                parts = levels[fg - 1].image, levels[bg - 1].image if fg != bg else None
                yield path, partial(_finish, path, *parts, weights, measuring)

    for path, (data, values) in _in_threads(finished(), plan.threads):
        # The record, which is written last, holds the sizes and checksums by which a power cut would show.
        with atomic_write(path, durable=False) as temporary:
            temporary.write_bytes(data)
        written.append(path)
        if values is not None:
            quality.append((path.name, values))
        tick(plan.ticks)

    if plan.measures:
        path = quality_path(folder, source.image_id)
        _write_quality(path, quality, plan.measures)
        written.append(path)
    files = describe_files(folder, written)
    notes = [reason for name in plan.measures if (reason := why_undefined(name, image.shape))]
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
    write_sealed_json(record_path(folder, source.image_id), record)
    size = sum(entry['bytes'] for entry in files.values())
    return Outcome(source.image_id, 'made', len(files), size, image.shape[0] * image.shape[1])


def _copy_source(source: Source, task: str, folder: Path) -> Path:
    """Copy the source byte by byte; JPEG files get MIQD's ending, others keep theirs."""
    path = Path(source.path)
    suffix = JPEG_SUFFIX[task] if path.suffix.lower() in ('.jpg', '.jpeg') else path.suffix
    copy = sources_in(folder) / f'{source.image_id}{suffix}'
    with atomic_write(copy) as temporary:
        copy_regular(path, temporary, kind='image file')
    return copy


def _level_record(chosen: SelectedLevel) -> dict:
    return {
        'level': chosen.level,
        'candidate': chosen.candidate,
        'params': chosen.params,
        # JSON has no infinity: null says that nothing changed.
        'psnr': None if math.isinf(chosen.psnr) else round(chosen.psnr, 6),
    }


class _EncodedVersion(NamedTuple):
    """A version as bytes of a PNG file, and its measures where they are wanted."""

    data: bytes
    values: dict[str, float] | None


def _finish(
    path: Path,
    foreground: np.ndarray,
    background: np.ndarray | None,
    weights: np.ndarray | None,
    measuring: FidelitySource | None,
) -> _EncodedVersion:
    version = foreground if background is None or weights is None else fuse(foreground, background, weights)
    return _EncodedVersion(_png(path, version), measuring.measure(version) if measuring else None)


def _in_threads(tasks: Iterable[tuple[Path, Callable]], threads: int) -> Iterator[tuple[Path, Any]]:
    """Run tasks in threads and yield their results in order, a few ahead: OpenCV and NumPy let others work."""
    if threads <= 1:
        yield from ((path, task()) for path, task in tasks)
        return
    with ThreadPoolExecutor(threads) as pool:
        pending: deque = deque()
        for path, task in tasks:
            pending.append((path, pool.submit(task)))
            if len(pending) > 2 * threads:
                call, future = pending.popleft()
                yield call, future.result()
        while pending:
            call, future = pending.popleft()
            yield call, future.result()


def _png(path: Path, image: np.ndarray) -> bytes:
    channels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded, data = cv2.imencode('.png', channels, PNG_OPTIONS)
    if not encoded:
        raise RuntimeError(f'OpenCV could not encode {path} ({image.shape[1]} x {image.shape[0]} pixels) as PNG.')
    return data.tobytes()


def _write_png(path: Path, image: np.ndarray) -> None:
    with atomic_write(path, durable=False) as temporary:
        temporary.write_bytes(_png(path, image))


def _write_quality(path: Path, rows: list[tuple[str, dict[str, float]]], measures: Sequence[str]) -> None:
    """Write one row per version; a measure that is not defined for so small a picture stays empty."""
    with atomic_write(path) as temporary, open(temporary, 'w', encoding='utf-8', newline='') as stream:
        writer = csv.writer(stream, lineterminator='\n')
        writer.writerow(quality_columns(measures))
        for name, values in rows:
            cells = ['' if math.isnan(values[measure]) else values[measure] for measure in measures]
            writer.writerow([name, *cells])
