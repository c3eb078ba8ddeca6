"""A small database in MIQD's format from photographs that Python packages ship: real images, real labels.

The pictures come from :mod:`miqa.distortions`, the labels from :mod:`miqa.machines` and :mod:`miqa.labelling`, by the
same functions as for a database of any size. Only what is small about it is decided here.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from PIL import Image
from tqdm.auto import tqdm

from ..distortions.make_one import Order, make_versions_of
from ..distortions.records import settle_settings
from ..distortions.severities import LEVEL_RANKS, candidates
from ..distortions.sources import plan_sources
from ..labelling import ScoreOptions, default_ground_truth, label_database, read_classes
from ..machines import build_machine, list_sources, responses_folder, run_machine
from ..taxonomy import DISTORTIONS, LEVEL_PAIRS, TASK_FOLDERS
from ..utils import atomic_write, generator_for, write_json
from ..utils.versions import versions_in_use
from .package_photos import PHOTO_PACKAGES, PackagePhoto, installed_photos
from .splits import SPLIT_COLUMNS, split_path

#: Short side of the sources in pixels: what the classifiers look at (up to 297), with a little to spare.
SHORT_SIDE = 320

#: Share of the photographs that are kept for testing: MIQD's own share is a fifth; a few more give a steadier figure.
VAL_SHARE = 0.25

#: Seed of the split, of the choice of versions and of the distortions.
SEED = 1234567

_FUSED_PAIRS = tuple(pair for pair in LEVEL_PAIRS if pair[0] != pair[1])


def plan_versions(number: int, distortions: int = 4) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """Choose the versions of the ``number``-th source: some distortions, each at three level pairs.

    Over the sources all distortions, all uniform levels and all fused pairs come round equally often.

    Args:
        number: of the source, from 0.
        distortions: how many distortions a source gets.

    Returns:
        Names of distortions, and (foreground, background) levels: a mild uniform pair, a strong uniform one, and one
        where foreground and background differ.
    """
    names = tuple(DISTORTIONS[(number * distortions + i) % len(DISTORTIONS)] for i in range(distortions))
    mild, strong = 1 + number % 3, 4 + number % 2
    # 7 has no factor in common with the 20 fused pairs, so their order is mixed and each comes round.
    return names, ((mild, mild), (strong, strong), _FUSED_PAIRS[7 * number % len(_FUSED_PAIRS)])


def make_pictures(
    root: str | os.PathLike,
    photos: Sequence[PackagePhoto] | None = None,
    distortions: int = 4,
    seed: int = SEED,
    jobs: int = 1,
    progress: bool = True,
) -> int:
    """Write sources, masks, distorted versions, ground truth, splits and the list of origins; keep what is done.

    Args:
        root: the data root; the pictures go to ``{root}/miqa_cls``.
        photos: the photographs; None: all that are listed.
        distortions: distortions for each source, see :func:`plan_versions`.
        seed: of everything random.
        jobs: processes; -1: one per core.
        progress: show a progress bar.

    Returns:
        The number of distorted versions.

    Raises:
        ImportError: a package with photographs is not installed.
        SettingsChanged: ``root`` was begun with other settings.
    """
    root = Path(root)
    photos = list(installed_photos() if photos is None else photos)
    # The order decides split and versions; it must not follow the packages, nor the classes within one.
    photos = [photos[i] for i in generator_for(seed, 'order of photographs').permutation(len(photos))]
    folder = root / TASK_FOLDERS['cls']
    settings = {
        'purpose': 'demo',
        'seed': seed,
        'short_side': SHORT_SIDE,
        'distortions_per_source': distortions,
        'sources': [photo.source for photo in photos],
        'level_ranks': list(LEVEL_RANKS),
        'candidates': {name: candidates(name) for name in DISTORTIONS},
    }
    settle_settings(folder, settings)
    calls = [delayed(_make_source)(photo, number, root, distortions, seed) for number, photo in enumerate(photos)]
    results = Parallel(n_jobs=jobs, return_as='generator_unordered')(calls)
    made = sum(tqdm(results, total=len(calls), desc='pictures', unit='photograph', disable=not progress))
    _write_ground_truth(root, photos)
    _write_splits(root, photos)
    _write_origins(root, photos)
    return made


def _make_source(photo: PackagePhoto, number: int, root: Path, distortions: int, seed: int) -> int:
    original = root / 'photographs' / f'{photo.source}.png'
    if not original.is_file():
        with atomic_write(original) as temporary:
            _shrink(photo.read()).save(temporary)
    (source,) = plan_sources([original], 'cls')
    names, pairs = plan_versions(number, distortions)
    order = Order(
        folder=str(root / TASK_FOLDERS['cls']),
        task='cls',
        seed=seed,
        distortions=names,
        pairs=pairs,
        measures=(),
        verify='size',
    )
    outcome = make_versions_of(source, order)
    if outcome.state == 'bad':
        raise OSError(f'{original} cannot be used: {outcome.reason} Delete it and run this again.')
    return len(names) * len(pairs)


def _shrink(image: np.ndarray) -> Image.Image:
    height, width = image.shape[:2]
    scale = SHORT_SIDE / min(height, width)
    size = (max(SHORT_SIDE, round(width * scale)), max(SHORT_SIDE, round(height * scale)))
    return Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)


def _write_rows(path: Path, header: Sequence[str], rows: list[Sequence]) -> None:
    with atomic_write(path) as temporary, open(temporary, 'w', newline='', encoding='utf-8') as stream:
        writer = csv.writer(stream, lineterminator='\n')
        writer.writerow(header)
        writer.writerows(rows)


def _write_ground_truth(root: Path, photos: list[PackagePhoto]) -> None:
    rows = [(f'{photo.source}.png', photo.class_index, photo.class_name) for photo in photos]
    _write_rows(default_ground_truth(root, 'cls'), ('filename', 'class_index', 'class_name'), sorted(rows))


def _write_splits(root: Path, photos: list[PackagePhoto]) -> None:
    held_out = round(VAL_SHARE * len(photos))
    for split, members in (('val', photos[:held_out]), ('train', photos[held_out:])):
        rows = [(f'{photo.source}.png', photo.class_name) for photo in members]
        _write_rows(split_path(root, 'cls', split), (SPLIT_COLUMNS['cls'], 'Category'), rows)


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


def make_answers(root: str | os.PathLike, machines: list[dict], batch_size: int = 32, progress: bool = True) -> None:
    """Run the classifiers over all pictures below ``root`` and keep their answers; what is there is kept.

    Args:
        root: the data root, after :func:`make_pictures`.
        machines: configs of classifiers, see :func:`miqa.machines.load_machine_configs`.
        batch_size: pictures for a network at a time.
        progress: show a progress bar.
    """
    classes = read_classes(default_ground_truth(root, 'cls'))
    sources = list_sources(root, 'cls')
    for config in machines:
        machine = build_machine(config)
        # Depthwise convolutions run twice as fast on a CPU with the channels last in memory (measured: 23 ms instead of
        # 40 for EfficientNet-Lite0 at 224 pixels on one core).
        if hasattr(machine, 'network'):
            machine.network.to(memory_format=torch.channels_last)
        run_machine(
            machine,
            sources,
            responses_folder(root, 'cls') / machine.name,
            true_classes=classes,
            batch_size=batch_size,
            workers=1,
            store_probabilities=True,
            progress=progress,
        )


def make_labels(root: str | os.PathLike, jobs: int = 1, progress: bool = True) -> dict:
    """Write the labels from the answers and return their manifest.

    Consistency is soft: the overlap of a classifier's probabilities before and after the distortion. The paper's
    counts agreeing classes over 40 classifiers; three classifiers would leave only four values.
    """
    return label_database(root, 'cls', options=ScoreOptions(consistency='soft'), jobs=jobs, progress=progress)
