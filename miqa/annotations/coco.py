"""COCO annotation files as annotation tools export them: parsed, or refused with file, entry and field."""

from __future__ import annotations

import json
import os
import re
from array import array
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence

from miqa.outside.json_text import parse_json
from miqa.outside.regular_files import decoded_text, read_regular

from .box_readings import CORNER, CORNERS, other_reading, written_as_corners
from .class_names import plain_name
from .coco_shapes import box_of, checked_shape, finite_box, is_number
from .objects import DELETED, DELETED_IMAGES, AnnotatedImage, AnnotatedObject, AnnotationError, Annotations

_SMALLEST = 8  # Sides in pixels up to which boxes may end within the first pixel
_SPELLED_OUT = 3  # How many problems a message spells out; the rest is counted
_IGNORED = ('ignore', 'difficult', 'is_crowd')  # Fields, or attributes as CVAT's own XML has them
_DELETED = ('deleted', 'outside')  # Likewise, of coco-annotator and of CVAT's tracks
_OVERLAP = 0.5  # Share of the area that a box and its outlines must have in common at least


def read_coco(path: str | os.PathLike, objects: bool = True) -> Annotations:
    r"""Read COCO instance annotations and check every entry.

    Ids may be whole numbers or texts of them. File names may have folders, with ``\`` or ``/``. A box that is
    missing or empty is that of the segmentation; an object whose box has no area, or that is there twice, is skipped
    and counted. Empty polygons are ignored. An image may lack its width and height. Of categories of one name only
    those with objects count: some programs list the name of a whole set beside the same name of a category.

    Args:
        path: of the file, UTF-8, with or without a byte order mark.
        objects: False where only images and shapes are needed: ``annotations``, ``categories`` and boxes may be missing
            then.

    Raises:
        FileNotFoundError: there is no such file.
        AnnotationError: it is not a COCO file, or entries are wrong: unknown or doubled ids, impossible boxes, shapes
            or sizes, boxes written in another way, predictions. The first problems are spelled out, all are counted.
    """
    return parse_coco(read_regular(path, kind='file of COCO annotations'), path, objects)


def parse_coco(data: bytes, path: str | os.PathLike, objects: bool = True) -> Annotations:
    """Read COCO instance annotations from the bytes of the file ``path``; see :func:`read_coco`."""
    content = _parsed(data, path)
    for key in ('images', 'annotations', 'categories'):
        if key not in content and (objects or key == 'images'):
            raise AnnotationError(f'{path} is not a COCO instance file: it has no {key!r}.')
        if not isinstance(content.get(key, []), list):
            raise AnnotationError(f'{path} is not a COCO instance file: {key!r} must be a list.')
    problems = _Problems(path)
    images, removed = _images(content['images'], problems)
    entries = content.get('annotations', [])
    used = {_key(entry.get('category_id')) for entry in entries if isinstance(entry, dict)}
    categories = _categories(content['categories'], used, problems) if 'categories' in content else None
    remaining, counts = _objects(entries, images, removed, categories, objects, problems)
    remarks = {**counts, **({DELETED_IMAGES: len(removed)} if removed else {})}
    problems.report()
    names = {name: number for number, name in (categories or {}).items()}
    return Annotations(str(path), images, remaining, names, remarks)


def _parsed(data: bytes, path: str | os.PathLike) -> Mapping:
    try:
        content = parse_json(decoded_text(data, str(path)), str(path), finite=False)
    except ValueError as error:
        raise AnnotationError(str(error)) from None
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


def _images(entries: list, problems: _Problems) -> tuple[dict[int | str, AnnotatedImage], set[int | str | None]]:
    """Return the images by their ids, and the ids of those marked as deleted."""
    images: dict[int | str, AnnotatedImage] = {}
    removed: set[int | str | None] = set()
    first_of: dict[str, int | str] = {}
    for place, entry in enumerate(entries):
        location = f'Image {place + 1} of the list'
        if not isinstance(entry, dict):
            problems.add(f'{location} must be an object.')
            continue
        if _is_marked(entry, _DELETED):
            removed.add(_key(entry.get('id')))
            continue
        key, name = _key(entry.get('id')), entry.get('file_name')
        if key is None:
            problems.add(f'{location}: id must be a whole number, not {_shown(entry.get("id"))}.')
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
        if name in first_of:
            problems.add(f'The images {first_of[name]} and {key} have one file_name, {name}.')
            continue
        first_of[name] = key
        images[key] = AnnotatedImage(key, name, None if width is None or height is None else (width, height))
    return images, removed


