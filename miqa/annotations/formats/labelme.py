"""LabelMe's JSON files, one per picture: shapes in pixels (https://github.com/wkentaro/labelme).

Read are polygons, rectangles (turned ones, too), circles and masks. Shapes of one label and one ``group_id`` are parts
of one object. Points and lines have no area: they are skipped and counted. What is labelled ``__ignore__``, which
LabelMe's own converters leave out, is not a class: in it, objects of any class count neither for nor against.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from miqa.annotations.objects import DELETED
from miqa.outside.json_text import parse_json
from miqa.outside.regular_files import read_regular_text

from .coco_writing import LabelledBox, Picture, ellipse, masked, outlined
from .files import check_called, check_size, files_of_pictures, flag
from .format import OBJECTS, PREDICTED, AnnotationFormat, ReadObjects, Remarks, Request

_MOST_BYTES = 512 << 20  # A file holds its whole picture, too, unless LabelMe is set otherwise
_DIFFICULT = '{} shape{s} {are} marked difficult or labelled __ignore__: {they} {count} neither for nor against'
_IGNORED = '__ignore__'
_CROWD = ('difficult', 'ignore', 'iscrowd')  # Fields of what counts neither for nor against
_WITHOUT_AREA = ('point', 'points', 'line', 'linestrip')
#: What polygons of four corners are called that LabelMe and X-AnyLabeling turn.
_TURNED = ('rotation', 'oriented_rectangle', 'quadrilateral')


def read_labelme(request: Request) -> ReadObjects:
    """Read the JSON files below a folder that belong to the pictures, by their stems; pictures without one have none.

    Raises:
        ValueError: a file is not of that kind, a shape cannot be, or the size, or the picture that it says it is of, is
            another than the picture's. The file and the shape are named.
    """
    folder, pictures = request.path, request.pictures
    read = ReadObjects({}, [])
    files = files_of_pictures([folder], '.json', pictures, read.remarks)
    for picture in pictures:
        if picture.name in files:
            content = _content(files[picture.name])
            check_called(str(content.get('imagePath') or ''), picture, pictures, files[picture.name])
            instances, size = _read(content, files[picture.name], picture, read.remarks)
            read.objects[picture.name], read.sizes[picture.name] = instances, size
    read.categories = sorted(
        {instance.category for instances in read.objects.values() for instance in instances} - {_IGNORED}
    )
    for name, instances in read.objects.items():
        read.objects[name] = [
            replace(instance, category=category)
            for instance in instances
            for category in (read.categories if instance.category == _IGNORED else (instance.category,))
        ]
    return read


def _content(path: Path) -> dict:
    content = parse_json(read_regular_text(path, _MOST_BYTES), str(path))
    if not isinstance(content, dict) or not isinstance(content.get('shapes'), list):
        raise ValueError(f'{path} is not a file of LabelMe: it has no list "shapes".')
    return content


def _read(
    content: dict, path: Path, picture: Picture, remarks: Remarks
) -> tuple[list[LabelledBox], tuple[int, int] | None]:
    sides = (content.get('imageWidth') or 0, content.get('imageHeight') or 0)
    if not all(isinstance(side, (int, float)) for side in sides):
        raise ValueError(
            f'{path}: imageWidth and imageHeight must be numbers of pixels, not {sides[0]!r}, {sides[1]!r}.'
        )
    sized = check_size(sides, picture, path)
    outlines: dict[tuple, list[list[float]]] = {}
    crowds: set[tuple] = set()
    wide: set[tuple] = set()
    instances: list[LabelledBox | None] = []
    for number, shape in enumerate(content['shapes'], 1):
        location = f'{path}, shape {number}'
        if not isinstance(shape, dict) or not isinstance(shape.get('label'), str) or not shape['label'].strip():
            raise ValueError(f'{location} has no label.')
        label, group, kind = shape['label'].strip(), shape.get('group_id'), shape.get('shape_type') or 'polygon'
        points, difficult = _points(shape, location), _is_marked(shape, _CROWD, location) or label == _IGNORED
        if _is_marked(shape, ('deleted',), location):
            remarks.add(DELETED, location)
            continue
        if kind in _WITHOUT_AREA:
            remarks.add(f'{{}} shape{{s}} of the kind {kind} {{have}} no area and {{are}} skipped', location)
            continue
        if kind == 'mask':
            if group is not None:
                remarks.add('{} mask{s} {have} a group_id; each is an object of its own', location)
            mask = _mask(shape, label, points, picture, location)
            instances.append(replace(mask, crowd=difficult) if mask else None)
            remarks.add(_DIFFICULT, location, int(difficult))
            continue
        score = shape.get('score')
        remarks.add(PREDICTED, location, int(isinstance(score, (int, float)) and 0 < score < 1))
        key = (label, number if group is None else f'group {group}')
        outlines.setdefault(key, []).append(_outline(kind, points, location))
        if difficult:
            crowds.add(key)
        remarks.add(_DIFFICULT, location, int(difficult))
        if kind == 'circle' or kind in _TURNED:
            wide.add(key)  # it may reach over the border of the picture
    for key, polygons in outlines.items():
        slack = max(picture.size) if key in wide else 1.0
        instance = outlined(key[0], polygons, picture.size, f'{path}, {key[0]}', slack)
        instances.append(replace(instance, crowd=key in crowds) if instance else None)
    remarks.add(
        '{} object{s} {have} no area and {are} skipped', str(path), sum(instance is None for instance in instances)
    )
    return [instance for instance in instances if instance is not None], picture.size if sized else None


def _is_marked(shape: dict, names: Sequence[str], location: str) -> bool:
    """Return True if a shape is marked so, as a field, an attribute (X-AnyLabeling) or among its flags."""
    places = [shape, *(shape[name] for name in ('flags', 'attributes') if isinstance(shape.get(name), dict))]
    return any(flag(place.get(name), name, location) for place in places for name in names)


def _points(shape: dict, location: str) -> list[list[float]]:
    listed = shape.get('points')
    points: list = listed if isinstance(listed, list) else [None]
    if not all(isinstance(point, list) and len(point) == 2 and all(map(_is_coordinate, point)) for point in points):
        raise ValueError(f'{location}: points must be a list of pairs of numbers.')
    return points


def _outline(kind: object, points: list[list[float]], location: str) -> list[float]:
    """Return the corners of a shape, x1, y1, x2, y2, ..."""
    if kind == 'rectangle' and len(points) in (2, 4):
        xs, ys = zip(*points, strict=True)
        if len(points) == 4 and (len(set(xs)), len(set(ys))) != (2, 2):
            return [float(value) for point in points for value in point]
        left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
        return [left, top, right, top, right, bottom, left, bottom]
    if kind == 'circle' and len(points) == 2:
        radius = math.dist(*points)
        return ellipse((points[0][0], points[0][1]), (radius, radius))
    if (kind == 'polygon' and len(points) >= 3) or (kind in _TURNED and len(points) == 4):
        return [float(value) for point in points for value in point]
    raise ValueError(
        f'{location} is a {str(kind)[:60]} of {len(points)} points: save it as a polygon (3 points or more), '
        'rectangle, circle or mask.'
    )


def _mask(shape: dict, label: str, points: list[list[float]], picture: Picture, location: str) -> LabelledBox | None:
    """Read a mask: a PNG file in base64, of the pixels from the first point to the second one."""
    try:
        data = base64.b64decode(shape.get('mask') or '', validate=True)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=['PNG'])
        if image.width > picture.size[0] or image.height > picture.size[1]:
            raise ValueError(f'it has {image.width}x{image.height} pixels, more than its picture')
        pixels = np.asarray(image.convert('L')) > 0
    except UnidentifiedImageError:
        raise ValueError(f'{location}: the mask is not a PNG file in base64.') from None
    except (binascii.Error, TypeError, ValueError, OSError, SyntaxError) as error:
        raise ValueError(f'{location}: the mask is not a PNG file in base64: {str(error)[:200]}.') from None
    if len(points) != 2 or any(value != int(value) for point in points for value in point):
        raise ValueError(f'{location}: a mask has two points of whole numbers, its first and its last pixel.')
    (left, top), (right, bottom) = points
    if pixels.shape != (bottom - top + 1, right - left + 1):
        raise ValueError(
            f'{location}: the mask has {pixels.shape[1]}x{pixels.shape[0]} pixels, its points say '
            f'{right - left + 1:g}x{bottom - top + 1:g}.'
        )
    return masked(label, pixels, (int(left), int(top)), picture.size, location)


def _is_coordinate(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


FORMAT = AnnotationFormat(
    'labelme', 'a folder of LabelMe JSON files', ('det', 'ins'), OBJECTS, read_labelme, folder_suffix='.json'
)
