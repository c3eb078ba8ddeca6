"""YOLO's text files: one for each picture, a line for each object, in shares of the picture's sides.

``class x_centre y_centre width height``, or ``class x1 y1 x2 y2 x3 y3 ...`` for the outline of an object, or a box and
what else the ``kpt_shape`` of ``data.yaml`` says, points that are not looked at (as described at
https://docs.ultralytics.com/datasets/detect/, .../segment/ and .../pose/).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml

from miqa.annotations.class_names import checked_names, read_class_names
from miqa.outside.regular_files import read_regular_text
from miqa.outside.walking import Walker, raise_problem

from .coco_writing import LabelledBox, Picture, inside

#: Files in a folder of labels that hold no labels.
_NAMES = ('classes.txt', 'obj.names', 'labels.txt')

_MOST_BYTES = 64 << 20


def read_yolo(
    path: Path, pictures: Sequence[Picture], classes: Sequence[str] | None = None
) -> tuple[dict[str, list[LabelledBox]], list[str]]:
    """Read the text files below a folder that belong to ``pictures``, by their stems.

    Args:
        path: the folder; or ``data.yaml``, which names the classes and lies above one or more folders ``labels``.
        pictures: a picture without a file has no objects.
        classes: names of the classes, in YOLO's order; None: those of ``data.yaml`` or ``classes.txt``.

    Returns:
        Name of a picture -> its objects, and the names of all classes.

    Raises:
        FileNotFoundError: there is no folder of labels, or nothing names the classes.
        ValueError: a line is not of that form, or two files belong to one picture. The file and line are named.
    """
    folders = [path] if path.is_dir() else _labels_below(path)
    description = path if path.is_file() else _description(folders[0])
    names = list(classes) if classes else _names(path, folders[0])
    points = None if description is None else _points_in_yaml(description)
    stems = [picture.stem for picture in pictures]
    counts = Counter(stems)
    files: dict[str, Path] = {}
    walker = Walker(raise_problem)
    for file in sorted(Path(file) for folder in folders for file in walker.below(str(folder), ('.txt',))):
        if file.name in _NAMES or not walker.is_new(str(file)):
            continue
        if file.stem in files and file.stem in counts:
            raise ValueError(f'{files[file.stem]} and {file} are both labels of a picture {file.stem}. Remove one.')
        files[file.stem] = file
    if shared := [picture.name for picture in pictures if counts[picture.stem] > 1 and picture.stem in files]:
        raise ValueError(f'{shared[0]} and {shared[1]} would both be annotated by one file; rename one.')
    if not set(stems) & set(files):
        raise ValueError(
            f'None of the {len(files)} text files in {folders[0]} belongs to one of the {len(pictures)} pictures: a '
            f"file must have its picture's name, such as {stems[0]}.txt."
        )
    found = {}
    for picture in pictures:
        if picture.stem in files:
            found[picture.name] = _read(files[picture.stem], picture, names, points)
    return found, names


def _read(path: Path, picture: Picture, names: list[str], points: int | None) -> list[LabelledBox]:
    things = []
    for number, line in enumerate(read_regular_text(path, _MOST_BYTES, encoding='utf-8-sig').splitlines(), 1):
        if line.strip():
            thing = _object(line.split(), picture, names, points, f'{path}, line {number}')
            if thing is not None:
                things.append(thing)
    return things


def _object(words: list[str], picture: Picture, names: list[str], points: int | None, where: str) -> LabelledBox | None:
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise ValueError(f'{where}: {" ".join(words)[:60]!r} is not a list of numbers.') from None
    index, shares = values[0], values[1:]
    if not all(map(math.isfinite, values)):
        raise ValueError(f'{where}: {" ".join(words)[:60]!r} holds what is no finite number.')
    if index != int(index) or not 0 <= index < len(names):
        raise ValueError(f'{where}: the class is {words[0]}; there are {len(names)} classes, from 0.')
    if points is not None and len(shares) == 4 + points:
        shares = shares[:4]
    if len(shares) != 4 and (len(shares) < 6 or len(shares) % 2):
        raise ValueError(
            f'{where}: there are {len(shares)} values after the class. A box has 4, an outline an even number from 6; '
            f'a line that ends in a confidence is a prediction, not an annotation; for the points of a pose '
            'kpt_shape in data.yaml must say how many there are.'
        )
    if min(shares) < -0.01 or max(shares) > 1.01:
        wrong = max(shares, key=lambda share: abs(share - 0.5))
        raise ValueError(f'{where}: {wrong:g} is no share of the picture, which lies in 0 to 1.')
    width, height = picture.size
    if len(shares) == 4:
        x, y, w, h = shares[0] * width, shares[1] * height, shares[2] * width, shares[3] * height
        corners, polygons = (x - w / 2, y - h / 2, x + w / 2, y + h / 2), None
    else:
        xs, ys = [value * width for value in shares[::2]], [value * height for value in shares[1::2]]
        corners = (min(xs), min(ys), max(xs), max(ys))
        polygons = [[value for point in zip(xs, ys, strict=True) for value in point]]
    # The middle lies in the picture; an object that the border cuts may be given whole, as Ultralytics takes it.
    box = inside(corners, picture.size, where, slack=max(width, height))
    return LabelledBox(names[int(index)], box, polygons) if box else None


def _labels_below(description: Path) -> list[Path]:
    """Return the folder ``labels`` beside ``data.yaml``, or those of its parts, such as ``train/labels``."""
    beside = description.parent / 'labels'
    root = _content(description).get('path')
    places = [description.parent, *([description.parent / root, Path(root)] if isinstance(root, str) and root else [])]
    for place in places:
        if (place / 'labels').is_dir():
            return [place / 'labels']
        if found := sorted(path for path in place.glob('*/labels') if path.is_dir()):
            return found
    raise FileNotFoundError(
        f'There is no folder {beside} beside {description}, nor one below (train/labels), nor where its "path" leads. '
        'Name the folder of labels itself, and the classes: --classes NAME NAME ...'
    )


def _description(folder: Path) -> Path | None:
    """Return the YAML file nearest to a folder of labels: in it, or one or two above it."""
    places = (folder, folder.parent, folder.parent.parent)
    return next((file for place in places for file in sorted([*place.glob('*.yaml'), *place.glob('*.yml')])), None)


def _names(path: Path, folder: Path) -> list[str]:
    if path.is_file():
        return _names_in_yaml(path)
    for place in (folder, folder.parent, folder.parent.parent):
        for name in _NAMES:
            if (place / name).is_file():
                return read_class_names(place / name)
        for file in sorted([*place.glob('*.yaml'), *place.glob('*.yml')]):
            return _names_in_yaml(file)
    raise FileNotFoundError(
        f'Nothing names the classes of the YOLO files in {folder}: put classes.txt there (one name a line), name '
        f'data.yaml in place of the folder, or say --classes NAME NAME ...'
    )


def _content(description: Path) -> dict:
    """Return what a YAML file says; an empty dict where it says something else."""
    try:
        content = yaml.safe_load(read_regular_text(description, _MOST_BYTES))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f'{description} is not YAML: {" ".join(str(error).split())[:300]}') from None
    return content if isinstance(content, dict) else {}


def _points_in_yaml(description: Path) -> int | None:
    """Return how many numbers follow each box for the points of a pose; None where there are no poses."""
    try:
        shape = _content(description).get('kpt_shape')
    except ValueError:  # a file of other programs that lies near
        return None
    if not isinstance(shape, list) or len(shape) != 2 or not all(type(side) is int and side > 0 for side in shape):
        return None
    return shape[0] * shape[1]


def _names_in_yaml(path: Path) -> list[str]:
    names = _content(path).get('names')
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names:
        raise ValueError(f'{path} must have "names": a list of the classes, or a dict that counts them from 0.')
    return checked_names([str(name) for name in names], path)
