"""A small database in MIQD-2.5M's own layout, for tests: real PNG files, real label and split files."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from miqa.running import generator_for
from miqa.taxonomy import DISTORTIONS, IMAGE_TASKS, LEVEL_PAIRS, TASK_FOLDERS, Version, check_choice, version_name

#: Every distortion once, its level pairs spread over uniform, background- and foreground-stronger ones.
DEFAULT_VERSIONS = tuple((distortion, *LEVEL_PAIRS[(7 * i) % 25]) for i, distortion in enumerate(DISTORTIONS))

#: All 250 versions that every source of MIQD-2.5M has.
ALL_VERSIONS = tuple((distortion, *pair) for distortion in DISTORTIONS for pair in LEVEL_PAIRS)


def source_ids(task: str, sources: int, seed: int = 0) -> list[str]:
    """Names of the sources that :func:`write_database` makes, in order (folder names, without a suffix)."""
    if IMAGE_TASKS[task] == 'cls':
        return [f'ILSVRC2012_val_{1000 * seed + number:08d}' for number in range(1, sources + 1)]
    return [f'{1000 * seed + 139 * number:012d}' for number in range(1, sources + 1)]


def label_values(source: str, versions: Iterable[Version], task: str, seed: int = 0) -> dict[str, list[float]]:
    """Consistency and accuracy of each version: they fall with the levels, more with the foreground's."""
    steps = {distortion: 0.6 + 0.08 * i for i, distortion in enumerate(DISTORTIONS)}
    values = {'consistency': [], 'accuracy': []}
    for version in versions:
        rng = generator_for('labels', task, source, *version[1:], seed)
        loss = 0.045 * (version.fg_level * 2 + version.bg_level) * steps[version.distortion]
        for key, top in (('consistency', 1.0), ('accuracy', 0.95)):
            values[key].append(round(float(np.clip(top - loss + rng.normal(0, 0.03), 0, 1)), 6))
    return values


def write_database(
    root: str | Path,
    task: str,
    sources: int = 4,
    versions: int | Iterable[tuple[str, int, int]] = DEFAULT_VERSIONS,
    size: tuple[int, int] = (48, 40),
    seed: int = 0,
    val_sources: int | None = None,
    folder_in_names: bool = False,
    extra_columns: bool = False,
) -> Path:
    """Write a database for one task below ``root`` and return ``root``.

    Calling it for several tasks with the same ``root`` adds to it; ``ins`` writes det's images and splits too.

    Args:
        root: the data root, made where missing.
        task: ``cls``, ``det`` or ``ins``.
        sources: number of source images; at least 2.
        versions: ``(distortion, fg_level, bg_level)`` of each version, or how many of :data:`ALL_VERSIONS`.
        size: (width, height) of every picture.
        seed: gives other pictures, names and labels.
        val_sources: sources of the val split (the last ones); a quarter, at least one, if not given.
        folder_in_names: write ``dist_images`` of cls with the source's folder.
        extra_columns: write the optional ``mean_`` and ``std_`` columns of cls.
    """
    check_choice(task, TASK_FOLDERS, 'task')
    root = Path(root)
    image_task = IMAGE_TASKS[task]
    images = root / TASK_FOLDERS[image_task]
    labels = root / TASK_FOLDERS[task] / 'labels'
    labels.mkdir(parents=True, exist_ok=True)
    if isinstance(versions, int):
        versions = ALL_VERSIONS[:: max(1, len(ALL_VERSIONS) // versions)][:versions]
    names = source_ids(task, sources, seed)
    for source in names:
        named = [Version(source, *version) for version in versions]
        _write_pictures(images, image_task, source, named, size, seed)
        _write_labels(
            labels, task, source, named, label_values(source, named, task, seed), folder_in_names, extra_columns
        )
    count = max(1, sources // 4) if val_sources is None else val_sources
    write_split(root, task, 'train', names[:-count])
    write_split(root, task, 'val', names[-count:])
    return root


def write_split(root: str | Path, task: str, split: str, sources: Iterable[str]) -> Path:
    """Write a split file in the official format and return its path."""
    image_task = IMAGE_TASKS[task]
    path = Path(root) / 'splits' / f'miqa_{image_task}_{split}.csv'
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'w', newline='', encoding='utf-8') as stream:
        rows = csv.writer(stream, lineterminator='\n')
        if image_task == 'cls':
            rows.writerow(['Image Name', 'Category', 'Quality Score'])
            rows.writerows([f'{source}.JPEG', 'hen, chicken', 0.75] for source in sources)
        else:
            rows.writerow(['Image Index'])
            rows.writerows([int(source)] for source in sources)
    return path


def picture(source: str, size: tuple[int, int], version: Version | None = None, seed: int = 0) -> np.ndarray:
    """A smooth random picture, uint8 (H, W, 3); a version adds noise and fades it, its central part by fg_level."""
    width, height = size
    rng = generator_for('picture', source, seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=np.float64)
    if version is None:
        return smooth.astype(np.uint8)
    level = np.full((height, width, 1), version.bg_level, dtype=np.float64)
    level[height // 4 : height - height // 4, width // 4 : width - width // 4] = version.fg_level
    noise = generator_for('version', *version, seed).normal(0, 8, smooth.shape)
    return np.clip(128 + (smooth - 128) * (1 - 0.15 * level) + noise * level, 0, 255).astype(np.uint8)


def _write_pictures(images: Path, image_task: str, source: str, versions: list[Version], size, seed) -> None:
    folder, originals = images / 'images' / source, images / 'src_images'
    folder.mkdir(parents=True, exist_ok=True)
    originals.mkdir(parents=True, exist_ok=True)
    suffix = '.JPEG' if image_task == 'cls' else '.jpg'
    Image.fromarray(picture(source, size, seed=seed)).save(originals / f'{source}{suffix}', quality=95)
    for version in versions:
        Image.fromarray(picture(source, size, version, seed)).save(folder / version_name(version), compress_level=1)


def _write_labels(labels: Path, task: str, source: str, versions, values, folder_in_names, extra_columns) -> None:
    files = [version_name(version) for version in versions]
    consistency, accuracy = values['consistency'], values['accuracy']
    if task != 'cls':
        for key in ('consistency', 'accuracy'):
            # The two files list the versions in different orders: they must be joined by name.
            rows = list(zip(files, values[key], strict=True))
            _write_csv(
                labels / f'{source}_{key}.csv', ['filename', 'AP_weighted_avg'], rows[:: 1 if key == 'accuracy' else -1]
            )
        return
    header = ['dist_images', 'weighted_consistency', 'weighted_accuracy']
    if folder_in_names:
        files = [f'{source}/{name}' for name in files]
    rows = list(zip(files, consistency, accuracy, strict=True))
    if extra_columns:
        header += ['mean_consistency', 'std_consistency', 'mean_accuracy', 'std_accuracy']
        rows = [(*row, row[1], 0.1, row[2], 0.1) for row in rows]
    _write_csv(labels / f'{source}_mmos.csv', header, rows)


def _write_csv(path: Path, header: list[str], rows: Iterable) -> None:
    with open(path, 'w', newline='', encoding='utf-8') as stream:
        writer = csv.writer(stream, lineterminator='\n')
        writer.writerow(header)
        writer.writerows(rows)
