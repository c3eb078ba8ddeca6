"""Run a machine over a database: workers decode, the network gets batches, complete parts are written."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import DataLoader, Dataset

from miqa.keeping.versions import versions_in_use
from miqa.networks.torch_settings import settings_kept
from miqa.outside import NotARegularFile, read_regular
from miqa.outside.regular_files import PICTURE_BYTES
from miqa.pictures import UnreadableImage, read_image
from miqa.running.progress import Progress, open_bar
from miqa.taxonomy import parse_version_name

from .answering import Answering, unanswered
from .base import Machine
from .image_list import SourceImages
from .responses import ResponseFolder, only_shard


class _Images(Dataset):
    """Decoded and prepared images, with the facts of each file.

    Names are kept in one Arrow buffer: a list of a million paths would be copied into every worker, because reading a
    Python object writes its reference count.

    Args:
        sources: the sources.
        owners: int32 (N,), position in ``sources`` of each image's source.
        names: file name of each image.
        prepare: see :attr:`Machine.prepare`.
    """

    def __init__(self, sources: list[SourceImages], owners: np.ndarray, names: list[str], prepare: Callable):
        self.places = [(source.source, source.clean, source.folder) for source in sources]
        self.owners, self.names, self.prepare = owners, pa.array(names, pa.string()), prepare

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[dict, object]:
        source, clean, folder = self.places[self.owners[index]]
        row, path = _identify(source, clean, folder, self.names[index].as_py())
        row.update(crc32=0, width=0, height=0, error=None)
        try:
            data = read_regular(path, PICTURE_BYTES, kind='image file')
            row['crc32'] = zlib.crc32(data)
            image = read_image(data, name=str(path))
        except (UnreadableImage, NotARegularFile) as error:
            return {**row, 'error': str(error)}, None
        row['height'], row['width'] = image.shape[:2]
        try:
            return row, self.prepare(image)
        except Exception as error:  # noqa: BLE001  of any library; one picture never ends a run of many
            return {**row, 'error': unanswered(path, image.shape, error)}, None


def _collate(samples: list[tuple[dict, Any]]) -> tuple[list[dict], Any]:
    rows = [row for row, _ in samples]
    prepared = [value for row, value in samples if row['error'] is None]
    if prepared and all(torch.is_tensor(value) and value.shape == prepared[0].shape for value in prepared):
        # One tensor crosses from worker to parent through one piece of shared memory, not through one per image.
        return rows, torch.stack(prepared)
    return rows, prepared


def _identify(source: str, clean: Path, folder: Path, name: str) -> tuple[dict, Path]:
    """Return the identifying columns and the path of an image of a source."""
    row = {'source': source, 'filename': name, 'distortion': None, 'fg_level': 0, 'bg_level': 0}
    if name == clean.name:
        return row, clean
    version = parse_version_name(name)
    row.update(distortion=version.distortion, fg_level=version.fg_level, bg_level=version.bg_level)
    return row, folder / name


def images_of(source: SourceImages) -> list[tuple[dict, Path]]:
    """Return (identifying columns of a response, path) of a source's clean image and of all its versions."""
    return [_identify(source.source, source.clean, source.folder, name) for name in source.names]


