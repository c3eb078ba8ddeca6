"""What readers of one file for each picture, and of XML, share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from miqa.outside.names import plain
from miqa.outside.regular_files import NotARegularFile, read_regular
from miqa.outside.walking import Walker, raise_problem

from .coco_writing import Picture
from .format import Remarks

_MOST_BYTES = 64 << 20


def files_of_pictures(
    folders: Sequence[Path], suffix: str, pictures: Sequence[Picture], remarks: Remarks, others: Collection[str] = ()
) -> dict[str, Path]:
    """Return the files that belong to pictures, by the names of these: those of the same stem.

    Args:
        folders: each with everything below it.
        suffix: of the files.
        pictures: that are annotated.
        remarks: count files of other pictures.
        others: names of files of this ending that speak of no picture.

    Raises:
        ValueError: two files belong to one picture, or one file to two pictures; or all to none.
    """
    files: dict[str, Path] = {}
    unwanted = []
    called = _finder_by_stem(pictures)
    walker = Walker(raise_problem)
    for path in sorted(Path(path) for folder in folders for path in walker.below(str(folder), (suffix,))):
        if path.name in others or not walker.is_new(str(path)):
            continue
        names = called(path.stem)
        if len(names) > 1:
            raise ValueError(f'{names[0]} and {names[1]} would both be annotated by one file, {path}; rename one.')
        if not names:
            unwanted.append(str(path))
        elif names[0] in files:
            raise ValueError(
                f'{files[names[0]]} and {path} are both annotations of the picture {names[0]}. Remove one.'
            )
        else:
            files[names[0]] = path
    if not files:
        raise ValueError(
            f'None of the {len(unwanted)} {suffix} files in {folders[0]} belongs to one of the {len(pictures)} '
            f"pictures: a file must have its picture's name, such as {pictures[0].stem}{suffix}."
        )
    remarks.add('{} file{s} {belong} to none of the pictures', unwanted[0] if unwanted else '', len(unwanted))
    without = [picture.name for picture in pictures if picture.name not in files]
    remarks.add(WITHOUT_FILE, without[0] if without else '', len(without))
    return files


#: Remark about a picture of which no file speaks.
WITHOUT_FILE = '{} picture{s} {have} no file, and {count} as without objects'


def _finder_by_stem(pictures: Sequence[Picture]) -> Callable[[str], list[str]]:
    """Return a function from the stem of a file to the names of the pictures of that stem, which is one of these.

    The same stem counts first, then one that differs in case or Unicode's form alone; or the picture's name is the
    stem: ``a.png.txt``.
    """
    exact: dict[str, list[str]] = {}
    alike: dict[str, list[str]] = {}
    for picture in pictures:
        exact.setdefault(picture.stem, []).append(picture.name)
        for key in {plain(picture.stem), plain(Path(picture.name).name)}:
            alike.setdefault(key, []).append(picture.name)
    return lambda stem: exact.get(stem) or alike.get(plain(stem), [])


def check_called(called: str, picture: Picture, pictures: Sequence[Picture], where: object) -> None:
    """Check what an annotation calls its picture, where its file has another name: it may be an old name.

    Raises:
        ValueError: it is the name of another one of the pictures.
    """
    stem = plain(PurePosixPath(called.replace('\\', '/')).stem)
    if stem and stem != plain(picture.stem) and (
        other := next((each.name for each in pictures if plain(each.stem) == stem), None)
    ):  # fmt: skip
        raise ValueError(
            f'{where} has the name of the picture {picture.name}, but says that it is of {other}. Which is meant? '
            'Correct the one or the other.'
        )


def flag(value: object, name: str, where: object) -> bool:
    """Return what a field says that is 1 or 0, true or false, in any writing; False where it is missing.

    Raises:
        ValueError: it is something else.
    """
    text = str('' if value is None else value).strip().lower()
    if text in ('', '0', '0.0', 'false', 'no', 'unspecified'):
        return False
    if text in ('1', '1.0', 'true', 'yes'):
        return True
    raise ValueError(f'{where}: {name} is {text[:60]!r}; it must be 1 or 0.')


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
