"""Write the objects of any reader as the COCO file of a database."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from miqa.layout import coco_source


@dataclass(frozen=True)
class Picture:
    """A picture that is annotated.

    Attributes:
        path: its file.
        name: how the folder of pictures calls it: its path below the folder, with forward slashes.
        size: width and height in pixels, as it is shown.
        stored: width and height as the file stores it; None for the same.
        orientation: of its EXIF data, 1 to 8.
    """

    path: Path
    name: str
    size: tuple[int, int]
    stored: tuple[int, int] | None = None
    orientation: int = 1

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        return Path(self.name).stem


@dataclass(frozen=True)
class LabelledBox:
    """An object in a picture, in pixels.

    Attributes:
        category: name of its class.
        box: left, top, right, bottom.
        polygons: its outlines, each x1, y1, x2, y2, ...; or None.
        crowd: it counts neither for nor against.
        mask: COCO's run-length encoding of it in the whole picture, instead of outlines.
    """

    category: str
    box: tuple[float, float, float, float]
    polygons: list[list[float]] | None = None
    crowd: bool = False
    mask: dict | None = None


def number_pictures(names: Sequence[str], earlier: Mapping[str, int] | None = None) -> dict[str, int]:
    """Give each picture the number by which a detection database calls it.

    A number that a picture had before stays; a file that is named as a number has that number; the others are counted
    on from the highest.
    """
    numbers = {name: earlier[name] for name in names if earlier and name in earlier}
    taken = {*(earlier or {}).values(), *numbers.values()}
    unnumbered = []
    for name in sorted(set(names) - set(numbers)):
        stem = Path(name).stem
        if stem.isascii() and stem.isdigit() and len(stem) <= 12 and int(stem) not in taken:
            numbers[name] = int(stem)
            taken.add(int(stem))
        else:
            unnumbered.append(name)
    following = max(taken, default=0)
    for name in unnumbered:
        following += 1
        numbers[name] = following
    return numbers


def coco_content(
    pictures: Sequence[Picture],
    objects: Mapping[str, Sequence[LabelledBox]],
    classes: Sequence[str],
    numbers: Mapping[str, int],
) -> dict:
    """Return COCO's annotations of pictures.

    Args:
        pictures: all of them, those without objects too.
        objects: name of a picture -> its objects, inside the picture.
        classes: names of all categories; their ids count from 1.
        numbers: name of a picture -> its number, which is the name of its file in the annotations, too.
    """
    ids = {name: position for position, name in enumerate(classes, 1)}
    annotations: list[dict] = []
    for picture in pictures:
        for instance in objects.get(picture.name, ()):
            left, top, right, bottom = instance.box
            entry = {
                'id': len(annotations) + 1,
                'image_id': numbers[picture.name],
                'category_id': ids[instance.category],
                'bbox': [round(value, 3) for value in (left, top, right - left, bottom - top)],
                'area': round((right - left) * (bottom - top), 3),
                'iscrowd': int(instance.crowd),
            }
            if instance.polygons:
                entry['segmentation'] = [[round(value, 3) for value in polygon] for polygon in instance.polygons]
            elif instance.mask:
                entry['segmentation'] = instance.mask
            annotations.append(entry)
    images = [
        {
            'id': numbers[picture.name],
            'file_name': f'{coco_source(numbers[picture.name])}{picture.path.suffix}',
            'width': picture.size[0],
            'height': picture.size[1],
            'original': picture.name,
        }
        for picture in pictures
    ]
    categories = [{'id': number, 'name': name} for name, number in ids.items()]
    return {'images': images, 'annotations': annotations, 'categories': categories}


def outlined(
    category: str, polygons: list[list[float]], size: tuple[int, int], location: str, slack: float = 1.0
) -> LabelledBox | None:
    """Return an object of its outlines, each x1, y1, x2, y2, ...; None where it has no area. See :func:`inside`."""
    xs = [value for polygon in polygons for value in polygon[::2]]
    ys = [value for polygon in polygons for value in polygon[1::2]]
    box = inside((min(xs), min(ys), max(xs), max(ys)), size, location, slack)
    return LabelledBox(category, box, polygons) if box else None


_CORNERS = 64  # Corners of what stands for an ellipse; a multiple of 4, so that its box is exact where it is not turned


def ellipse(middle: tuple[float, float], radii: tuple[float, float], degrees: float = 0.0) -> list[float]:
    """Return the outline of an ellipse: x1, y1, x2, y2, ...; turned clockwise as it is seen."""
    turn, steps = math.radians(degrees), [2 * math.pi * step / _CORNERS for step in range(_CORNERS)]
    points = [(radii[0] * math.cos(step), radii[1] * math.sin(step)) for step in steps]
    return _turned(points, middle, turn)


def turned_box(sides: Sequence[float], degrees: float) -> list[float]:
    """Return the outline of a box (left, top, right, bottom) that is turned about its middle, clockwise as seen."""
    left, top, right, bottom = sides
    width, height = (right - left) / 2, (bottom - top) / 2
    points = [(-width, -height), (width, -height), (width, height), (-width, height)]
    return _turned(points, ((left + right) / 2, (top + bottom) / 2), math.radians(degrees))


def _turned(points: Sequence[tuple[float, float]], middle: tuple[float, float], turn: float) -> list[float]:
    cosine, sine = math.cos(turn), math.sin(turn)
    return [
        value for x, y in points for value in (middle[0] + x * cosine - y * sine, middle[1] + x * sine + y * cosine)
    ]


def masked(
    category: str, mask: np.ndarray, corner: tuple[int, int], size: tuple[int, int], location: str
) -> LabelledBox | None:
    """Return an object of its pixels, bool (H, W), a part of the picture of ``size``; None where there are none.

    The part begins at ``corner``, (column, row), of the picture; ``location`` is the object, for an error.

    Raises:
        ValueError: the part is not inside the picture.
    """
    left, top = corner
    height, width = mask.shape
    if left < 0 or top < 0 or left + width > size[0] or top + height > size[1]:
        raise ValueError(
            f'{location}: a mask of {width}x{height} pixels at {left}, {top} is not inside the picture of '
            f'{size[0]}x{size[1]} pixels.'
        )
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return None
    whole = np.zeros((size[1], size[0]), bool)
    whole[top : top + height, left : left + width] = mask
    # COCO counts along columns, and begins with pixels that do not belong to the object.
    pixels = np.concatenate(([False], whole.ravel('F')))
    changes = np.flatnonzero(pixels[1:] != pixels[:-1])
    counts = np.diff(np.concatenate(([0], changes, [whole.size])))
    box = (
        float(left + columns[0]), float(top + rows[0]), float(left + columns[-1] + 1), float(top + rows[-1] + 1),
    )  # fmt: skip
    return LabelledBox(category, box, mask={'size': [size[1], size[0]], 'counts': counts.tolist()})


def inside(
    box: Sequence[float], size: tuple[int, int], location: str, slack: float = 1.0
) -> tuple[float, float, float, float] | None:
    """Cut a box (left, top, right, bottom) at the picture's border; None where it has no area.

    Rounding may put a box a pixel over the border; more is a mistake.

    Raises:
        ValueError: it is more than ``slack`` pixels outside, or its corners are exchanged.
    """
    left, top, right, bottom = map(float, box)
    width, height = size
    if left > right or top > bottom:
        raise ValueError(f'{location}: the box {list(box)} ends before it begins.')
    if min(left, top) < -slack or right > width + slack or bottom > height + slack:
        raise ValueError(
            f'{location}: the box {[round(value, 2) for value in (left, top, right, bottom)]} is not inside the '
            f'picture of {width}x{height} pixels. Are the annotations those of this picture, as it is shown?'
        )
    left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
    return (left, top, right, bottom) if right > left and bottom > top else None
