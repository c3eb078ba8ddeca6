"""The source pictures of a database, and their names in it."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from miqa.annotations.coco import read_coco
from miqa.annotations.objects import AnnotatedObject, Annotations
from miqa.annotations.sizes import PictureHeader, check_turned, read_headers
from miqa.layout import PICTURE_SUFFIXES, SPLIT_COLUMNS, coco_source
from miqa.outside.names import printable
from miqa.outside.regular_files import read_regular_text
from miqa.outside.tables import id_of, read_table
from miqa.outside.walking import SkippedFiles, Walker
from miqa.pictures.suffixes import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from miqa.taxonomy import IMAGE_TASKS

from .masks import MaskRecipe, coco_recipe, folder_recipe

logger = logging.getLogger(__name__)

#: Bytes of a source's name to which a distortion, its levels and an ending can be added: disks have names up to 255.
_LONGEST_NAME = 220


class Source(NamedTuple):
    """One source picture of a database."""

    #: Its name in the database: the stem of the file (cls), or COCO's number filled to 12 digits (det).
    image_id: str
    path: str
    mask: MaskRecipe


def check_length(name: str) -> None:
    """Raise a ValueError where the versions of a source of this name would have names that no disk takes."""
    if (length := len(os.fsencode(name))) > _LONGEST_NAME:
        raise ValueError(
            f'The name of {printable(name[:40])}... has {length} bytes, and those of its versions are longer: rename '
            f'it to at most {_LONGEST_NAME} bytes.'
        )


def list_images(
    folder: str | Path, names: Sequence[str] | None = None, skipped: SkippedFiles | None = None
) -> list[Path]:
    """List the pictures in a folder (not below it), sorted by name.

    Other pictures in it, of endings that databases are not made from, and entries that are not files are skipped.

    Args:
        folder: where the pictures are.
        names: only these, by file name, or by stem with any known ending; a number matches a stem that is the
            same number with leading zeros.
        skipped: collects what is skipped, where no ``names`` are given; without it one warning names it.

    Raises:
        FileNotFoundError: there is no such folder, no picture in it, or none of a wanted name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'There is no folder {folder}.')
    paths, others, folders = [], [], []
    for path in sorted(folder.iterdir()):
        has_suffix = path.suffix.lower() in PICTURE_SUFFIXES
        if has_suffix and path.is_file():
            paths.append(path)
        elif not path.name.startswith('.') and (has_suffix or path.suffix.lower() in IMAGE_SUFFIXES | UNREAD_SUFFIXES):
            others.append(path.name)
        elif not path.name.startswith('.') and path.is_dir():
            folders.append(path)
    if others and names is None:
        sentence = (
            f'{len(others)} entries of {folder} are skipped: they are not files, or their endings are not among '
            f'{", ".join(PICTURE_SUFFIXES)}. Convert or mend them if they are wanted: '
            f'{printable(", ".join(others[:20]))}{", ..." if len(others) > 20 else "."}'
        )
        if skipped is None:
            logger.warning(sentence)
        else:
            skipped.note(sentence)
    walker = Walker((skipped or SkippedFiles()).add)
    known_pictures = IMAGE_SUFFIXES | UNREAD_SUFFIXES
    passed = [inner.name for inner in folders if names is None and any(walker.below(str(inner), known_pictures))]
    if passed:
        logger.warning(
            f'Pictures in folders below {folder} are not taken: {printable(", ".join(passed[:20]))}. Move them up if '
            'they are wanted.'
        )
    if not paths:
        raise FileNotFoundError(f'There is no picture in {folder}; known endings are {", ".join(PICTURE_SUFFIXES)}.')
    if names is None:
        return paths
    by_name: dict[str, Path] = {}
    for path in paths:
        for key in {path.name, path.stem, path.stem.lstrip('0') if path.stem.isdigit() else path.stem}:
            by_name.setdefault(key, path)
    missing = [name for name in names if name not in by_name and Path(name).stem not in by_name]
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} listed pictures are not in {folder}, the first of them {missing[0]!r}.'
        )
    return list(dict.fromkeys(by_name[name] if name in by_name else by_name[Path(name).stem] for name in names))