def run_machine(
    machine: Machine,
    sources: list[SourceImages],
    folder: str | Path,
    *,
    true_classes: dict[str, int] | None = None,
    shard: tuple[int, int] = (1, 1),
    batch_size: int = 32,
    workers: int = 0,
    sources_per_part: int = 16,
    store_probabilities: bool = False,
    score_threshold: float = 0.01,
    max_detections: int = 100,
    unpaired: bool = False,
    progress: Progress = True,
) -> dict[str, int]:
    """Write the responses of ``machine`` to all images of ``sources`` that have none yet.

    Args:
        machine: runs on the pictures.
        sources: the images of this shard; other shards may run at the same time.
        folder: the machine's folder of responses.
        true_classes: source -> class index (cls), for ``true_probability``; or None.
        shard: (i, n), the i-th of n parts of the sources, counted from 1; it names the files of this process.
        batch_size: images for the network at a time.
        workers: processes that decode and prepare images; 0: this one.
        sources_per_part: sources in one Parquet file; after a kill at most these are done again.
        store_probabilities: keep the whole probability vector (cls), for soft consistency.
        score_threshold: detections below it are not kept.
        max_detections: best detections that are kept; COCO's evaluation uses 100.
        unpaired: the one version of each source is the source itself: one run of the machine serves both.
        progress: show a progress bar with an estimate.

    Returns:
        ``{'images': done now, 'kept': done before, 'unreadable': of those done now}``.

    Raises:
        ValueError: responses in ``folder`` were made with other weights or parameters, or an answer is not valid.
        InUse: another process makes responses of the same machine to the same images.
    """
    with only_shard(Path(folder), shard), settings_kept():
        return _run(
            machine, sources, Path(folder), true_classes, shard, batch_size, workers, sources_per_part,
            store_probabilities, score_threshold, max_detections, unpaired, progress,
        )  # fmt: skip


def _run(
    machine, sources, folder, true_classes, shard, batch_size, workers, sources_per_part,
    store_probabilities, score_threshold, max_detections, unpaired, progress,
) -> dict[str, int]:  # fmt: skip
    store = ResponseFolder(folder)
    detects = {'score_threshold': score_threshold, 'max_detections': max_detections}
    parameters = {'cls': {'store_probabilities': store_probabilities}, 'det': detects, 'ins': detects, 'seg': {}}
    parameters = parameters[machine.task]
    store.start({'machine': machine.describe(), 'parameters': parameters, 'versions': versions_in_use()})
    answered = store.done(path for source in sources for path in source.paths)
    store.list_parts(shard)
    counts = {'images': 0, 'kept': 0, 'unreadable': 0}
    owners: list[int] = []
    names: list[str] = []
    twins: dict[str, dict] = {}  # name of a clean image -> columns of the version that is the same picture
    lengths: list[int] = []
    for start in range(0, len(sources), sources_per_part):
        before = len(names)
        for owner in range(start, min(start + sources_per_part, len(sources))):
            new = [name for name in sources[owner].names if name not in answered]
            counts['kept'] += sources[owner].count - len(new)
            if unpaired and len(new) == 2:
                clean, twin = new
                source = sources[owner]
                twins[clean] = _identify(source.source, source.clean, source.folder, twin)[0]
                new = [clean]
            names += new
            owners += [owner] * len(new)
        if len(names) > before:
            lengths.append(len(names) - before)
    loader = DataLoader(
        _Images(sources, np.array(owners, np.int32), names, machine.prepare),
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_one_thread,
    )
    answering = Answering(machine, true_classes, parameters)
    rows: list[dict] = []
    sizes = iter(lengths)
    size = next(sizes, 0)
    total = counts['kept'] + len(names) + len(twins)
    with open_bar(progress, total, initial=counts['kept'], unit='image', desc=machine.name) as bar:
        for batch_rows, prepared in loader:
            rows += answering.complete(batch_rows, list(prepared))
            bar.update(len(batch_rows))
            while size and len(rows) >= size:
                if not counts['kept']:
                    # Before the first part is kept: what a broken machine answered is not to be kept for good.
                    answering.check_some_valid()
                part, rows = rows[:size], rows[size:]
                same = [{**row, **twins[row['filename']]} for row in part if row['filename'] in twins]
                part += same
                bar.update(len(same))
                store.write_part(part, machine.task, shard)
                counts['images'] += len(part)
                counts['unreadable'] += sum(row['error'] is not None for row in part)
                size = next(sizes, 0)
    return counts


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)


def time_machine(machine: Machine, images: list[np.ndarray], batch_size: int, clock: Callable[[], float]) -> float:
    """Return the seconds per image that ``machine`` takes on ``images``, after one warm-up batch."""
    machine.predict(images[:batch_size])
    start = clock()
    for first in range(0, len(images), batch_size):
        machine.predict(images[first : first + batch_size])
    return (clock() - start) / len(images)
