"""Databases of captured pictures: degraded ones beside clean ones of the same scene, without distortions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from miqa.keeping import atomic_write, only_writer, sha256_of_file
from miqa.layout import JPEG_SUFFIX, image_task_folder, images_in, sources_in
from miqa.outside import copy_regular
from miqa.running.progress import Progress, bar_over
from miqa.taxonomy import CAPTURED, IMAGE_TASKS, LEVEL_PAIRS, Version, version_name

MOST_VERSIONS = len(LEVEL_PAIRS)  # As many degraded pictures of one scene have names


def build_captured(
    scenes: Mapping[str, tuple[Path, Sequence[Path]]], root: str | os.PathLike, task: str, progress: Progress = True
) -> int:
    """Copy pictures into the layout of a database, keeping files that are there; return how many are degraded.

    ``scenes``: source name -> its clean picture and its degraded ones. A picture without a clean one stands for itself.

    Raises:
        ValueError: a scene has too many degraded pictures.
        FileExistsError: a picture of the database is another file than the one given now.
    """
    folder = image_task_folder(root, task)
    crowded = [name for name, (_, degraded) in scenes.items() if len(degraded) > MOST_VERSIONS]
    if crowded:
        raise ValueError(
            f'{crowded[0]} has {len(scenes[crowded[0]][1])} degraded pictures; a clean one has at most '
            f'{MOST_VERSIONS}. Copy the clean picture under a second name, and give it the rest.'
        )
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with only_writer(folder, 'stop that one'):
        for name, (clean, degraded) in bar_over(scenes.items(), progress, len(scenes), unit='source', desc='copies'):
            _copy(clean, sources_in(folder) / f'{name}{_suffix(clean, task)}')
            for pair, path in zip(LEVEL_PAIRS, degraded, strict=False):
                version = version_name(Version(name, CAPTURED, *pair), path.suffix.lower())
                _copy(path, images_in(folder) / name / version)
                count += 1
    return count


def _suffix(path: Path, task: str) -> str:
    return JPEG_SUFFIX[IMAGE_TASKS[task]] if path.suffix.lower() in ('.jpg', '.jpeg') else path.suffix


def _copy(source: Path, target: Path) -> None:
    if target.is_file():
        # Uncompressed pictures of one camera all have one size.
        if target.stat().st_size != source.stat().st_size or sha256_of_file(target) != sha256_of_file(source):
            raise FileExistsError(
                f'{target} was copied from another file than {source}. Put the old file back, or write to another '
                f'folder.'
            )
        return
    with atomic_write(target) as temporary:
        copy_regular(source, temporary, kind='image file')
