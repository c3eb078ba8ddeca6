"""The XML file of CVAT ("CVAT for images 1.1"): boxes and polygons of all pictures in pixels (https://docs.cvat.ai)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from miqa.annotations.sizes import check_turned

from .boxes_csv import picture_finder
from .coco_writing import LabelledBox, Picture, inside, outlined
from .files import check_size, read_xml

_SIDES = ('xtl', 'ytl', 'xbr', 'ybr')


def read_cvat(path: Path, pictures: Sequence[Picture]) -> tuple[dict[str, list[LabelledBox]], list[str]]:
    """Read the boxes and polygons of ``pictures``; points, lines and tags are left aside.

    Returns:
        Name of a picture -> its objects, and the names of all classes, sorted. Entries of other pictures are left
        aside, and a picture without an entry has no objects.

    Raises:
        ValueError: the file is not of that kind, a shape cannot be, or a size is another than the picture's.
    """
    root = read_xml(path)
    entries = list(root.iter('image'))
    if root.tag != 'annotations' or not entries:
        raise ValueError(
            f'{path} is not the file "CVAT for images 1.1": it is a {root.tag!r} with {len(entries)} images. A task of '
            "CVAT is exported in that format, or in COCO's."
        )
    find = picture_finder([picture.name for picture in pictures])
    by_name = {picture.name: picture for picture in pictures}
    found: dict[str, list[LabelledBox]] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    for entry in entries:
        called = entry.get('name', '')
        where = f'{path}, image {called}'
        name = find(called, where)
        if name is None:
            continue
        picture = by_name[name]
        said = tuple(_number(entry, side, where, '0') for side in ('width', 'height'))
        sizes[name] = picture.size if check_size(said, picture, path) else None
        things = found.setdefault(name, [])
        for number, shape in enumerate(entry, 1):
            thing = _object(shape, picture, f'{where}, shape {number}')
            if thing is not None:
                things.append(thing)
    if not found:
        raise ValueError(f'None of the {len(entries)} images of {path} is one of the {len(pictures)} pictures.')
    check_turned([by_name[name].path for name in sizes], str(path), list(sizes.values()))
    return found, sorted({thing.category for things in found.values() for thing in things})


def _object(shape: ElementTree.Element, picture: Picture, where: str) -> LabelledBox | None:
    if shape.tag not in ('box', 'polygon'):
        return None
    label = shape.get('label', '').strip()
    if not label:
        raise ValueError(f'{where} has no label.')
    if _number(shape, 'rotation', where, '0') % 360:
        raise ValueError(f'{where} is a turned box; boxes along the sides of the picture are read. Draw a polygon.')
    if shape.tag == 'box':
        box = inside([_number(shape, side, where) for side in _SIDES], picture.size, where)
        return LabelledBox(label, box) if box else None
    try:
        points = [tuple(map(float, pair.split(','))) for pair in shape.get('points', '').split(';')]
    except ValueError:
        points = []
    if len(points) < 3 or any(len(point) != 2 or not all(map(math.isfinite, point)) for point in points):
        raise ValueError(f'{where}: points must be at least three pairs, x1,y1;x2,y2;...')
    return outlined(label, [[value for point in points for value in point]], picture.size, where)


def _number(element: ElementTree.Element, name: str, where: str, default: str = '') -> float:
    text = element.get(name, default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f'{where}: {name} is {text[:60]!r}, not a number.')
    return value
