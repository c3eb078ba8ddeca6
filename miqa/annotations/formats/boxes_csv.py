"""Boxes in a CSV: a line for each object."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from miqa.outside.tables import id_of, number_of, read_table

from .coco_writing import LabelledBox, Picture, inside

#: Column -> what else it may be called.
FILE_NAMES = {'filename': ('file_name', 'image', 'image_name', 'file')}
_ALSO = {
    **FILE_NAMES,
    'class': ('class_name', 'label', 'category', 'name'),
    'xmin': ('left', 'x1', 'x_min'),
    'ymin': ('top', 'y1', 'y_min'),
    'xmax': ('right', 'x2', 'x_max'),
    'ymax': ('bottom', 'y2', 'y_max'),
}
#: Pixels of a side; in a picture of more, boxes that end within its first pixel are none.
_SMALLEST = 8
_SIDES = ('xmin', 'ymin', 'xmax', 'ymax')


def read_boxes_csv(path: Path, pictures: Sequence[Picture]) -> tuple[dict[str, list[LabelledBox]], list[str]]:
    """Read objects from a CSV with the columns filename, class, xmin, ymin, xmax, ymax (edges in pixels).

    Returns:
        Name of a picture -> its objects, and the names of all classes, sorted. Pictures without a line have no objects;
        a line may name a picture without a box (a picture without objects).

    Raises:
        ValueError: a column is missing, a value is no number, a box is not in its picture, or a line names a picture
            that is not there; the line is named. Or all edges are shares of the pictures' sides.
    """
    table = read_table(path, list(_ALSO), 'file of boxes', also=_ALSO)
    if not table.rows:
        raise ValueError(f'The file of boxes {path} holds no rows.')
    find = picture_finder([picture.name for picture in pictures])
    by_name = {picture.name: picture for picture in pictures}
    found: dict[str, list[LabelledBox]] = {}
    furthest = 0.0
    for line, row in zip(table.lines, table.rows, strict=True):
        where = f'{path}, line {line}'
        name = find(id_of(row['filename'], f'{where}: the file name'), where)
        if name is None:
            raise ValueError(f'{where}: there is no picture {row["filename"]!r}.')
        things = found.setdefault(name, [])
        corners = [row[side] for side in _SIDES]
        if not any(corners) and not row['class']:
            continue
        try:
            values = [number_of(text, table.decimal_comma) for text in corners]
        except ValueError:
            values = [math.nan]
        if not all(map(math.isfinite, values)):
            raise ValueError(f'{where}: the box {corners} is not made of numbers.')
        if not row['class']:
            raise ValueError(f'{where} names no class.')
        furthest = max(furthest, *values)
        box = inside(values, by_name[name].size, where)
        if box:
            things.append(LabelledBox(row['class'], box))
    if 0 < furthest <= 1 and any(min(by_name[name].size) > _SMALLEST for name in found):
        raise ValueError(
            f'{path}: no edge of a box is above {furthest:g}. Are these shares of the sides of the pictures? Edges are '
            'given in pixels: multiply xmin and xmax by the width of the picture, ymin and ymax by its height.'
        )
    return found, sorted({thing.category for things in found.values() for thing in things})


def picture_finder(names: Sequence[str]) -> Callable[[str, str], str | None]:
    """Return a function from what a file calls a picture, and where, to the picture's name below its folder.

    A picture may be called by its path below the folder, by its file name, or by that without its ending, as long as
    only one picture is meant; the function returns None where there is none and raises ValueError where there are
    several.
    """
    whole = set(names)
    files: dict[str, list[str]] = {}
    for name in names:
        path = PurePosixPath(name)
        for key in dict.fromkeys((path.name, path.stem)):
            files.setdefault(key, []).append(name)

    def find(called: str, where: str) -> str | None:
        called = called.replace('\\', '/').removeprefix('./')
        if called in whole:
            return called
        path = PurePosixPath(called)
        found = files.get(path.name) or files.get(path.stem, [])
        if len(found) > 1:
            found = [name for name in found if _ends_alike(PurePosixPath(name).parts, path.parts)]
        if len(found) > 1:
            raise ValueError(f'{where}: {called!r} may be {found[0]} or {found[1]}; write it with its folders.')
        return found[0] if found else None

    return find


def _ends_alike(name: tuple[str, ...], called: tuple[str, ...]) -> bool:
    """Whether one path ends as the other, whatever the endings of the files are."""
    length = min(len(name), len(called))
    ends = [(*parts[:-1], PurePosixPath(parts[-1]).stem)[-length:] for parts in (name, called)]
    return ends[0] == ends[1]