def read_names(path: str | Path) -> list[str]:
    """Read names of pictures: a text file with one per line, or a split CSV with ``Image Name`` or ``Image Index``."""
    path = Path(path)
    if path.suffix.lower() != '.csv':
        text = read_regular_text(path, kind='list of pictures')
        names = [line.strip() for line in text.split('\n')]
    else:
        columns = tuple(dict.fromkeys(SPLIT_COLUMNS.values()))
        table = read_table(path, [], 'list of pictures', optional=columns)
        column = next((name for name in columns if table.rows and name in table.rows[0]), None)
        if column is None:
            raise ValueError(f'{path} has the columns {table.columns}; one of {columns} is needed.')
        names = [
            id_of(row[column], f'{column!r} in row {number} of {path}')
            for number, row in enumerate(table.rows, start=1)
        ]
    names = [name for name in names if name]
    if not names:
        raise ValueError(f'{path} names no picture.')
    return names


def plan_sources(
    paths: Sequence[str | Path],
    task: str,
    annotations: str | Path | Annotations | None = None,
    mask_folder: str | Path | None = None,
    headers: Sequence[PictureHeader] | None = None,
    keys: Sequence[int | str] | None = None,
    as_shown: bool | None = None,
) -> list[Source]:
    """Name the sources of a database and say where their masks come from.

    Args:
        paths: the pictures.
        task: 'cls', 'det' or 'ins'; the last two name pictures by COCO's numbers.
        annotations: COCO file with instances, which is read and checked whole, or what was read of it; pictures
            without any instance get a mask by saliency.
        mask_folder: with one mask per picture; goes before annotations.
        headers: of the pictures, where they were read already.
        keys: of the pictures in the annotations, where they were found already.
        as_shown: see :func:`miqa.annotations.sizes.check_turned`.

    Returns:
        The sources, sorted by name.

    Raises:
        ValueError: two pictures would have the same name, a picture of ``det`` has no number, or the annotations are
            wrong, do not list a picture, or are those of a picture before it was turned by its EXIF orientation.
    """
    coco = annotations if isinstance(annotations, Annotations) else None
    if annotations and not isinstance(annotations, Annotations):
        coco = read_coco(annotations, objects=False)
    headers = read_headers(paths) if headers is None else headers
    entries: Sequence[int | str | None] = [None] * len(paths)
    if coco:
        entries = keys = keys or [coco.find(str(path)) for path in paths]
        reach = [_reach(coco.objects[key]) for key in keys]
        check_turned(headers, coco.path, [coco.images[key].size for key in keys], as_shown, reach)
    else:
        check_turned(headers, str(mask_folder) if mask_folder else None)
    sources: dict[str, Source] = {}
    for path, key in zip(map(Path, paths), entries, strict=True):
        image_id = path.stem if IMAGE_TASKS[task] == 'cls' else _number(path, coco, key)
        check_length(image_id)
        if image_id in sources:
            raise ValueError(f'{path} and {sources[image_id].path} would both be called {image_id}; rename one.')
        if mask_folder:
            mask = folder_recipe(mask_folder, tuple(dict.fromkeys((image_id, path.stem))))
        elif coco and key is not None:
            mask = coco_recipe(coco, key)
        else:
            mask = MaskRecipe('saliency')
        sources[image_id] = Source(image_id, str(path), mask)
    return [sources[image_id] for image_id in sorted(sources)]


def _reach(objects: Sequence[AnnotatedObject]) -> tuple[float, float] | None:
    edges = [(instance.box[0] + instance.box[2], instance.box[1] + instance.box[3]) for instance in objects]
    return (max(right for right, _ in edges), max(bottom for _, bottom in edges)) if edges else None


def _number(path: Path, coco: Annotations | None, key: int | str | None) -> str:
    try:
        return coco_source(path.stem)
    except ValueError:
        if coco and key is not None and (number := coco.number(key)) is not None:
            return number
        raise ValueError(
            f'Pictures of a detection database are called by their COCO number, and {path.name} is not a number. '
            'Give an annotation file (--annotations) that lists it with a number of at most 12 digits as its id, or '
            'rename it.'
        ) from None
