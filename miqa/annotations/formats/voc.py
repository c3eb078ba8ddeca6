"""Pascal VOC's XML files, one for each picture.

Corners count pixels from 1, so that 1 is taken from left and top, as Detectron2 does; objects marked ``difficult``
count neither for nor against, as in VOC's own evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from miqa.annotations.sizes import check_turned

from .coco_writing import LabelledBox, Picture, inside
from .files import check_size, files_by_stem, read_xml


def read_voc(folder: Path, pictures: Sequence[Picture]) -> tuple[dict[str, list[LabelledBox]], list[str]]:
    """Read the XML files below a folder that belong to ``pictures``, by their stems.

    Returns:
        Name of a picture -> its objects, and the names of all classes, sorted.

    Raises:
        ValueError: a file is not XML of that kind, a box cannot be, or the size is another than the picture's. The file
            is named. Also where a picture has no file: in VOC even a picture without objects has one.
    """
    files = files_by_stem(folder, '.xml', pictures)
    missing = [picture.name for picture in pictures if picture.stem not in files]
    if missing:
        raise ValueError(
            f'{folder} has no file for {len(missing)} of {len(pictures)} pictures, for example '
            f'{Path(missing[0]).stem}.xml. A picture without objects has a file without objects.'
        )
    read = {picture.name: _read(files[picture.stem], picture) for picture in pictures}
    check_turned([picture.path for picture in pictures], str(folder), [size for _, size in read.values()])
    found = {name: things for name, (things, _) in read.items()}
    classes = sorted({thing.category for things in found.values() for thing in things})
    if not classes:
        raise ValueError(f'The files in {folder} hold no object.')
    return found, classes


def _read(path: Path, picture: Picture) -> tuple[list[LabelledBox], tuple[int, int] | None]:
    """Return the objects, and the picture's size if the file gives it; it is then that of the picture as shown."""
    root = read_xml(path)
    said = tuple(_number(root, f'size/{side}', path, default=0) for side in ('width', 'height'))
    sized = check_size(said, picture, path)
    things = []
    for number, entry in enumerate(root.iter('object'), 1):
        where = f'{path}, object {number}'
        name = (entry.findtext('name') or '').strip()
        if not name:
            raise ValueError(f'{where} has no name.')
        if entry.find('bndbox') is None:
            raise ValueError(f'{where} has no bndbox, which is a box along the sides of the picture.')
        corners = [_number(entry, f'bndbox/{side}', where) for side in ('xmin', 'ymin', 'xmax', 'ymax')]
        box = inside((corners[0] - 1, corners[1] - 1, corners[2], corners[3]), picture.size, where)
        if box:
            things.append(LabelledBox(name, box, crowd=_flag(entry, 'difficult', where)))
    return things, picture.size if sized else None


def _flag(element: ElementTree.Element, name: str, where: str) -> bool:
    text = (element.findtext(name) or '').strip().lower()
    if text in ('', '0', 'false', 'no', 'unspecified'):
        return False
    if text in ('1', 'true', 'yes'):
        return True
    raise ValueError(f'{where}: {name} is {text[:60]!r}; it must be 1 or 0.')


def _number(element: ElementTree.Element, name: str, where, default: float | None = None) -> float:
    text = (element.findtext(name) or '').strip()
    if not text and default is not None:
        return default
    try:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError
        return value
    except ValueError:
        raise ValueError(f'{where}: {name} is {text!r}, not a number.') from None
