"""What readers of one file for each picture, and of XML, share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from xml.etree import ElementTree

from miqa.outside.regular_files import read_regular
from miqa.outside.walking import Walker, raise_problem

from .coco_writing import Picture
from .format import Remarks

_MOST_BYTES = 64 << 20


def files_by_stem(
    folder: Path, suffix: str, pictures: Sequence[Picture], remarks: Remarks, others: Collection[str] = ()
) -> dict[str, Path]:
    """Return the files below a folder by their stems, which are those of the pictures that they speak of.

    Args:
        folder: with everything below it.
        suffix: of the files.
        pictures: that are annotated.
        remarks: count files of other pictures.
        others: names of files of this ending that speak of no picture.

    Raises:
        ValueError: two files have one stem, or two pictures.
    """
    files: dict[str, Path] = {}
    for path in sorted(map(Path, Walker(raise_problem).below(str(folder), (suffix,)))):
        if path.name in others:
            continue
        if path.stem in files:
            raise ValueError(
                f'{files[path.stem]} and {path} are both annotations of a picture {path.stem}. Remove one.'
            )
        files[path.stem] = path
    stems = Counter(picture.stem for picture in pictures)
    if shared := [picture.name for picture in pictures if stems[picture.stem] > 1]:
        raise ValueError(f'{shared[0]} and {shared[1]} would both be annotated by one file; rename one.')
    unwanted = sorted(str(path) for stem, path in files.items() if stem not in stems)
    remarks.add('{} files belong to none of the pictures', unwanted[0] if unwanted else '', len(unwanted))
    return files


class _DeclaresEntities(Exception):
    """A file begins with a declaration of its kind, in which entities may be."""


class _WithoutEntities(ElementTree.TreeBuilder):
    """Builds a tree, and stops before entities are declared, whatever the encoding of the file is."""

    def doctype(self, *_) -> None:
        raise _DeclaresEntities


def read_xml(path: Path) -> ElementTree.Element:
    """Return the root of an XML file.

    Raises:
        ValueError: it is not XML, or declares entities.
    """
    parser = ElementTree.XMLParser(target=_WithoutEntities())  # noqa: S314  it refuses entities
    try:
        return ElementTree.fromstring(read_regular(path, _MOST_BYTES), parser)  # noqa: S314
    except _DeclaresEntities:
        raise ValueError(f'{path} declares entities, which an annotation has no need of.') from None
    except ElementTree.ParseError as error:
        raise ValueError(f'{path} is not XML: {error}.') from None


def check_size(said: tuple[float, ...], picture: Picture, path: Path) -> bool:
    """Tell whether a file says the size of a picture; it must then be that of the picture as it is shown."""
    if not all(said):
        return False
    if said != picture.size:
        raise ValueError(
            f'{path} says {said[0]:g}x{said[1]:g} pixels, but {picture.path} has {picture.size[0]}x{picture.size[1]}, '
            f'as it is shown. Are the annotations those of this picture?'
        )
    return True
