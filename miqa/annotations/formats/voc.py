"""Pascal VOC's XML files, one per picture.

Corners count pixels from 1, so that 1 is taken from left and top, as Detectron2 does; where a corner of a set is 0, its
program counts from 0, and nothing is taken. Objects marked ``difficult`` count neither for nor against, as in VOC's own
evaluation.
"""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

from miqa.annotations.objects import DELETED
from miqa.outside.tables import number_of

from .coco_writing import LabelledBox, Picture, inside
from .files import check_called, check_size, files_of_pictures, flag, read_xml
from .format import OBJECTS, AnnotationFormat, ReadObjects, Remarks, Request


def read_voc(request: Request) -> ReadObjects:
    """Read the XML files below a folder that belong to the pictures, by their stems.

    Raises:
        ValueError: a file is not XML of that kind, a box cannot be, or the size is another than the picture's. The file
            is named. Also where a picture has no file: in VOC even a picture without objects has one; where its file
            has the name of one picture and says that it is of another.
    """
    folder, pictures = request.path, request.pictures
    read = ReadObjects({}, [])
    files = files_of_pictures([folder], '.xml', pictures, read.remarks)
    missing = [picture.name for picture in pictures if picture.name not in files]
    if missing:
        raise ValueError(
            f'{folder} has no file for {len(missing)} of {len(pictures)} pictures, such as {Path(missing[0]).stem}.xml '
            '(it may list no objects).'
        )
    entries = {}
    for picture in pictures:
        root = read_xml(files[picture.name])
        check_called((root.findtext('filename') or '').strip(), picture, pictures, files[picture.name])
        entries[picture.name], read.sizes[picture.name] = _read(root, files[picture.name], picture, read.remarks)
    starts = [(min(entry[1][:2]), entry[3]) for listed in entries.values() for entry in listed]
    from_zero = [location for start, location in starts if start < 0.5]
    read.remarks.add(
        '{} box{es} {begin} at pixel 0, where VOC counts from 1: all corners are taken as counted from 0',
        from_zero[0] if from_zero else '', len(from_zero),
    )  # fmt: skip
    first = 0 if from_zero else 1
    for picture in pictures:
        read.objects[picture.name] = []
        for name, (left, top, right, bottom), crowd, location in entries[picture.name]:
            box = inside((left - first, top - first, right, bottom), picture.size, location)
            if box:
                read.objects[picture.name].append(LabelledBox(name, box, crowd=crowd))
            else:
                read.remarks.add('{} object{s} {have} no area and {are} skipped', location)
    read.categories = sorted({instance.category for instances in read.objects.values() for instance in instances})
    return read


def _read(
    root: ElementTree.Element, path: Path, picture: Picture, remarks: Remarks
) -> tuple[list[tuple], tuple[int, int] | None]:
    """Return class, corners, difficulty and location of each object, and the picture's size if the file gives it."""
    if root.tag != 'annotation':
        raise ValueError(f'{path} is not a file of Pascal VOC: it is a {root.tag!r}, not an annotation.')
    stated = tuple(_number(root, f'size/{side}', path, default=0) for side in ('width', 'height'))
    sized = check_size(stated, picture, path)
    instances = []
    for number, entry in enumerate(root.iter('object'), 1):
        location = f'{path}, object {number}'
        name = (entry.findtext('name') or '').strip()
        if not name:
            raise ValueError(f'{location} has no name.')
        if flag(entry.findtext('deleted'), 'deleted', location):
            remarks.add(DELETED, location)
            continue
        boxes = len(entry.findall('bndbox'))
        if boxes != 1:
            raise ValueError(f'{location} has {boxes or "no"} bndbox, which is one box along the sides of the picture.')
        if _is_turned(entry):
            raise ValueError(
                f'{location} is turned, and its bndbox is not: export COCO outlines, or boxes without rotation.'
            )
        corners = [_number(entry, f'bndbox/{side}', location) for side in ('xmin', 'ymin', 'xmax', 'ymax')]
        crowd = any(flag(entry.findtext(name), name, location) for name in ('difficult', 'ignore', 'iscrowd'))
        remarks.add('{} object{s} {are} marked difficult: {they} {count} neither for nor against', location, int(crowd))
        instances.append((name, corners, crowd, location))
    return instances, picture.size if sized else None


def _is_turned(entry: ElementTree.Element) -> bool:
    """Return True if an object has an angle, as a field or among its attributes (CVAT), that is not a whole turn."""
    fields = {name: entry.findtext(name) for name in ('rotation', 'angle', 'theta')}
    for attribute in entry.iterfind('attributes/attribute'):
        if attribute.findtext('name') == 'rotation':
            fields['rotation'] = attribute.findtext('value')
    return any(_number_or_zero(text or '') % 360 for text in fields.values())


def _number_or_zero(text: str) -> float:
    try:
        value = number_of(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def _number(element: ElementTree.Element, name: str, location, default: float | None = None) -> float:
    text = (element.findtext(name) or '').strip()
    if not text and default is not None:
        return default
    try:
        value = number_of(text)
        if not math.isfinite(value):
            raise ValueError
        return value
    except ValueError:
        raise ValueError(f'{location}: {name} is {text!r}, not a number.') from None


FORMAT = AnnotationFormat(
    'voc', 'a folder of Pascal VOC XML files', ('det',), OBJECTS, read_voc, folder_suffix='.xml'
)  # fmt: skip
