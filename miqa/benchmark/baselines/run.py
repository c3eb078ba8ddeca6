"""Measure the images of a database: workers decode and measure, whole parts go to the cache."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import delayed
from tqdm.auto import tqdm

from miqa.keeping import only_writer
from miqa.keeping.files import writable_folder
from miqa.layout import baselines_folder, image_root
from miqa.machines import list_sources
from miqa.outside.user_folders import user_cache
from miqa.pictures import UnreadableImage, read_image
from miqa.running.parallel import run_parallel

from .cache import BaselineCache, image_list_digest, state_of
from .measures import build_measure
from .picture_measure import PictureMeasure

PART_IMAGES = 1000  # Images in one part: what a kill can lose


def default_cache(data_root: str | os.PathLike, task: str) -> Path:
    """Return ``baselines/`` beside the images or, where that cannot be written, a folder in the user's cache."""
    folder = baselines_folder(data_root, task)
    if writable_folder(folder):
        return folder
    return user_cache() / 'baselines' / image_list_digest([str(folder.resolve())])[:16]


def score_images(
    data_root: str | os.PathLike,
    task: str,
    images: pd.DataFrame,
    name: str,
    *,
    cache: str | os.PathLike | None = None,
    device: str = 'cpu',
    jobs: int = 1,
    progress: bool = True,
) -> pd.Series:
    """Measure images, reading what an earlier run measured.

    Args:
        data_root: the database.
        task: ``cls``, ``det`` or ``ins``.
        images: with the columns ``image`` and ``source``, as :func:`read_test_images` gives them.
        name: a measure, see :func:`~.measures.build_measure`.
        cache: folder of results; None: :func:`default_cache`.
        device: where networks run.
        jobs: processes (threads where the device is not the CPU); -1: one per core.
        progress: show a progress bar.

    Returns:
        float64 in the order of ``images``, **higher is better** (the sign of a distance is flipped); NaN for
        images that were unreadable.

    Raises:
        ImportError, OSError, ValueError: the measure cannot be built or no image can be read.
        DamagedFile, InUse: what an earlier run kept is damaged; another process measures the same.
    """
    metric = _build_once(name, device)
    root = Path(cache) if cache else default_cache(data_root, task)
    store = BaselineCache(root, name, metric.version, image_list_digest(images.image))
    clean = _clean_images(metric, data_root, task, images)
    folder = image_root(data_root, task)
    states = [
        state_of(folder / image, clean.get(source)) for image, source in zip(images.image, images.source, strict=True)
    ]
    store.start()
    if len(_to_do(store, images, states)):
        with only_writer(store.folder, 'name another --cache'):
            todo = _to_do(store, images, states)
            _measure(store, metric, folder, clean, todo, len(images), device, jobs, progress)
    values = store.read().set_index('image').reindex(images.image)
    if values.value.isna().all():
        raise ValueError(f'{name} could not read a single image; the first reason: {values.error.iloc[0]}')
    scores = values.value.to_numpy(np.float64)
    return pd.Series(scores if metric.higher_is_better else -scores, index=images.index, name=name)


def _to_do(store: BaselineCache, images: pd.DataFrame, states: list[str]) -> pd.DataFrame:
    """Return the images that have no value yet, could not be read, or have changed since (or their source has)."""
    stored = store.read()
    stored = stored[stored.error.isna()].set_index('image').files.reindex(images.image).to_numpy()
    return images[stored != np.array(states, object)]


def _clean_images(metric: PictureMeasure, data_root, task: str, images: pd.DataFrame) -> dict[str, Path]:
    """Return source -> clean image, for a measure that compares with it."""
    if not metric.needs_reference:
        return {}
    clean = {item.source: item.clean for item in list_sources(data_root, task)}
    lost = sorted(set(images.source) - clean.keys())
    if lost:
        raise FileNotFoundError(f'{metric.name} compares with the clean source, but {lost[0]} has none.')
    return clean


def _measure(store, metric, folder, clean, todo, total, device, jobs, progress) -> None:
    backend = 'loky' if device == 'cpu' else 'threading'
    calls = [
        delayed(_measure_source)(metric.name, device, clean.get(source), folder, list(group.image))
        for source, group in todo.groupby('source', sort=False)
    ]
    rows: list[dict] = []
    with tqdm(total=total, initial=total - len(todo), desc=metric.name, unit='image', disable=not progress) as bar:
        for answer in run_parallel(calls, jobs, backend):
            rows += answer
            bar.update(len(answer))
            if len(rows) >= PART_IMAGES:
                store.write(rows)
                rows = []
    if rows:
        store.write(rows)


@lru_cache(maxsize=4)
def _build_once(name: str, device: str) -> PictureMeasure:
    """Build a measure once in each process."""
    return build_measure(name, device)


def _measure_source(name: str, device: str, clean: Path | None, root: Path, images: list[str]) -> list[dict]:
    """Measure versions of one source; an image that cannot be read gets the reason instead of a value."""
    metric = _build_once(name, device)
    rows: dict[str, dict[str, Any]] = {
        image: {'image': image, 'value': None, 'error': None, 'files': state_of(root / image, clean)}
        for image in images
    }
    reference = None
    try:
        reference = None if clean is None else read_image(clean)
    except (UnreadableImage, FileNotFoundError) as error:
        return [{**row, 'error': str(error)} for row in rows.values()]
    pictures: dict[tuple[int, ...], dict[str, np.ndarray]] = {}
    for image in images:
        try:
            picture = read_image(root / image)
        except (UnreadableImage, FileNotFoundError) as error:
            rows[image]['error'] = str(error)
            continue
        if reference is not None and picture.shape != reference.shape:
            rows[image]['error'] = f'{image} is {picture.shape[1]}x{picture.shape[0]}, its source another size.'
            continue
        pictures.setdefault(picture.shape, {})[image] = picture
    for group in pictures.values():
        try:
            measured = dict(zip(group, metric.measure(list(group.values()), reference), strict=True))
        except Exception:  # noqa: BLE001  of any library
            measured = {image: _measured_alone(metric, picture, reference) for image, picture in group.items()}
        for image, value in measured.items():
            if isinstance(value, str):
                rows[image]['error'] = value
            else:
                rows[image]['value'] = float(value)
    return list(rows.values())


def _measured_alone(metric: PictureMeasure, picture: np.ndarray, reference: np.ndarray | None) -> float | str:
    """Return a picture's value, or why there is none: one picture never ends a run of many."""
    try:
        return float(metric.measure([picture], reference)[0])
    except Exception as error:  # noqa: BLE001  of any library
        height, width = picture.shape[:2]
        return f'{metric.name} cannot measure {width}x{height} pixels: {str(error)[:200] or type(error).__name__}'
