"""Pascal VOC's XML files, one for each picture.

Corners count pixels from 1, so that 1 is taken from left and top, as Detectron2 does; objects marked ``difficult``
count neither for nor against, as in VOC's own evaluation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from miqa.distortions.annotated_sizes import check_turned
from miqa.utils.regular_files import read_regular
from miqa.utils.walking import Walker, raise_problem

from .coco_writing import LabelledBox, Picture, inside

_MOST_BYTES = 16 << 20


def read_voc(folder: Path, pictures: Sequence[Picture]) -> tuple[dict[str, list[LabelledBox]], list[str]]:
    """Read the XML files below a folder that belong to ``pictures``, by their stems.

    Returns:
        Name of a picture -> its objects, and the names of all classes, sorted.

    Raises:
        ValueError: a file is not XML of that kind, a box cannot be, or the size is another than the picture's. The file
            is named. Also where a picture has no file: in VOC even a picture without objects has one.
    """
    files: dict[str, Path] = {}
    for path in sorted(map(Path, Walker(raise_problem).below(str(folder), ('.xml',)))):
        if path.stem in files:
            raise ValueError(
                f'{files[path.stem]} and {path} are both annotations of a picture {path.stem}. Remove one.'
            )
        files[path.stem] = path
    stems = Counter(picture.stem for picture in pictures)
    if shared := [picture.name for picture in pictures if stems[picture.stem] > 1]:
        raise ValueError(f'{shared[0]} and {shared[1]} would both be annotated by one file; rename one.')
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


class _DeclaresEntities(Exception):
    """A file begins with a declaration of its kind, in which entities may be."""


class _WithoutEntities(ElementTree.TreeBuilder):
    """Builds a tree, and stops before entities are declared, whatever the encoding of the file is."""

    def doctype(self, *_) -> None:
        raise _DeclaresEntities


def _read(path: Path, picture: Picture) -> tuple[list[LabelledBox], tuple[int, int] | None]:
    """Return the objects, and the picture's size if the file gives it; it is then that of the picture as shown."""
    parser = ElementTree.XMLParser(target=_WithoutEntities())  # noqa: S314  it refuses entities
    try:
        root = ElementTree.fromstring(read_regular(path, _MOST_BYTES), parser)  # noqa: S314
    except _DeclaresEntities:
        raise ValueError(f'{path} declares entities, which an annotation has no need of.') from None
    except ElementTree.ParseError as error:
        raise ValueError(f'{path} is not XML: {error}.') from None
    said = tuple(_number(root, f'size/{side}', path, default=0) for side in ('width', 'height'))
    if all(said) and said != picture.size:
        raise ValueError(
            f'{path} says {said[0]:g}x{said[1]:g} pixels, but {picture.path} has {picture.size[0]}x{picture.size[1]}, '
            f'as it is shown. Are the annotations those of this picture?'
        )
    things = []
    for number, entry in enumerate(root.iter('object'), 1):
        where = f'{path}, object {number}'
        name = (entry.findtext('name') or '').strip()
        if not name:
            raise ValueError(f'{where} has no name.')
        corners = [_number(entry, f'bndbox/{side}', where) for side in ('xmin', 'ymin', 'xmax', 'ymax')]
        box = inside((corners[0] - 1, corners[1] - 1, corners[2], corners[3]), picture.size, where)
        if box:
            things.append(LabelledBox(name, box, crowd=bool(_number(entry, 'difficult', where, default=0))))
    return things, picture.size if all(said) else None


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
