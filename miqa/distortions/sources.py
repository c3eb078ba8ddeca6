"""Which pictures a database is made from, and what they are called in it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..taxonomy import IMAGE_TASKS
from .masks import CocoInstances, MaskRecipe, folder_recipe

#: File name endings that count as pictures, in lower case.
SUFFIXES = ('.jpeg', '.jpg', '.png', '.bmp', '.tif', '.tiff', '.webp')

# Columns of MIQD's split files that name a picture.
_NAME_COLUMNS = ('Image Name', 'Image Index')


class Source(NamedTuple):
    """One source picture of a database."""

    #: Its name in the database: the stem of the file (cls), or COCO's number filled to 12 digits (det).
    image_id: str
    path: str
    mask: MaskRecipe


def list_images(folder: str | Path, names: Sequence[str] | None = None) -> list[Path]:
    """List the pictures in a folder (not below it), sorted by name.

    Args:
        folder: where the pictures are.
        names: only these, by file name, or by stem with any known ending; a number matches a stem that is the
            same number with leading zeros.

    Raises:
        FileNotFoundError: there is no such folder, no picture in it, or none of a wanted name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'There is no folder {folder}.')
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise FileNotFoundError(f'There is no picture in {folder}; known endings are {", ".join(SUFFIXES)}.')
    if names is None:
        return paths
    by_name = {}
    for path in paths:
        for key in {path.name, path.stem, path.stem.lstrip('0') if path.stem.isdigit() else path.stem}:
            by_name.setdefault(key, path)
    missing = [name for name in names if name not in by_name and Path(name).stem not in by_name]
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} listed pictures are not in {folder}, the first of them {missing[0]!r}.'
        )
    return [by_name[name] if name in by_name else by_name[Path(name).stem] for name in names]


def read_names(path: str | Path) -> list[str]:
    """Read names of pictures: a text file with one per line, or a split CSV with ``Image Name`` or ``Image Index``."""
    path = Path(path)
    with open(path, encoding='utf-8-sig', newline='') as stream:
        if path.suffix.lower() != '.csv':
            names = [line.strip() for line in stream]
        else:
            reader = csv.DictReader(stream)
            column = next((name for name in _NAME_COLUMNS if name in (reader.fieldnames or ())), None)
            if column is None:
                raise ValueError(f'{path} has the columns {reader.fieldnames}; one of {_NAME_COLUMNS} is needed.')
            names = [row[column].strip() for row in reader]
    names = [name for name in names if name]
    if not names:
        raise ValueError(f'{path} names no picture.')
    return names


def plan_sources(
    paths: Sequence[str | Path],
    task: str,
    annotations: str | Path | None = None,
    mask_folder: str | Path | None = None,
) -> list[Source]:
    """Name the sources of a database and say where their masks come from.

    Args:
        paths: the pictures.
        task: 'cls', 'det' or 'ins'; the last two name pictures by COCO's numbers.
        annotations: COCO file with instances; pictures without any get a mask by saliency.
        mask_folder: with one mask per picture; goes before annotations.

    Returns:
        The sources, sorted by name.

    Raises:
        ValueError: two pictures would have the same name, or a picture of ``det`` has no number.
    """
    coco = CocoInstances(annotations) if annotations else None
    sources = {}
    for path in map(Path, paths):
        image_id = path.stem if IMAGE_TASKS[task] == 'cls' else _number(path, coco)
        if image_id in sources:
            raise ValueError(f'{path} and {sources[image_id].path} would both be called {image_id}; rename one.')
        if mask_folder:
            mask = folder_recipe(mask_folder, tuple(dict.fromkeys((image_id, path.stem))))
        elif coco:
            mask = coco.recipe(path.name)
        else:
            mask = MaskRecipe('saliency')
        sources[image_id] = Source(image_id, str(path), mask)
    return [sources[image_id] for image_id in sorted(sources)]


def _number(path: Path, coco: CocoInstances | None) -> str:
    if coco:
        return f'{coco.image_id(path.name):012d}'
    if path.stem.isascii() and path.stem.isdigit():
        return path.stem.zfill(12)
    raise ValueError(
        f'Pictures of a detection database are called by their COCO number, and {path.name} is no number. '
        f'Give the annotation file that lists it, or rename it.'
    )