def _side(value: object) -> int | None:
    """A side in pixels; None where it is not given, 0 where it is not a size."""
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
            numbers.setdefault(plain_name(name), []).append(number)
    for same in numbers.values():
        candidates = [number for number in same if number in used] or same[:1]
        if len(candidates) > 1:
            first, second = candidates[:2]
            problems.add(
                f'Two categories have names that differ only in case, spaces or dashes: {first} '
                f'{categories[first]!r} and {second} {categories[second]!r}. Write them alike, with one id.'
            )
        for number in set(same) - set(candidates):
            del categories[number]
    return categories


def _objects(
    entries: list, images: dict, removed: Container, categories: Mapping | None, boxes: bool, problems: _Problems
) -> tuple[dict[int | str, list[AnnotatedObject]], Mapping[str, int]]:
    objects_of: dict[int | str, list[AnnotatedObject]] = {key: [] for key in images}
    ids: set[int | str] = set()
    marked = _MarkedBoxes()
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            problems.add(f'Annotation {place + 1} of the list must be an object.')
            continue
        number = _key(entry.get('id'))
        location = f'Annotation {place + 1} of the list' if number is None else f'Annotation {number}'
        if number is not None:
            if number in ids:
                problems.add(f'Two annotations have the id {number}; each needs its own.')
            ids.add(number)
        image, category = _key(entry.get('image_id')), _key(entry.get('category_id'))
        if _is_marked(entry, _DELETED) or image in removed:
            marked.counts[DELETED] += 1
            continue
        if image is None or image not in images:
            problems.add(f'{location} belongs to image {_shown(entry.get("image_id"))}, which is not in "images".')
            continue
        if categories is not None and (boxes or category is not None) and category not in categories:
            problems.add(
                f'{location}: category_id is {_shown(entry.get("category_id"))}, which is not in "categories".'
            )
            continue
        parsed = _object(
            entry, category if isinstance(category, int) else 0, images[image].size, location, boxes, problems
        )
        if parsed is None:
            continue
        if images[image].size is None and isinstance(parsed.segmentation, dict):
            # The size of its pixels is that of the picture.
            height, width = parsed.segmentation['size']
            images[image] = images[image]._replace(size=(width, height))
        if marked.add(entry, parsed, images[image]):
            objects_of[image].append(parsed)
    if boxes:
        for problem in marked.problems():
            problems.add(problem)
    return objects_of, marked.counts


