"""The XML file of CVAT ("CVAT for images 1.1"): the objects of all pictures in pixels (https://docs.cvat.ai).

Read are boxes (turned ones by their outline), polygons, masks, ellipses, and cuboids by their outline. Points, lines,
skeletons and tags have no area: they are skipped and counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np

from miqa.annotations.objects import DELETED
from miqa.outside.tables import number_of
from miqa.taxonomy import counted

from .boxes_csv import picture_finder
from .coco_writing import LabelledBox, Picture, ellipse, inside, masked, outlined, turned_box
from .files import check_size, flag, read_xml
from .format import OBJECTS, PREDICTED, AnnotationFormat, ReadObjects, Request

_WITHOUT_AREA = ('points', 'polyline', 'tag', 'skeleton')
#: Attributes of an object that counts neither for nor against, as Datumaro and users call them.
_CROWD = ('is_crowd', 'iscrowd', 'ignore', 'difficult')
#: Corners of a cuboid: left and right, top and bottom, of its two faces in front and those behind.
_CUBOID = [f'{corner}{face}' for face in (1, 2) for corner in ('tl', 'tr', 'br', 'bl')]


def read_cvat(request: Request) -> ReadObjects:
    """Read the objects of the pictures; those without an entry have none.

    Raises:
        ValueError: the file is not of that kind, has shapes of an unknown kind, a shape cannot be, a size is another
            than the picture's, or a picture has two entries.
    """
    path, pictures = request.path, request.pictures
    root = read_xml(path)
    entries = list(root.iter('image'))
    if tracks := len(root.findall('track')):
        raise ValueError(
            f'{path} holds the track{"s" * (tracks > 1)} of {counted(tracks, "object")} in a video: export "CVAT for '
            'images 1.1".'
        )
    if root.tag != 'annotations' or not entries:
        raise ValueError(
            f'{path} is not the file "CVAT for images 1.1" but a {root.tag!r} with {len(entries)} images: export that, '
            'or COCO.'
        )
    unknown = Counter(shape.tag for entry in entries for shape in entry if shape.tag not in {*_READERS, *_WITHOUT_AREA})
    if unknown:
        listed = ', '.join(f'{count} {kind}' for kind, count in sorted(unknown.items()))
        raise ValueError(
            f'{path} holds shapes that are not read: {listed}. Read are {", ".join(_READERS)}; convert others to '
            'polygons in CVAT.'
        )
    find = picture_finder([picture.name for picture in pictures], request.folder)
    by_name = {picture.name: picture for picture in pictures}
    read = ReadObjects({}, [])
    for entry in entries:
        called = entry.get('name', '')
        location = f'{path}, image {called}'
        name = find(called, location)
        if name is None:
            read.remarks.add('{} image{s} of the file {are} not among the pictures', called)
            continue
        if name in read.objects:
            raise ValueError(f'{path} has two images that are the picture {name}. Remove one of them.')
        picture = by_name[name]
        stated = tuple(_number(entry, side, location, '0') for side in ('width', 'height'))
        read.sizes[name] = picture.size if check_size(stated, picture, path) else None
        read.objects[name] = _objects(entry, picture, location, read)
    if not read.objects:
        raise ValueError(f'None of the {len(entries)} images of {path} is one of the {len(pictures)} pictures.')
    without = [picture.name for picture in pictures if picture.name not in read.objects]
    read.remarks.add('{} picture{s} {have} no image in the file, and {count} as without objects',
                     without[0] if without else '', len(without))  # fmt: skip
    read.categories = sorted({instance.category for instances in read.objects.values() for instance in instances})
    return read


def _objects(entry: ElementTree.Element, picture: Picture, location: str, read: ReadObjects) -> list[LabelledBox]:
    instances = []
    for number, shape in enumerate(entry, 1):
        entry_location = f'{location}, shape {number}'
        if flag(shape.get('outside'), 'outside', entry_location) or _has(shape, ('deleted', 'outside'), entry_location):
            read.remarks.add(DELETED, entry_location)
            continue
        if shape.tag in _WITHOUT_AREA:
            read.remarks.add(
                f'{{}} shape{{s}} of the kind {shape.tag} {{have}} no area and {{are}} skipped', entry_location
            )
            continue
        label = shape.get('label', '').strip()
        if not label:
            raise ValueError(f'{entry_location} has no label.')
        if shape.get('group_id', '0') not in ('', '0'):
            read.remarks.add('{} shape{s} {belong} to groups (group_id); each is an object of its own', entry_location)
        read.remarks.add(PREDICTED, entry_location, int(shape.get('source') == 'auto'))
        instance = _READERS[shape.tag](shape, label, picture, entry_location)
        crowd = _has(shape, _CROWD, entry_location)
        read.remarks.add(
            '{} object{s} {are} marked as crowd: {they} {count} neither for nor against', entry_location, int(crowd)
        )
        if instance is None:
            read.remarks.add('{} object{s} {have} no area and {are} skipped', entry_location)
        else:
            instances.append(replace(instance, crowd=crowd))
    return instances


def _has(shape: ElementTree.Element, names: Sequence[str], location: str) -> bool:
    """Return True if one of these attributes of a shape is true."""
    return any(
        flag(attribute.text, attribute.get('name', ''), location)
        for attribute in shape.iterfind('attribute')
        if attribute.get('name', '').lower() in names
    )


def _box(shape: ElementTree.Element, label: str, picture: Picture, location: str) -> LabelledBox | None:
    sides = [_number(shape, side, location) for side in ('xtl', 'ytl', 'xbr', 'ybr')]
    degrees = _number(shape, 'rotation', location, '0') % 360
    if degrees:
        # A turned box may reach over the border of the picture.
        return outlined(label, [turned_box(sides, degrees)], picture.size, location, max(picture.size))
    box = inside(sides, picture.size, location)
    return LabelledBox(label, box) if box else None


def _polygon(shape: ElementTree.Element, label: str, picture: Picture, location: str) -> LabelledBox | None:
    try:
        points = [tuple(map(number_of, pair.split(','))) for pair in shape.get('points', '').split(';')]
    except ValueError:
        points = []
    if len(points) < 3 or any(len(point) != 2 or not all(map(math.isfinite, point)) for point in points):
        raise ValueError(f'{location}: points must be at least three pairs, x1,y1;x2,y2;...')
    _not_turned(shape, location)
    return outlined(label, [[value for point in points for value in point]], picture.size, location)


def _ellipse(shape: ElementTree.Element, label: str, picture: Picture, location: str) -> LabelledBox | None:
    middle = (_number(shape, 'cx', location), _number(shape, 'cy', location))
    radii = (_number(shape, 'rx', location), _number(shape, 'ry', location))
    if min(radii) < 0:
        raise ValueError(f'{location}: the radii {radii[0]:g} and {radii[1]:g} must not be negative.')
    outline = ellipse(middle, radii, _number(shape, 'rotation', location, '0'))
    return outlined(label, [outline], picture.size, location, max(picture.size))


def _cuboid(shape: ElementTree.Element, label: str, picture: Picture, location: str) -> LabelledBox | None:
    import cv2  # not part of the smallest installation

    corners = [[_number(shape, f'{axis}{corner}', location) for axis in 'xy'] for corner in _CUBOID]
    hull = cv2.convexHull(np.array(corners, np.float32)).reshape(-1)
    if len(hull) < 6:
        return None
    return outlined(label, [[float(value) for value in hull]], picture.size, location, max(picture.size))


def _mask(shape: ElementTree.Element, label: str, picture: Picture, location: str) -> LabelledBox | None:
    left, top, width, height = (_number(shape, name, location) for name in ('left', 'top', 'width', 'height'))
    sides = [int(side) for side in (left, top, width, height)]
    try:
        runs = [int(run) for run in shape.get('rle', '').split(',')]
    except ValueError:
        runs = [-1]
    pixels = sides[2] * sides[3]
    if (left, top, width, height) != tuple(sides) or min(runs) < 0 or sum(runs) != pixels:
        raise ValueError(
            f'{location}: a mask needs whole numbers for left, top, width, height, and run lengths in rle that sum to '
            f'{pixels}, not {sum(runs)}.'
        )
    if pixels > picture.size[0] * picture.size[1]:
        raise ValueError(f'{location}: a mask of {width:g}x{height:g} pixels is larger than its picture.')
    _not_turned(shape, location)
    filled = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(sides[3], sides[2])
    return masked(label, filled, (sides[0], sides[1]), picture.size, location)


def _not_turned(shape: ElementTree.Element, location: str) -> None:
    if _number(shape, 'rotation', location, '0') % 360:
        raise ValueError(f'{location} is a turned {shape.tag}; boxes and ellipses may be turned.')


_READERS: dict[str, Callable[[ElementTree.Element, str, Picture, str], LabelledBox | None]] = {
    'box': _box, 'polygon': _polygon, 'mask': _mask, 'ellipse': _ellipse, 'cuboid': _cuboid,
}  # fmt: skip


def _number(element: ElementTree.Element, name: str, location: str, default: str = '') -> float:
    text = element.get(name, default)
    try:
        value = number_of(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f'{location}: {name} is {text[:60]!r}, not a number.')
    return value


FORMAT = AnnotationFormat(
    'cvat', 'the XML file of CVAT for images', ('det', 'ins'), OBJECTS, read_cvat, file_suffixes=('.xml',)
)
