"""Boxes in a CSV file, one object per line."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from miqa.annotations.objects import DELETED, may_be_called
from miqa.outside.names import plain
from miqa.outside.tables import id_of, number_of, read_table

from .coco_writing import LabelledBox, Picture, inside
from .files import flag
from .format import OBJECTS, AnnotationFormat, ReadObjects, Request

FILE_NAMES = {'filename': ('file_name', 'image', 'image_name', 'file')}  # Column -> what else it may be called
_ALSO = {
    **FILE_NAMES,
    'class': ('class_name', 'label', 'category', 'name'),
    'xmin': ('left', 'x1', 'x_min'),
    'ymin': ('top', 'y1', 'y_min'),
    'xmax': ('right', 'x2', 'x_max'),
    'ymax': ('bottom', 'y2', 'y_max'),
}
#: Columns that need not be there.
_OPTIONAL = {
    'width': ('image_width', 'img_width'),
    'height': ('image_height', 'img_height'),
    'rotation': ('angle', 'theta'),
    'iscrowd': ('difficult', 'crowd', 'ignore', 'isgroupof'),
    'deleted': ('outside',),
    'score': ('confidence', 'conf'),
}
_SIDES = ('xmin', 'ymin', 'xmax', 'ymax')


def read_boxes_csv(request: Request) -> ReadObjects:
    """Read objects from a CSV with the columns filename, class, xmin, ymin, xmax, ymax (edges in pixels).

    Pictures without a line have no objects; a line may name a picture without a box (a picture without objects).
    Columns width and height must hold the size of the picture; objects with a 1 in iscrowd or difficult count neither
    for nor against; turned boxes are refused.

    Raises:
        ValueError: a column is missing, a value is not a number, a box is not in its picture, or a line names a picture
            that is not there; the line is named.
    """
    path, pictures = request.path, request.pictures
    table = read_table(path, list(_ALSO), 'file of boxes', optional=list(_OPTIONAL), also={**_ALSO, **_OPTIONAL})
    if not table.rows:
        raise ValueError(f'The file of boxes {path} holds no rows.')
    find = picture_finder([picture.name for picture in pictures], request.folder)
    by_name = {picture.name: picture for picture in pictures}
    read = ReadObjects({}, [])
    called_before: dict[str, str] = {}
    for line, row in zip(table.lines, table.rows, strict=True):
        location = f'{path}, line {line}'
        name = find(id_of(row['filename'], f'{location}: the file name'), location)
        if name is None:
            raise ValueError(f'{location}: there is no picture {row["filename"]!r}.')
        called = row['filename'].replace('\\', '/').removeprefix('./')
        if called_before.setdefault(name, called) != called:
            raise ValueError(
                f'{location} calls the picture {name} {row["filename"]!r}, and an earlier line {called_before[name]!r}:'
                ' if both mean it, write it alike, else leave out the lines of the other.'
            )
        instances = read.objects.setdefault(name, [])
        if flag(row.get('deleted'), 'deleted', location):
            read.remarks.add(DELETED, location)
            continue
        _check_optional(row, by_name[name], table.decimal_comma, location)
        corners = [row[side] for side in _SIDES]
        if not any(corners) and not row['class']:
            continue
        try:
            values = [number_of(text, table.decimal_comma) for text in corners]
        except ValueError:
            values = [math.nan]
        if not all(map(math.isfinite, values)):
            raise ValueError(f'{location}: the box {corners} is not made of numbers.')
        if not row['class']:
            raise ValueError(f'{location} names no class.')
        box = inside(values, by_name[name].size, location)
        crowd = flag(row.get('iscrowd'), 'iscrowd', location)
        read.remarks.add(
            '{} object{s} {are} marked as crowd: {they} {count} neither for nor against', location, int(crowd)
        )
        if box:
            instances.append(LabelledBox(row['class'], box, crowd=crowd))
        else:
            read.remarks.add('{} object{s} {have} no area and {are} skipped', location)
    without = [picture.name for picture in pictures if picture.name not in read.objects]
    read.remarks.add('{} picture{s} {have} no line, and {count} as without objects',
                     without[0] if without else '', len(without))  # fmt: skip
    read.categories = sorted({instance.category for instances in read.objects.values() for instance in instances})
    return read


def _check_optional(row: dict[str, str], picture: Picture, decimal_comma: bool, location: str) -> None:
    """Raise a ValueError where a line gives another size of the picture, a turned box, or a prediction."""
    numbers = {}
    for column in ('width', 'height', 'rotation', 'score'):
        if row.get(column):
            try:
                numbers[column] = number_of(row[column], decimal_comma)
            except ValueError:
                raise ValueError(f'{location}: {column} is {row[column]!r}, not a number.') from None
    if numbers.get('rotation'):
        raise ValueError(
            f'{location} is a box that is turned by {row["rotation"]}: give the axis-aligned box around the object, '
            'and leave the column out.'
        )
    if numbers.get('score', 1) != 1:
        raise ValueError(
            f'{location} has the score {row["score"]}: is it a prediction? Give annotations made by people, or leave '
            'the column out.'
        )
    for column, side in zip(('width', 'height'), picture.size, strict=True):
        if column in numbers and numbers[column] != side:
            raise ValueError(
                f'{location}: {column} is {row[column]}, but the picture is {picture.size[0]}x{picture.size[1]}: leave '
                'the column out if it means the box.'
            )


def picture_finder(names: Sequence[str], folder: Path) -> Callable[[str, str], str | None]:
    """Return a function from what a file calls a picture, and where, to the picture's name below its ``folder``.

    A picture may be called by its path below the folder, by its file name, or by that without its ending, in any case
    of letters, as long as only one picture is meant; the function returns None if there is none and raises
    ValueError where there are several.
    """
    whole = set(names)
    files: dict[str, list[str]] = {}
    for name in names:
        path = PurePosixPath(name)
        for key in dict.fromkeys((path.name, path.stem, plain(path.name), plain(path.stem))):
            files.setdefault(key, []).append(name)

    def find(called: str, location: str) -> str | None:
        called = called.replace('\\', '/').removeprefix('./')
        if called in whole:
            return called
        path = PurePosixPath(called)
        keys = (path.name, path.stem, plain(path.name), plain(path.stem))
        matches = next((files[key] for key in keys if key in files), [])
        matches = [name for name in dict.fromkeys(matches) if may_be_called(folder / name, name, called)]
        if len(matches) > 1:
            raise ValueError(f'{location}: {called!r} may be {matches[0]} or {matches[1]}; write it with its folders.')
        return matches[0] if matches else None

    return find


FORMAT = AnnotationFormat(
    'csv', 'a CSV file of boxes', ('det',), OBJECTS, read_boxes_csv, file_suffixes=('.csv', '.tsv')
)
