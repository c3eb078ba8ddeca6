"""A small database in MIQD's format from photographs shipped with Python packages.

The pictures come from :mod:`miqa.distortions`, the labels from :mod:`miqa.machines` and :mod:`miqa.labelling`, by the
same functions as for a database of any size. Only what is small about it is decided here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
from joblib import delayed
from PIL import Image
from tqdm.auto import tqdm

from miqa.distortions.records import store_settings
from miqa.keeping import atomic_write, write_json
from miqa.keeping.versions import versions_in_use
from miqa.labelling import ScoreOptions, label_database
from miqa.layout import (
    CATEGORY_COLUMN,
    CLASS_FILE,
    CLASS_INDEX,
    CLASS_NAME,
    SPLIT_COLUMNS,
    ground_truth_path,
    image_task_folder,
    split_path,
)
from miqa.pictures.package_photos import PHOTO_PACKAGES, PackagePhoto, installed_photos
from miqa.running.parallel import run_parallel

from .few_versions import build_settings, make_versions, write_rows
from .photo_split import SEED, held_out, in_order

#: Short side of the sources in pixels: the classifiers' largest input is 297.
SHORT_SIDE = 320


def make_pictures(
    root: str | os.PathLike,
    photos: Sequence[PackagePhoto] | None = None,
    distortions: int = 8,
    seed: int = SEED,
    jobs: int = 1,
    progress: bool = True,
) -> int:
    """Write sources, masks, distorted versions, ground truth, splits and the list of origins; keep what is done.

    The pictures go to ``{root}/miqa_cls``; each source gets so many ``distortions``, see
    :func:`~miqa.distortions.few_versions.plan_versions`. Returns the number of distorted versions.

    Raises:
        ImportError: a package with photographs is not installed.
        SettingsChanged: ``root`` was started with other settings.
    """
    root = Path(root)
    photos = list(installed_photos() if photos is None else photos)
    photos = in_order(photos, seed)
    settings = build_settings('demo', [photo.source for photo in photos], distortions, seed, short_side=SHORT_SIDE)
    store_settings(image_task_folder(root, 'cls'), settings)
    calls = [delayed(_make_source)(photo, number, root, distortions, seed) for number, photo in enumerate(photos)]
    results = run_parallel(calls, jobs)
    count = sum(tqdm(results, total=len(calls), desc='pictures', unit='photograph', disable=not progress))
    _write_ground_truth(root, photos)
    _write_splits(root, photos)
    _write_origins(root, photos)
    return count


def _make_source(photo: PackagePhoto, number: int, root: Path, distortions: int, seed: int) -> int:
    original = root / 'photographs' / f'{photo.source}.png'
    if not original.is_file():
        with atomic_write(original) as temporary:
            _shrink(photo.read()).save(temporary)
    return make_versions(original, number, root, 'cls', distortions, seed)


def _shrink(image: np.ndarray) -> Image.Image:
    height, width = image.shape[:2]
    scale = SHORT_SIDE / min(height, width)
    size = (max(SHORT_SIDE, round(width * scale)), max(SHORT_SIDE, round(height * scale)))
    return Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)


def _write_ground_truth(root: Path, photos: list[PackagePhoto]) -> None:
    rows = [(f'{photo.source}.png', photo.class_index, photo.class_name) for photo in photos]
    write_rows(ground_truth_path(root, 'cls'), (CLASS_FILE, CLASS_INDEX, CLASS_NAME), sorted(rows))


def _write_splits(root: Path, photos: list[PackagePhoto]) -> None:
    tested = held_out(photos)
    for split, members in (('val', photos[:tested]), ('train', photos[tested:])):
        rows = [(f'{photo.source}.png', photo.class_name) for photo in members]
        write_rows(split_path(root, 'cls', split), (SPLIT_COLUMNS['cls'], CATEGORY_COLUMN), rows)


def _write_origins(root: Path, photos: list[PackagePhoto]) -> None:
    packages = {
        package.distribution: {**package._asdict(), 'version': metadata.version(package.distribution)}
        for package in PHOTO_PACKAGES.values()
    }
    rows = {
        photo.source: {
            'package': PHOTO_PACKAGES[photo.package].distribution,
            'file': photo.file,
            'sha256': photo.sha256,
            'class_index': photo.class_index,
            'class_name': photo.class_name,
            'note': photo.note,
        }
        for photo in sorted(photos, key=lambda photo: photo.source)
    }
    write_json(root / 'origins.json', {'packages': packages, 'versions': versions_in_use(), 'photographs': rows})


def make_labels(root: str | os.PathLike, jobs: int = 1, progress: bool = True) -> dict:
    """Write the labels from the answers and return their manifest.

    Consistency is soft: the overlap of a classifier's probabilities before and after the distortion. The paper's
    counts agreeing classes over 40 classifiers; three classifiers would leave only four values.
    """
    return label_database(root, 'cls', options=ScoreOptions(consistency='soft'), jobs=jobs, progress=progress)
