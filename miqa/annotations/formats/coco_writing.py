"""From objects of any reader to the COCO file of a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from miqa.layout import coco_source


@dataclass(frozen=True)
class Picture:
    """A picture that is annotated.

    Attributes:
        path: its file.
        name: how the folder of pictures calls it: its path below the folder, with forward slashes.
        size: width and height in pixels, as it is shown.
    """

    path: Path
    name: str
    size: tuple[int, int]

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        return Path(self.name).stem


@dataclass(frozen=True)
class LabelledBox:
    """An object: its class' name, its box (left, top, right, bottom in pixels), polygons, and whether a crowd."""

    category: str
    box: tuple[float, float, float, float]
    polygons: list[list[float]] | None = None
    crowd: bool = False


def number_pictures(names: Sequence[str], known: Mapping[str, int] | None = None) -> dict[str, int]:
    """Give each picture the number by which a detection database calls it.

    A number that a picture had before stays; a file that is named as a number has that number; the others are counted
    on from the highest.

    Args:
        names: of the pictures.
        known: numbers given before.
    """
    numbers = {name: known[name] for name in names if known and name in known}
    taken = {*(known or {}).values(), *numbers.values()}
    rest = []
    for name in sorted(set(names) - set(numbers)):
        stem = Path(name).stem
        if stem.isascii() and stem.isdigit() and len(stem) <= 12 and int(stem) not in taken:
            numbers[name] = int(stem)
            taken.add(int(stem))
        else:
            rest.append(name)
    following = max(taken, default=0)
    for name in rest:
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
        for thing in objects.get(picture.name, ()):
            left, top, right, bottom = thing.box
            entry = {
                'id': len(annotations) + 1,
                'image_id': numbers[picture.name],
                'category_id': ids[thing.category],
                'bbox': [round(value, 3) for value in (left, top, right - left, bottom - top)],
                'area': round((right - left) * (bottom - top), 3),
                'iscrowd': int(thing.crowd),
            }
            if thing.polygons:
                entry['segmentation'] = [[round(value, 3) for value in polygon] for polygon in thing.polygons]
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


def outlined(category: str, polygons: list[list[float]], size: tuple[int, int], where: str) -> LabelledBox | None:
    """Return an object of its outlines, each x1, y1, x2, y2, ...; None where it has no area."""
    xs = [value for polygon in polygons for value in polygon[::2]]
    ys = [value for polygon in polygons for value in polygon[1::2]]
    box = inside((min(xs), min(ys), max(xs), max(ys)), size, where)
    return LabelledBox(category, box, polygons) if box else None


def inside(
    box: Sequence[float], size: tuple[int, int], where: str, slack: float = 1.0
) -> tuple[float, float, float, float] | None:
    """Cut a box (left, top, right, bottom) at the picture's border; None where it has no area.

    Rounding may put a box a pixel over the border; more is a mistake.

    Raises:
        ValueError: it is more than ``slack`` pixels outside, or its corners are exchanged.
    """
    left, top, right, bottom = map(float, box)
    width, height = size
    if left > right or top > bottom:
        raise ValueError(f'{where}: the box {list(box)} ends before it begins.')
    if min(left, top) < -slack or right > width + slack or bottom > height + slack:
        raise ValueError(
            f'{where}: the box {[round(value, 2) for value in (left, top, right, bottom)]} is not inside the picture '
            f'of {width}x{height} pixels. Are the annotations those of this picture, turned as it is shown?'
        )
    left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
    return (left, top, right, bottom) if right > left and bottom > top else None
