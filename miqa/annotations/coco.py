"""COCO's annotation files, as annotation tools export them: understood, or refused with file, entry and field."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Container, Mapping

from miqa.outside.regular_files import NotText, decoded_text, read_regular

from .coco_shapes import box_of, checked_shape, finite_box, is_number
from .objects import AnnotatedImage, AnnotatedObject, AnnotationError, Annotations

#: Sides in pixels up to which boxes may end within the first pixel.
_SMALLEST = 8
#: How many problems a message spells out; the rest is counted.
_SPELLED_OUT = 3


def read_coco(path: str | os.PathLike, objects: bool = True) -> Annotations:
    r"""Read COCO instance annotations and check every entry.

    Ids may be whole numbers or texts of them. File names may have folders, with ``\`` or ``/``. A box that is
    missing or empty is that of the segmentation; an object whose box has no area is left out and counted. Empty
    polygons are none. An image may lack its width and height. Of categories of one name those count that objects have:
    some programs list the name of a whole set, which no object has, beside the same name of a category.

    Args:
        path: of the file, UTF-8, with or without a byte order mark.
        objects: False where only images and shapes are needed: ``annotations``, ``categories`` and boxes may be missing
            then.

    Raises:
        FileNotFoundError: there is no such file.
        AnnotationError: it is no such file, or entries are wrong: unknown or doubled ids, boxes, shapes or sizes that
            cannot be. The first problems are spelled out, all are counted.
    """
    return parse_coco(read_regular(path, what='file of COCO annotations'), path, objects)


def parse_coco(data: bytes, path: str | os.PathLike, objects: bool = True) -> Annotations:
    """Read COCO instance annotations from the bytes of the file ``path``; see :func:`read_coco`."""
    content = _parsed(data, path)
    for key in ('images', 'annotations', 'categories'):
        if key not in content and (objects or key == 'images'):
            raise AnnotationError(f'{path} is not a COCO instance file: it has no {key!r}.')
        if not isinstance(content.get(key, []), list):
            raise AnnotationError(f'{path} is not a COCO instance file: {key!r} must be a list.')
    problems = _Problems(path)
    images = _images(content['images'], problems)
    entries = content.get('annotations', [])
    used = {_key(entry.get('category_id')) for entry in entries if isinstance(entry, dict)}
    categories = _categories(content['categories'], used, problems) if 'categories' in content else None
    kept, counts = _objects(entries, images, categories, objects, problems)
    problems.report()
    names = {name: number for number, name in (categories or {}).items()}
    return Annotations(
        str(path), images, kept, names, counts['without area'], counts['ignored'], counts['over the border']
    )


def _parsed(data: bytes, path: str | os.PathLike) -> Mapping:
    try:
        content = json.loads(decoded_text(data, str(path)))
    except NotText as error:
        raise AnnotationError(str(error)) from None
    except RecursionError:
        raise AnnotationError(f'{path} is nested too deeply to be COCO annotations.') from None
    except ValueError as error:
        raise AnnotationError(f'{path} is not JSON: {error}') from None
    if not isinstance(content, dict):
        raise AnnotationError(
            f'{path} is not a COCO instance file: it holds a {type(content).__name__}, not an object.'
        )
    return content


class _Problems:
    """What is wrong with a file."""

    def __init__(self, path: str | os.PathLike):
        self.path = path
        self.count = 0
        self.first: list[str] = []

    def add(self, sentence: str) -> None:
        self.count += 1
        if len(self.first) < _SPELLED_OUT:
            self.first.append(sentence)

    def report(self) -> None:
        if self.count:
            more = f' And {self.count - len(self.first)} more of such kinds.' if self.count > len(self.first) else ''
            raise AnnotationError(f'{self.path}: {" ".join(self.first)}{more} Correct the file, then run it again.')


def _key(value: object) -> int | str | None:
    """An id as a number where it is one, also as text or with a point; else as text; None where it is neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, str) and (text := value.strip()):
        return int(text) if re.fullmatch(r'\d{1,18}', text) else text[:200]
    return value if isinstance(value, int) else None


def _images(entries: list, problems: _Problems) -> dict[int | str, AnnotatedImage]:
    images: dict[int | str, AnnotatedImage] = {}
    seen: dict[str, int | str] = {}
    for place, entry in enumerate(entries):
        where = f'Image {place + 1} of the list'
        if not isinstance(entry, dict):
            problems.add(f'{where} must be an object.')
            continue
        key, name = _key(entry.get('id')), entry.get('file_name')
        if key is None:
            problems.add(f'{where}: id must be a whole number, not {_shown(entry.get("id"))}.')
            continue
        if not isinstance(name, str) or not name.strip() or '\0' in name:
            problems.add(f'Image {key}: file_name must be the name of its file, not {_shown(name)}.')
            continue
        name = name.replace('\\', '/')
        width, height = _side(entry.get('width')), _side(entry.get('height'))
        if 0 in (width, height) or (width is None) != (height is None):
            problems.add(
                f'Image {key}: width and height must be whole numbers of pixels, not {_shown(entry.get("width"))} and '
                f'{_shown(entry.get("height"))}.'
            )
            continue
        if key in images:
            problems.add(f'Two images have the id {key}: {images[key].file_name} and {name}.')
            continue
        if name in seen:
            problems.add(f'The images {seen[name]} and {key} have one file_name, {name}.')
            continue
        seen[name] = key
        images[key] = AnnotatedImage(key, name, None if width is None or height is None else (width, height))
    return images


