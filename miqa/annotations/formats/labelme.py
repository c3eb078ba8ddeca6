"""LabelMe's JSON files, one for each picture: polygons, rectangles and circles in pixels (https://github.com/wkentaro/labelme).

Shapes of one label and one ``group_id`` are parts of one object. Points and lines have no area and are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from miqa.annotations.sizes import check_turned
from miqa.outside.json_text import parse_json
from miqa.outside.regular_files import read_regular_text

from .coco_writing import LabelledBox, Picture, outlined
from .files import check_size, files_by_stem

#: A file holds its whole picture, too, unless LabelMe is told otherwise.
_MOST_BYTES = 512 << 20
_WITHOUT_AREA = ('point', 'points', 'line', 'linestrip')
#: Corners of what stands for a circle.
_CORNERS = 64


def read_labelme(folder: Path, pictures: Sequence[Picture]) -> tuple[dict[str, list[LabelledBox]], list[str]]:
    """Read the JSON files below a folder that belong to ``pictures``, by their stems.

    Returns:
        Name of a picture -> its objects, and the names of all classes, sorted. A picture without a file has none.

    Raises:
        ValueError: a file is not of that kind, a shape cannot be, or the size is another than the picture's. The file
            and the shape are named.
    """
    files = files_by_stem(folder, '.json', pictures)
    annotated = [picture for picture in pictures if picture.stem in files]
    if not annotated:
        raise ValueError(
            f'None of the {len(files)} JSON files in {folder} belongs to one of the {len(pictures)} pictures: a file '
            "must have its picture's name."
        )
    read = {picture.name: _read(files[picture.stem], picture) for picture in annotated}
    check_turned([picture.path for picture in annotated], str(folder), [size for _, size in read.values()])
    found = {name: things for name, (things, _) in read.items()}
    return found, sorted({thing.category for things in found.values() for thing in things})


def _read(path: Path, picture: Picture) -> tuple[list[LabelledBox], tuple[int, int] | None]:
    content = parse_json(read_regular_text(path, _MOST_BYTES, encoding='utf-8-sig'), str(path))
    if not isinstance(content, dict) or not isinstance(content.get('shapes'), list):
        raise ValueError(f'{path} is not a file of LabelMe: it has no list "shapes".')
    sides = (content.get('imageWidth') or 0, content.get('imageHeight') or 0)
    sized = all(isinstance(side, (int, float)) for side in sides) and check_size(sides, picture, path)
    outlines: dict[tuple, list[list[float]]] = {}
    for number, shape in enumerate(content['shapes'], 1):
        where = f'{path}, shape {number}'
        if not isinstance(shape, dict) or not isinstance(shape.get('label'), str) or not shape['label'].strip():
            raise ValueError(f'{where} has no label.')
        outline = _outline(shape, where)
        if outline:
            group = shape.get('group_id')
            key = (shape['label'].strip(), number if group is None else f'group {group}')
            outlines.setdefault(key, []).append(outline)
    things = [
        outlined(label, polygons, picture.size, f'{path}, {label}') for (label, _), polygons in outlines.items()
    ]  # fmt: skip
    return [thing for thing in things if thing is not None], picture.size if sized else None


def _outline(shape: dict, where: str) -> list[float] | None:
    """Return the corners of a shape, x1, y1, x2, y2, ...; None where it has no area."""
    kind = shape.get('shape_type') or 'polygon'
    given = shape.get('points')
    points: list = given if isinstance(given, list) else [None]
    if not all(isinstance(point, list) and len(point) == 2 and all(map(_is_coordinate, point)) for point in points):
        raise ValueError(f'{where}: points must be a list of pairs of numbers.')
    if kind in _WITHOUT_AREA:
        return None
    if kind == 'rectangle' and len(points) in (2, 4):
        xs, ys = zip(*points, strict=True)
        left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
        return [left, top, right, top, right, bottom, left, bottom]
    if kind == 'circle' and len(points) == 2:
        (x, y), edge = points
        radius, turns = math.dist((x, y), edge), [2 * math.pi * step / _CORNERS for step in range(_CORNERS)]
        return [value for turn in turns for value in (x + radius * math.cos(turn), y + radius * math.sin(turn))]
    if kind in ('polygon', 'rotation') and len(points) >= 3:
        return [float(value) for point in points for value in point]
    raise ValueError(
        f'{where} is a {str(kind)[:60]} of {len(points)} points; polygons of at least three, rectangles and circles '
        'are read. Save it as a polygon.'
    )


def _is_coordinate(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
