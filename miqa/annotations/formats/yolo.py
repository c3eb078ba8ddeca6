"""YOLO's text files: one per picture, one line per object, in fractions of the picture's sides.

``class x_centre y_centre width height``, or ``class x1 y1 x2 y2 x3 y3 ...`` for the outline of an object (a turned box
has four corners), or a box and what else the ``kpt_shape`` of ``data.yaml`` says, points that are not looked at (as
described at https://docs.ultralytics.com/datasets/detect/, .../segment/, .../obb/ and .../pose/).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import yaml

from miqa.annotations.box_readings import MIDDLE, other_reading
from miqa.annotations.class_names import checked_names, read_class_names
from miqa.outside.regular_files import NotText, read_regular_text
from miqa.outside.tables import number_of

from .coco_writing import LabelledBox, Picture, inside
from .files import files_of_pictures
from .format import OBJECTS, AnnotationFormat, ReadObjects, Remarks, Request

_NAMES = ('classes.txt', 'obj.names', 'labels.txt')  # Files in a folder of labels that hold no labels

_MOST_BYTES = 64 << 20


def read_yolo(request: Request) -> ReadObjects:
    """Read the text files that belong to the pictures, by their stems; a picture without a file has no objects.

    The path is the folder of labels; or ``data.yaml``, which names the classes and lies above one or more folders
    ``labels``. Without names from the user, those of ``data.yaml`` or ``classes.txt`` count, which may lie in the
    folder or one or two above it.

    Raises:
        FileNotFoundError: there is no folder of labels, or nothing names the classes.
        ValueError: a line is not of that form, two files belong to one picture, several files name the classes in
            different ways, or the boxes are written in another way. The file and line are named.
    """
    path, pictures = request.path, request.pictures
    folders = [path] if path.is_dir() else _labels_below(path)
    names, points = _names_and_points(path, folders[0], request.classes)
    read = ReadObjects({}, names, in_shares=True)
    files = files_of_pictures(folders, '.txt', pictures, read.remarks, _NAMES)
    boxes: list[list[float]] = []
    poses = _Poses(points)
    for picture in pictures:
        if picture.name in files:
            read.objects[picture.name] = _read(files[picture.name], picture, names, read.remarks, boxes, poses)
    poses.check(folders[0])
    if other := other_reading(boxes, [(1, 1)] * len(boxes), MIDDLE, slack=0.01):
        raise ValueError(
            f'The boxes in {folders[0]} do not fit their pictures as {MIDDLE}, but all do as {other}: convert them to '
            "YOLO's."
        )
    return read


class _Poses:
    """Tells poses from outlines, which both are numbers after a class.

    Args:
        numbers: how many follow each box, by kpt_shape; None where nothing says that there are poses.
    """

    def __init__(self, numbers: int | None):
        self.numbers = numbers
        self._shapes: set[tuple[int, int] | None] = set()
        self._crossing = False
        self._tracked: list[bool] = []  # of each line: may it be a tracker's prediction?

    def add(self, shares: list[float], location: str) -> None:
        """Check a line that is not a box alone.

        Raises:
            ValueError: it can only be a pose.
        """
        # Ultralytics' trackers write box, confidence and number of the track: of one object everywhere 1.
        self._tracked.append(len(shares) == 6 and shares[5] in (0, 1) and _pose_in(shares[:4]) is not None)
        if self.numbers is not None or None in self._shapes or len(self._shapes) > 1:
            return
        shape = _pose_in(shares)
        if shape and (len(shares) % 2 or max(shares) > 1.01):
            raise ValueError(f'{location} is a pose. {_pose_advice(shape)}')
        self._shapes.add(shape)
        self._crossing = self._crossing or (shape is not None and _crosses(shares))

    def check(self, folder: Path) -> None:
        """Raise a ValueError where all lines can be poses, and not all of them outlines; or all predictions."""
        if self._tracked and all(self._tracked):
            raise ValueError(
                f'The labels in {folder} look like predictions of a tracker, which end in a confidence and the number '
                'of a track: an outline of three corners hardly ends in 0 or 1 everywhere. Leave these two columns out.'
            )
        if self._crossing and len(self._shapes) == 1 and (shape := self._shapes.pop()):
            raise ValueError(f'The labels in {folder} look like poses. {_pose_advice(shape)}')


def _pose_advice(shape: tuple[int, int]) -> str:
    return (
        f'After each box there are {shape[0]} points of {shape[1]} values: write kpt_shape: [{shape[0]}, {shape[1]}] '
        'into data.yaml, beside the names of the classes. The boxes are read then, the points are not.'
    )


def _pose_in(shares: list[float]) -> tuple[int, int] | None:
    """Return kpt_shape if a line can be a box in its picture, and at most 500 points in it, perhaps with visibility."""
    x, y, width, height, *rest = shares
    inside_picture = max(width / 2 - min(x, 1 - x), height / 2 - min(y, 1 - y)) <= 0.01
    for size in (3, 2):
        points = [rest[start : start + size] for start in range(0, min(len(rest), 1500), size)]
        if inside_picture and len(rest) == size * len(points) and all(
            (not any(point[:2]) or (abs(point[0] - x) <= 0.6 * width and abs(point[1] - y) <= 0.6 * height))
            and point[2:] in ([], [0], [1], [2])
            for point in points
        ):  # fmt: skip
            return len(points), size
    return None


def _crosses(shares: list[float]) -> bool:
    """Return True if two sides of a polygon cross."""
    corners = list(zip(shares[::2], shares[1::2], strict=True))
    sides = list(zip(corners, corners[1:] + corners[:1], strict=True))

    def turn(side: tuple, corner: tuple) -> float:
        (x, y), (x2, y2) = side
        return (x2 - x) * (corner[1] - y) - (y2 - y) * (corner[0] - x)

    return any(
        turn(one, other[0]) * turn(one, other[1]) < 0 and turn(other, one[0]) * turn(other, one[1]) < 0
        for one, other in itertools.combinations(sides, 2)
    )


def _read(
    path: Path, picture: Picture, names: list[str], remarks: Remarks, boxes: list[list[float]], poses: _Poses
) -> list[LabelledBox]:
    instances = []
    for number, line in enumerate(read_regular_text(path, _MOST_BYTES).splitlines(), 1):
        words, location = line.split(), f'{path}, line {number}'
        if not words:
            continue
        instance = _object(words, picture, names, location, boxes, poses)
        if instance is None:
            remarks.add('{} object{s} {have} no area and {are} skipped', location)
        else:
            instances.append(instance)
    return instances


def _object(
    words: list[str], picture: Picture, names: list[str], location: str, boxes: list[list[float]], poses: _Poses
) -> LabelledBox | None:
    """Return the object of a line, None where it has no area; ``boxes`` collects the numbers of boxes."""
    try:
        values = [number_of(word) for word in words]
    except ValueError:
        raise ValueError(f'{location}: {" ".join(words)[:60]!r} is not a list of numbers.') from None
    index, shares = values[0], values[1:]
    if not all(map(math.isfinite, values)):
        raise ValueError(f'{location}: {" ".join(words)[:60]!r} holds something other than finite numbers.')
    if index != int(index) or not 0 <= index < len(names):
        raise ValueError(f'{location}: the class is {words[0]}; there are {len(names)} classes, from 0.')
    if poses.numbers is not None and len(shares) == 4 + poses.numbers:
        shares = shares[:4]
    if len(shares) > 4:
        poses.add(shares, location)
    if len(shares) != 4 and (len(shares) < 6 or len(shares) % 2):
        raise ValueError(
            f'{location} has {len(shares)} values after the class: a box has 4, an outline an even number from 6; '
            'predictions end in a confidence, and poses need kpt_shape in data.yaml.'
        )
    if min(shares) < -0.01 or max(shares) > 1.01:
        wrong = max(shares, key=lambda share: abs(share - 0.5))
        raise ValueError(f'{location}: {wrong:g} is not a share of the picture, from 0 to 1.')
    width, height = picture.size
    if len(shares) == 4:
        boxes.append(shares)
        x, y, w, h = shares[0] * width, shares[1] * height, shares[2] * width, shares[3] * height
        corners, polygons = (x - w / 2, y - h / 2, x + w / 2, y + h / 2), None
    else:
        xs, ys = [value * width for value in shares[::2]], [value * height for value in shares[1::2]]
        corners = (min(xs), min(ys), max(xs), max(ys))
        polygons = [[value for point in zip(xs, ys, strict=True) for value in point]]
    # The middle lies in the picture; an object that the border cuts may be given whole, as Ultralytics takes it.
    box = inside(corners, picture.size, location, slack=max(width, height))
    return LabelledBox(names[int(index)], box, polygons) if box else None


def _labels_below(description: Path) -> list[Path]:
    """Return the folder ``labels`` beside ``data.yaml``, or those of its parts, such as ``train/labels``."""
    beside = description.parent / 'labels'
    root = _content(description).get('path')
    places = [description.parent, *([description.parent / root, Path(root)] if isinstance(root, str) and root else [])]
    for place in places:
        if (place / 'labels').is_dir():
            return [place / 'labels']
        if label_folders := sorted(path for path in place.glob('*/labels') if path.is_dir()):
            return label_folders
    if any(description.parent.glob('*.txt')):
        return [description.parent]
    raise FileNotFoundError(
        f'There is no folder {beside} beside {description}, nor train/labels below it, nor its "path". Name the folder '
        'of labels itself, and the classes: --classes NAME NAME ...'
    )


def _names_and_points(path: Path, folder: Path, classes: Sequence[str] | None) -> tuple[list[str], int | None]:
    """Return the names of the classes, and how many numbers follow each box for the points of a pose, if any do.

    Raises:
        FileNotFoundError: nothing names the classes.
        ValueError: files that lie equally near differ in either.
    """
    if path.is_file():
        content = _content(path)
        return list(classes) if classes else _names_in(content, path), _points_in(content, path)
    for place in (folder, folder.parent, folder.parent.parent):
        lists = [place / name for name in _NAMES if (place / name).is_file()]
        contents, damaged = _descriptions(place)
        if not lists and not contents and not damaged:
            continue
        if damaged and not lists and not contents and not classes:
            raise damaged[0]
        points = {file: _points_in(content, file) for file, content in contents.items()}
        poses = {number for number in points.values() if number is not None}
        if len(poses) > 1:
            raise ValueError(f'{" and ".join(map(str, contents))} differ in kpt_shape. {_CHOOSE}')
        if classes is None and not lists and not contents:
            continue
        return list(classes) if classes else _agreed(lists, contents), next(iter(poses), None)
    if classes:
        return list(classes), None
    raise FileNotFoundError(
        f'Nothing names the classes of the YOLO files in {folder}: add classes.txt (one name a line), or name '
        'data.yaml instead, or say --classes NAME ...'
    )


_CHOOSE = 'Name the YAML file that is meant in place of the folder, or say --classes NAME NAME ...'


def _descriptions(place: Path) -> tuple[dict[Path, dict], list[ValueError]]:
    """Return the YAML files in a folder that name classes, and what is wrong with those that are not YAML."""
    contents, damaged = {}, []
    for file in sorted([*place.glob('*.yaml'), *place.glob('*.yml')]):
        try:
            content = _content(file)
        except ValueError as error:  # perhaps a file of other programs that lies near
            damaged.append(error)
            continue
        if 'names' in content:
            contents[file] = content
    return contents, damaged


def _agreed(lists: list[Path], contents: dict[Path, dict]) -> list[str]:
    """Return the names that all files give."""
    named = {file: read_class_names(file) for file in lists}
    named.update({file: _names_in(content, file) for file, content in contents.items()})
    files = list(named)
    for file in files[1:]:
        if named[file] != named[files[0]]:
            listed = '; '.join(
                f'{each} ({", ".join(named[each][:3])}{", ..." * (len(named[each]) > 3)})' for each in files
            )
            raise ValueError(f'Several files name the classes of these labels, and they differ: {listed}. {_CHOOSE}')
    return named[files[0]]


class _TextLoader(yaml.BaseLoader):
    """Reads all values as text: the names ``no``, ``010`` and ``1.10`` stay what they are."""

    def construct_mapping(self, node, deep=False):
        """Return a dict; a key that stands twice is an error."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise yaml.constructor.ConstructorError(None, None, f'{twice[0]!r} stands twice', node.start_mark)
        return super().construct_mapping(node, deep)