class _MarkedBoxes:
    """What is to be known of all boxes of a file together."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._outlined = 0
        self._apart = 0
        self._furthest = 0.0
        self._boxes: list[tuple] = []
        self._sizes: list[tuple[int, int]] = []
        self._areas: list[float | None] = []
        self._known: set[tuple] = set()

    def add(self, entry: dict, instance: AnnotatedObject, image: AnnotatedImage) -> bool:
        """Count an object; return False where it is not one more object."""
        left, top, width, height = instance.box
        if not (width > 0 and height > 0):
            self.counts['{} object{s} {have} a box without area and {are} skipped'] += 1
            return False
        before = len(self._known)
        self._known.add((image.key, instance.category, instance.box, instance.crowd, _hashable(instance.segmentation)))
        if len(self._known) == before:
            self.counts['{} object{s} {are} there twice and {count} once'] += 1
            return False
        if _is_ignored(entry):
            self.counts['{} object{s} {are} marked "ignore": {they} {count} neither for nor against'] += 1
        if entry.get('bbox') and instance.segmentation is not None and not _is_turned(entry):
            self._outlined += 1
            # Readers cut boxes at the border of the picture, and leave outlines whole.
            both = (_cut(box, image.size) for box in (instance.box, box_of(instance.segmentation)))
            self._apart += _overlap(*both) < _OVERLAP
        if image.size is None or min(image.size) > _SMALLEST:
            self._furthest = max(self._furthest, left + width, top + height)
        if image.size is not None and min(image.size) > _SMALLEST:
            if min(left, top) < -1 or left + width > image.size[0] + 1 or top + height > image.size[1] + 1:
                self.counts[
                    f'{{}} box{{es}} {{reach}} over the border of a picture by more than a pixel (a bbox is {CORNER})'
                ] += 1
            self._boxes.append(instance.box)
            self._sizes.append(image.size)
            area = entry.get('area')
            self._areas.append(area if is_number(area) else None)
        return True

    def problems(self) -> Iterator[str]:
        """Yield a sentence for what boxes cannot be, taken together."""
        if 0 < self._furthest <= 1:
            yield (
                f'No box reaches beyond {self._furthest:g} pixels: are these shares of the sides? Boxes are given in '
                'pixels.'
            )
        other = other_reading(self._boxes, self._sizes, CORNER)
        areas = [area for area in self._areas if area is not None]
        if other is None and len(areas) == len(self._boxes) and written_as_corners(self._boxes, areas):
            other = CORNERS
        if other is not None:
            yield f'The boxes do not fit as {CORNER}, which a bbox is, and all of them fit as {other}: convert them.'
        elif 2 * self._apart > self._outlined:
            yield (
                f'{self._apart} of {self._outlined} boxes are elsewhere than their outlines (segmentation). A bbox is '
                f'{CORNER} of the object, in pixels.'
            )
        elif self._apart:
            self.counts['{} box{es} {are} elsewhere than the outlines of the object'] += self._apart


def _hashable(shape: list[list[float]] | dict | None) -> bytes | tuple[bytes, ...] | None:
    if isinstance(shape, dict):
        return shape['counts'] if isinstance(shape['counts'], bytes) else array('q', shape['counts']).tobytes()
    return None if shape is None else tuple(array('d', polygon).tobytes() for polygon in shape)


def _cut(box: tuple, size: tuple[int, int] | None) -> tuple:
    """Return the part of a box (left, top, width, height) that lies in a picture of this size."""
    if size is None:
        return box
    left, top, right, bottom = (min(max(box[i] + (box[i - 2] if i > 1 else 0), 0), size[i % 2]) for i in range(4))
    return left, top, right - left, bottom - top


def _overlap(one: tuple, other: tuple) -> float:
    """Return intersection over union of two boxes: left, top, width, height."""
    width, height = (min(one[i] + one[i + 2], other[i] + other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    common = max(width, 0.0) * max(height, 0.0)
    return common / max(one[2] * one[3] + other[2] * other[3] - common, 1e-9)


def _object(
    entry: dict, category: int, size, location: str, boxes: bool, problems: _Problems
) -> AnnotatedObject | None:
    crowd = entry.get('iscrowd', 0)
    if crowd is None or crowd not in (0, 1):
        problems.add(f'{location}: iscrowd must be 0 or 1, not {_shown(crowd)}.')
        return None
    if (ignored := entry.get('ignore') or 0) not in (0, 1):
        problems.add(f'{location}: ignore must be 0 or 1, not {_shown(ignored)}.')
        return None
    if boxes and entry.get('score', 1) not in (1, None):
        problems.add(f'{location} has the score {_shown(entry["score"])}: is it a prediction? Annotations have none.')
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
                    'belongs to a rotated object, whose direction of rotation is undefined: export outlines, or boxes '
                    'without rotation'
                )
            box = box_of(shape)
        if size is not None and box[2] > 0 and box[3] > 0:
            left, top, width, height = box
            if left >= size[0] or top >= size[1] or left + width <= 0 or top + height <= 0:
                raise ValueError(f'{list(box)} lies outside the image of {size[0]}x{size[1]} pixels')
    except ValueError as error:
        problems.add(f'{location}: {field} {error}.')
        return None
    return AnnotatedObject(category, box, bool(crowd) or _is_ignored(entry), shape)


def _is_ignored(entry: dict) -> bool:
    """Return True if an object counts neither for nor against: by a field, or an attribute (CVAT, Datumaro)."""
    attributes = entry.get('attributes')
    return _is_marked(entry, _IGNORED) or (isinstance(attributes, dict) and _is_marked(attributes, ('iscrowd',)))


def _is_marked(entry: dict, names: Sequence[str]) -> bool:
    """Return True if one of these fields or attributes is true, in any writing."""
    attributes = entry.get('attributes')
    places = (entry, attributes) if isinstance(attributes, dict) else (entry,)
    return any(str(place.get(name)).lower() in ('1', '1.0', 'true', 'yes') for place in places for name in names)


def _is_turned(entry: dict) -> bool:
    """Return True if an object has an angle, as a field or among its attributes (CVAT), that is not a whole turn."""
    attributes = entry.get('attributes')
    angles = [entry.get(name) for name in ('rotation', 'angle', 'theta')]
    angles.append(attributes.get('rotation') if isinstance(attributes, dict) else None)
    return any(is_number(angle) and angle is not None and angle % 360 for angle in angles)


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f'{text[:60]}...'