def _side(value: object) -> int | None:
    """A side in pixels; None where it is not given, 0 where it is none."""
    if value is None:
        return None
    number = _key(value)
    return number if isinstance(number, int) and 0 < number < 2**20 else 0


def _categories(entries: list, used: Container, problems: _Problems) -> dict[int, str]:
    categories: dict[int, str] = {}
    numbers: dict[str, list[int]] = {}
    for place, entry in enumerate(entries):
        number = _key(entry.get('id')) if isinstance(entry, dict) else None
        name = entry.get('name') if isinstance(entry, dict) else None
        name = str(name) if type(name) is int else name
        if not isinstance(number, int) or not isinstance(name, str) or not name.strip():
            problems.add(f'Category {place + 1} of the list must have a whole number as id and a name.')
        elif number in categories:
            problems.add(f'Two categories have the id {number}: {categories[number]} and {name}.')
        else:
            categories[number] = name.strip()
            numbers.setdefault(name.strip(), []).append(number)
    for name, same in numbers.items():
        meant = [number for number in same if number in used] or same[:1]
        if len(meant) > 1:
            problems.add(f'Two categories have the name {name}: {meant[0]} and {meant[1]}. Give them one id.')
        for number in set(same) - set(meant):
            del categories[number]
    return categories


def _objects(entries: list, images: dict, categories: Mapping | None, boxes: bool, problems: _Problems):
    objects_of: dict[int | str, list[AnnotatedObject]] = {key: [] for key in images}
    ids: set[int | str] = set()
    counts: Counter[str] = Counter()
    furthest = 0.0
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            problems.add(f'Annotation {place + 1} of the list must be an object.')
            continue
        number = _key(entry.get('id'))
        where = f'Annotation {place + 1} of the list' if number is None else f'Annotation {number}'
        if number is not None:
            if number in ids:
                problems.add(f'Two annotations have the id {number}; each needs its own.')
            ids.add(number)
        image, category = _key(entry.get('image_id')), _key(entry.get('category_id'))
        if image is None or image not in images:
            problems.add(f'{where} belongs to image {_shown(entry.get("image_id"))}, which is not in "images".')
            continue
        if categories is not None and (boxes or category is not None) and category not in categories:
            problems.add(f'{where}: category_id is {_shown(entry.get("category_id"))}, which is not in "categories".')
            continue
        parsed = _object(
            entry, category if isinstance(category, int) else 0, images[image].size, where, boxes, problems
        )
        if parsed is None:
            continue
        if images[image].size is None and isinstance(parsed.segmentation, dict):
            # The size of its pixels is that of the picture.
            height, width = parsed.segmentation['size']
            images[image] = images[image]._replace(size=(width, height))
        left, top, width, height = parsed.box
        if width > 0 and height > 0:
            objects_of[image].append(parsed)
            counts['ignored'] += bool(entry.get('ignore'))
            size = images[image].size
            if size is not None and min(size) > _SMALLEST:
                counts['over the border'] += (
                    min(left, top) < -1 or left + width > size[0] + 1 or top + height > size[1] + 1
                )
                furthest = max(furthest, left + width, top + height)
        else:
            counts['without area'] += 1
    if 0 < furthest <= 1 and boxes:
        problems.add(
            f'No box reaches beyond {furthest:g} pixels: are these shares of the sides? A bbox is given in pixels.'
        )
    return objects_of, counts


def _object(entry: dict, category: int, size, where: str, boxes: bool, problems: _Problems) -> AnnotatedObject | None:
    crowd = entry.get('iscrowd', 0)
    if crowd is None or crowd not in (0, 1):
        problems.add(f'{where}: iscrowd must be 0 or 1, not {_shown(crowd)}.')
        return None
    field = 'bbox'
    try:
        box = finite_box(entry.get('bbox'))
        field = 'segmentation'
        shape = checked_shape(entry.get('segmentation'), size)
        field = 'bbox'
        if box is None:
            if shape is None and not boxes:
                return None
            if shape is None:
                raise ValueError('is missing or empty, and there is no segmentation to take it from')
            box = box_of(shape)
        elif _is_turned(entry):
            if shape is None:
                raise ValueError(
                    'is that of an object that is turned (rotation), of which nobody can know how it is turned: export '
                    'outlines (segmentation), or give boxes along the sides of the picture without rotation'
                )
            box = box_of(shape)
        if size is not None and box[2] > 0 and box[3] > 0:
            left, top, width, height = box
            if left >= size[0] or top >= size[1] or left + width <= 0 or top + height <= 0:
                raise ValueError(f'{list(box)} lies outside the image of {size[0]}x{size[1]} pixels')
    except ValueError as error:
        problems.add(f'{where}: {field} {error}.')
        return None
    return AnnotatedObject(category, box, bool(crowd or entry.get('ignore')), shape)


def _is_turned(entry: dict) -> bool:
    """Return True if an object has an angle, as a field or among its attributes (CVAT), that is not a whole turn."""
    attributes = entry.get('attributes')
    angles = [entry.get(name) for name in ('rotation', 'angle', 'theta')]
    angles.append(attributes.get('rotation') if isinstance(attributes, dict) else None)
    return any(is_number(angle) and angle is not None and angle % 360 for angle in angles)


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f'{text[:60]}...'
