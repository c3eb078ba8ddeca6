"""Run a vision system over a database: workers decode, the network sees batches, whole parts go to disk."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from ..taxonomy import parse_version_name
from ..utils import UnreadableImage, read_image
from ..utils.versions import versions_in_use
from .base import Machine
from .image_list import SourceImages
from .responses import ResponseFolder, answer_columns

LOGGER = logging.getLogger('miqa')


class _Images(Dataset):
    """Decoded and prepared images, with what is known of each file."""

    def __init__(self, items: list[tuple[dict, Path]], prepare: Callable):
        self.items, self.prepare = items, prepare

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[dict, object]:
        row, path = self.items[index]
        data = path.read_bytes()
        row = {**row, 'crc32': zlib.crc32(data), 'width': 0, 'height': 0, 'error': None}
        try:
            image = read_image(data, name=str(path))
        except UnreadableImage as error:
            return {**row, 'error': str(error)}, None
        row['height'], row['width'] = image.shape[:2]
        return row, self.prepare(image)


def _collate(samples: list[tuple[dict, object]]) -> tuple[list[dict], object]:
    rows = [row for row, _ in samples]
    prepared = [value for row, value in samples if row['error'] is None]
    if prepared and all(torch.is_tensor(value) and value.shape == prepared[0].shape for value in prepared):
        # One tensor crosses from worker to parent through one piece of shared memory, not through one per image.
        return rows, torch.stack(prepared)
    return rows, prepared


def images_of(source: SourceImages) -> list[tuple[dict, Path]]:
    """Return (identifying columns, path) of a source's clean image and of all its versions."""
    clean = {
        'source': source.source,
        'filename': source.clean.name,
        'distortion': None,
        'fg_level': 0,
        'bg_level': 0,
    }
    items = [(clean, source.clean)]
    for name in source.versions:
        version = parse_version_name(name)
        row = {
            'source': source.source,
            'filename': name,
            'distortion': version.distortion,
            'fg_level': version.fg_level,
            'bg_level': version.bg_level,
        }
        items.append((row, source.folder / name))
    return items


def run_machine(
    machine: Machine,
    sources: list[SourceImages],
    folder: str | Path,
    *,
    true_classes: dict[str, int] | None = None,
    shard: tuple[int, int] = (0, 1),
    batch_size: int = 32,
    workers: int = 0,
    sources_per_part: int = 16,
    store_probabilities: bool = False,
    score_threshold: float = 0.01,
    max_detections: int = 100,
    progress: bool = True,
) -> dict[str, int]:
    """Write the responses of ``machine`` to all images of ``sources`` that have none yet.

    Args:
        machine: the system.
        sources: the images of this shard; other shards may run at the same time.
        folder: the system's folder of responses.
        true_classes: source -> class index (cls), for ``true_probability``; or None.
        shard: (i, n), which names the files of this process.
        batch_size: images for the network at a time.
        workers: processes that decode and prepare images; 0: this one.
        sources_per_part: sources in one Parquet file; after a kill at most these are done again.
        store_probabilities: keep the whole probability vector (cls), for soft consistency.
        score_threshold: detections below it are not kept.
        max_detections: best detections that are kept; COCO's evaluation uses 100.
        progress: show a progress bar with an estimate.

    Returns:
        ``{'images': done now, 'kept': done before, 'unreadable': of those done now}``.

    Raises:
        ValueError: responses in ``folder`` were made with other weights or parameters, or an answer is not valid.
    """
    store = ResponseFolder(Path(folder))
    parameters = (
        {'store_probabilities': store_probabilities}
        if machine.task == 'cls'
        else {'score_threshold': score_threshold, 'max_detections': max_detections}
    )
    store.start({'machine': machine.describe(), 'parameters': parameters, 'versions': versions_in_use()})
    done = store.done()
    parts = [sources[start : start + sources_per_part] for start in range(0, len(sources), sources_per_part)]
    parts = [[item for source in part for item in images_of(source)] for part in parts]
    kept = sum(item[0]['filename'] in done for part in parts for item in part)
    parts = [[item for item in part if item[0]['filename'] not in done] for part in parts]
    parts = [part for part in parts if part]
    counts = {'images': 0, 'kept': kept, 'unreadable': 0}
    loader = _loader([item for part in parts for item in part], machine, batch_size, workers)
    sizes = iter([len(part) for part in parts])
    size, rows = next(sizes, 0), []
    with tqdm(total=counts['kept'] + len(loader.dataset), initial=kept, unit='image', disable=not progress) as bar:
        bar.set_description(machine.name)
        for batch_rows, prepared in loader:
            rows += _answers(machine, batch_rows, prepared, true_classes, parameters)
            bar.update(len(batch_rows))
            while size and len(rows) >= size:
                part, rows = rows[:size], rows[size:]
                store.write_part(part, machine.task, shard)
                counts['images'] += len(part)
                counts['unreadable'] += sum(row['error'] is not None for row in part)
                size = next(sizes, 0)
    return counts


def _loader(items: list, machine: Machine, batch_size: int, workers: int) -> DataLoader:
    return DataLoader(
        _Images(items, machine.prepare),
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_one_thread,
    )


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)


def _answers(machine: Machine, rows: list[dict], prepared: Iterable, true_classes, parameters: dict) -> list[dict]:
    """Complete the identifying columns ``rows`` with the answers of ``machine``."""
    batch = list(prepared)
    answers = machine.predict_prepared(batch) if batch else []
    if len(answers) != len(batch):
        raise ValueError(f'{machine.name} returned {len(answers)} predictions for {len(batch)} images.')
    answers, complete = iter(answers), []
    for row in rows:
        if row['error'] is not None:
            LOGGER.warning('%s', row['error'])
            complete.append(row)
            continue
        true_class = None if true_classes is None else true_classes[row['source']]
        try:
            columns = answer_columns(next(answers), machine.task, true_class, parameters)
        except ValueError as error:
            raise ValueError(f'{machine.name} on {row["filename"]}: {error}') from error
        complete.append({**row, **columns})
    return complete


def time_machine(machine: Machine, images: list[np.ndarray], batch_size: int, clock: Callable[[], float]) -> float:
    """Return the seconds per image that ``machine`` takes on ``images``, after one warm-up batch."""
    machine.predict(images[:batch_size])
    start = clock()
    for first in range(0, len(images), batch_size):
        machine.predict(images[first : first + batch_size])
    return (clock() - start) / len(images)
