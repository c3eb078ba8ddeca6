"""Helpers shared by readers of one file per picture and of XML."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path, PurePath, PurePosixPath
from xml.etree import ElementTree

from miqa.annotations.sizes import IF_STORED
from miqa.outside.names import plain
from miqa.outside.regular_files import NotARegularFile, read_regular
from miqa.outside.walking import Walker, raise_problem

from .coco_writing import Picture
from .format import Remarks

_MOST_BYTES = 64 << 20


def files_of_pictures(
    folders: Sequence[Path],
    suffix: str,
    pictures: Sequence[Picture],
    remarks: Remarks,
    others: Collection[str] = (),
    flat: bool = False,
) -> dict[str, Path]:
    """Return the files that belong to pictures, by the names of these: those of the same stem.

    A file in the folder that mirrors a picture's belongs to it: ``labels/a/1.txt`` to ``a/1.jpg``, and never to
    ``b/1.jpg``. Folders ``images`` and ``labels`` on the way make no difference.

    Args:
        folders: each with everything below it.
        suffix: of the files.
        pictures: that are annotated.
        remarks: count files of other pictures.
        others: names of files of this ending that speak of no picture.
        flat: leave those in folders below out, where there are others.

    Raises:
        ValueError: two files belong to one picture, or one file to two pictures; or all to none.
    """
    files: dict[str, Path] = {}
    unwanted = []
    called = _finder(pictures)
    root = Path(os.path.commonpath(folders))
    walker = Walker(raise_problem)
    paths = sorted(Path(path) for folder in folders for path in walker.below(str(folder), (suffix,)))
    paths = [path for path in paths if path.name not in others and walker.is_new(str(path))]
    paths = [path for path in paths if flat and path.parent in folders] or paths
    mirrored = {path: called(_folder_of(path.relative_to(root)), path.stem) for path in paths}
    settled = {names[0] for names in mirrored.values() if len(names) == 1}
    for path in paths:
        names = mirrored[path]
        if not names:
            names = called(None, path.stem)
            if folder := _folder_of(path.relative_to(root)):  # else nothing says that it is of another folder
                names = [name for name in names if not _folder_of(PurePosixPath(name))
                         or (name not in settled and _nested(folder, _folder_of(PurePosixPath(name))))]  # fmt: skip
        if len(names) > 1:
            raise ValueError(f'{names[0]} and {names[1]} would both be annotated by one file, {path}; rename one.')
        if not names:
            unwanted.append(str(path))
        elif names[0] in files:
            raise ValueError(f'{files[names[0]]} and {path} both annotate the picture {names[0]}: remove one.')
        else:
            files[names[0]] = path
    if not files:
        raise ValueError(
            f'None of the {len(unwanted)} {suffix} files in {folders[0]} belongs to one of the {len(pictures)} '
            f'pictures: a file is named after its picture, such as {pictures[0].stem}{suffix}, and lies in a folder of '
            'the same name, if in any.'
        )
    remarks.add('{} file{s} {belong} to none of the pictures', unwanted[0] if unwanted else '', len(unwanted))
    without = [picture.name for picture in pictures if picture.name not in files]
    remarks.add(WITHOUT_FILE, without[0] if without else '', len(without))
    return files


#: Remark about a picture of which no file speaks.
WITHOUT_FILE = '{} picture{s} {have} no file, and {count} as without objects'


_STRUCTURE = ('images', 'labels', 'annotations', 'jpegimages')  # Folders that say nothing about which picture it is


def _folder_of(path: PurePath) -> tuple[str, ...]:
    return tuple(part for part in map(plain, path.parts[:-1]) if part not in _STRUCTURE)


def _nested(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Return True if one folder may be the other, named from further above."""
    length = min(len(one), len(other))
    return one[-length:] == other[-length:]


def _finder(pictures: Sequence[Picture]) -> Callable[[tuple[str, ...] | None, str], list[str]]:
    """Return a function from a folder, or None for any, and the stem of a file in it to the names of its pictures.

    The same stem counts first, then one that differs in case or Unicode's form alone; or the picture's name is the
    stem: ``a.png.txt``.
    """
    exact: dict[tuple, list[str]] = {}
    alike: dict[tuple, list[str]] = {}
    for picture in pictures:
        path = PurePosixPath(picture.name)
        for folder in (_folder_of(path), None):
            exact.setdefault((folder, path.stem), []).append(picture.name)
            for key in {plain(path.stem), plain(path.name)}:
                alike.setdefault((folder, key), []).append(picture.name)
    return lambda folder, stem: exact.get((folder, stem)) or alike.get((folder, plain(stem)), [])


def check_called(called: str, picture: Picture, pictures: Sequence[Picture], location: object) -> None:
    """Check what an annotation calls its picture, where its file has another name: it may be an old name.

    Raises:
        ValueError: it is the name of another one of the pictures.
    """
    called = called.replace('\\', '/')
    other_file = Path(str(location)).parent / called
    if os.path.isfile(other_file) and not filecmp.cmp(other_file, picture.path, shallow=False):  # noqa: PTH113
        raise ValueError(
            f'{location} is of {other_file}, which is not the picture {picture.name}: correct one of them.'
        )
    stem = plain(PurePosixPath(called).stem)
    if stem and stem != plain(picture.stem) and (
        other := next((each.name for each in pictures if plain(each.stem) == stem), None)
    ):  # fmt: skip
        raise ValueError(
            f'{location} is named after the picture {picture.name}, but names {other} inside: correct one of them.'
        )


def flag(value: object, name: str, location: object) -> bool:
    """Return what a field says that is 1 or 0, true or false, in any writing; False where it is missing.

    Raises:
        ValueError: it is something else.
    """
    text = str('' if value is None else value).strip().lower()
    if text in ('', '0', '0.0', 'false', 'no', 'unspecified'):
        return False
    if text in ('1', '1.0', 'true', 'yes'):
        return True
    raise ValueError(f'{location}: {name} is {text[:60]!r}; it must be 1 or 0.')


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
    except (ValueError, LookupError) as error:  # of the parser, about encodings
        if isinstance(error, NotARegularFile):
            raise
        raise ValueError(f'{path} is in an encoding that cannot be read: {error}. Save it as UTF-8.') from None


def check_size(stated: tuple[float, ...], picture: Picture, path: Path) -> bool:
    """Return True if a file says the size of a picture; it must then be that of the picture as it is shown."""
    if not all(stated):
        return False
    if stated != picture.size:
        advice = 'Are the annotations those of this picture?'
        if picture.orientation != 1 and stated == picture.stored:
            advice = f'That is its size before the EXIF rotation. {IF_STORED}'
        raise ValueError(
            f'{path} says {stated[0]:g}x{stated[1]:g} pixels, but {picture.path} has '
            f'{picture.size[0]}x{picture.size[1]}. {advice}'
        )
    return True