def _content(description: Path) -> dict:
    """Return what a YAML file says, all values as texts; an empty dict where it says something else."""
    try:
        content = yaml.load(read_regular_text(description, _MOST_BYTES), _TextLoader)  # noqa: S506  texts alone
    except (yaml.YAMLError, NotText, RecursionError) as error:
        raise ValueError(f'{description} is not YAML: {" ".join(str(error).split())[:300]}') from None
    return content if isinstance(content, dict) else {}


def _points_in(content: dict, path: Path) -> int | None:
    """Return how many numbers follow each box for the points of a pose; None where there are no poses."""
    shape = content.get('kpt_shape')
    if shape is None or shape in ('', 'null', '~'):
        return None
    if not isinstance(shape, list) or len(shape) != 2 or not all(_is_count(side) for side in shape):
        raise ValueError(f'{path}: kpt_shape must be two whole numbers, not {str(shape)[:60]!r}.')
    return int(shape[0]) * int(shape[1])


def _is_count(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.isdigit() and 0 < int(text[:9]) < 10_000


def _names_in(content: dict, path: Path) -> list[str]:
    names = content.get('names')
    if isinstance(names, dict) and set(names) == set(map(str, range(len(names)))):
        names = [names[str(i)] for i in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(f'{path} must have "names": a list of the classes, or a dict that counts them from 0.')
    count = content.get('nc')
    if isinstance(count, str) and count.strip() not in ('', str(len(names))):
        raise ValueError(f'{path} says that there are {count[:20]} classes ("nc"), and names {len(names)}.')
    return checked_names([name.strip() for name in names], path)


FORMAT = AnnotationFormat(
    'yolo', 'a folder of YOLO text files, or the data.yaml that names their classes', ('det', 'ins'), OBJECTS,
    read_yolo, file_suffixes=('.yaml', '.yml'), folder_suffix='.txt', takes_names=True,
)  # fmt: skip
