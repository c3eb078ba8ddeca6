"""Classes of pictures: from folders named by class, or from a CSV."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence, Set
from pathlib import Path, PurePosixPath

from miqa.annotations.class_names import check_alike, plain_name
from miqa.outside.tables import id_of, read_table
from miqa.outside.walking import is_hidden
from miqa.taxonomy import ALL_SPLITS, SPLITS

from .boxes_csv import FILE_NAMES, picture_finder
from .format import CLASSES, AnnotationFormat, ReadClasses, Remarks, Request

#: Names of folders of the parts of a data set, which are not classes.
_PARTS = {*SPLITS, ALL_SPLITS, 'train', 'training', 'val', 'valid', 'validation', 'test', 'testing'}

#: Column that says the class, the first of these that is there -> what else it may be called.
_ALSO = {'class_index': ('index',), 'class': ('class_name', 'label', 'category')}


def read_folders(request: Request) -> ReadClasses:
    """Read the classes of pictures that lie in one folder for each class; see :func:`image_folder_classes`."""
    folder = request.folder
    folders = [path.name for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name)]
    names = [picture.name for picture in request.pictures]
    expected = request.classes or request.known
    indices = image_folder_classes(names, expected, folders, request.class_count)
    read = ReadClasses(indices)
    _say_order(read, {name: PurePosixPath(name).parts[0] for name in names}, expected)
    return read


def read_table_of_classes(request: Request) -> ReadClasses:
    """Read the classes of pictures from a CSV; see :func:`read_class_table`."""
    return read_class_table(
        request.path, [picture.name for picture in request.pictures], request.classes or request.known,
        request.class_count, request.folder,
    )  # fmt: skip


def _say_order(read: ReadClasses, called: Mapping[str, str], class_names: Sequence[str] | None) -> None:
    """Note how classes are counted where only the order of their names decides it."""
    if class_names is None:
        order = {called[name]: index for name, index in read.indices.items()}
        read.order = sorted(order, key=order.__getitem__)
        first = ', '.join(f'{index} {name}' for name, index in sorted(order.items(), key=lambda item: item[1])[:3])
        read.remarks.add(
            '{} class{es} {are} counted in the order of the names, where --classes does not say another', first,
            len(order),
        )  # fmt: skip


def image_folder_classes(
    names: Sequence[str], class_names: Sequence[str] | None, folders: Sequence[str] = (), class_count: int | None = None
) -> dict[str, int]:
    """Return the class index of pictures that lie in one folder for each class.

    Args:
        names: of the pictures, below the folder of pictures: ``cat/1.jpg``.
        class_names: the classes of the machines in their order; None: the folders by name, as torchvision's ImageFolder
            counts them.
        folders: all that there are, those without pictures too.
        class_count: number of classes of the machines, if known.

    Raises:
        ValueError: a picture lies in no folder, a folder is not a known class, folders are counted and one is
            empty, or the folders are the parts of a data set.
    """
    loose = [name for name in names if '/' not in name]
    if loose:
        raise ValueError(f'{loose[0]} lies in no folder that names its class ({len(loose)} such pictures).')
    classes = {name: PurePosixPath(name).parts[0] for name in names}
    if {folder.lower() for folder in classes.values()} <= _PARTS and any(name.count('/') > 1 for name in names):
        raise ValueError(
            f'The folders {", ".join(sorted(set(classes.values())))} are parts of a dataset, not classes: name one of '
            'them instead.'
        )
    if class_names is None and all(name.count('/') > 1 for name in names):
        outer, inner = sorted(set(classes.values())), sorted({PurePosixPath(name).parts[1] for name in names})
        raise ValueError(
            f'All pictures lie two folders deep: are the classes {", ".join(outer[:3])}, or {", ".join(inner[:3])}? '
            f'Name the folder whose folders are the classes, or say: --classes {shlex.join(outer)}'
        )
    empty = sorted(set(folders) - set(classes.values()))
    if empty and class_names is None:
        raise ValueError(
            f'The folder {empty[0]!r} holds no picture. Is it a class, of those that their folders count? Say in '
            f'which order the machines count yours: --classes {shlex.join(sorted(set(folders))[:3])} ... Or remove it.'
        )
    return _indices(classes, class_names, 'The folder', class_count)


def read_class_table(
    path: Path, names: Sequence[str], class_names: Sequence[str] | None, class_count: int | None = None,
    folder: Path = Path(),
) -> ReadClasses:  # fmt: skip
    """Read the classes of pictures from a CSV: filename and class_index, or filename and class (a name).

    Lines of other pictures than ``names`` are skipped and counted; for the rest see :func:`image_folder_classes`.

    Raises:
        ValueError: a column is missing, a picture has no line or two classes, or a class is unknown.
    """
    table = read_table(path, list(FILE_NAMES), 'file of classes', optional=list(_ALSO), also={**FILE_NAMES, **_ALSO})
    column = next((column for column in _ALSO if table.rows and column in table.rows[0]), None)
    if column is None:
        problem = 'lacks a column' if table.rows else 'holds no rows; it needs'
        raise ValueError(
            f'{path} {problem} {" or ".join(map(repr, _ALSO))}; its columns are {", ".join(table.columns)}.'
        )
    indexed = column == 'class_index'
    if indexed and column not in map(str.lower, table.columns):
        _check_counted([row[column] for row in table.rows], path)
    find = picture_finder(names, folder)
    class_of: dict[str, str] = {}
    named: dict[int, str] = {}
    remarks = Remarks()
    for line, row in zip(table.lines, table.rows, strict=True):
        location = f'{path}, line {line}'
        name = find(id_of(row['filename'], f'{location}: the file name'), location)
        if name is None:
            remarks.add('{} line{s} {are} of other pictures', location)
            continue
        value = id_of(row[column], f'{location}: {column}')
        if value.lower() in ('', 'nan', '#n/a') or (indexed and not (_is_number(value) and len(value) < 10)):
            raise ValueError(f'{location}: {column} is {value!r}.')
        if class_of.setdefault(name, value) != value:
            raise ValueError(f'{location}: {name} has two classes, {class_of[name]} and {value}.')
        if indexed and row.get('class'):
            _check_named(int(value), row['class'], named, class_names, location)
    missing = sorted(set(names) - set(class_of))
    if missing:
        raise ValueError(f'{path} has no class for {len(missing)} of {len(names)} pictures, for example {missing[0]}.')
    if indexed:
        highest = max(class_of, key=lambda name: int(class_of[name]))
        if class_count is not None and int(class_of[highest]) >= class_count:
            raise ValueError(
                f'{path}: the class_index of {highest} is {class_of[highest]}, but the machines have {class_count} '
                'classes, from 0.'
            )
        return ReadClasses({name: int(text) for name, text in class_of.items()}, remarks)
    if class_names is None and all(map(_is_number, class_of.values())):
        raise ValueError(
            f'{path}: the classes are whole numbers. If they say what the machines count, from 0, call the column '
            f'class_index; if they are names, say in which order the machines count them: --classes '
            f'{_some(sorted(set(class_of.values()), key=_natural))}'
        )
    indices = _indices(class_of, class_names, f'{path}: the class', class_count)
    read = ReadClasses(indices, remarks)
    _say_order(read, class_of, class_names)
    return read


def _check_counted(values: Sequence[str], path: Path) -> None:
    """Raise a ValueError if a column ``index`` counts the rows, as that of a saved data frame does."""
    if len(values) > 1 and any(values == [str(row + first) for row in range(len(values))] for first in (0, 1)):
        raise ValueError(
            f'{path}: the column index counts the rows. If it is the class of each picture, call it class_index, else '
            'leave it out.'
        )


def _check_named(
    index: int, name: str, named: dict[int, str], class_names: Sequence[str] | None, location: str
) -> None:
    """Raise a ValueError if index and name of a line are of two classes, by ``class_names`` or earlier lines."""
    other = (
        class_names[index] if class_names is not None and index < len(class_names) else named.setdefault(index, name)
    )
    twice = next((each for each, called in named.items() if called == name and each != index), None)
    if (plain_name(other) != plain_name(name) and not _is_number(name)) or twice is not None:
        has = f'the class_index {index} is {other!r}' if twice is None else f'{name!r} has the class_index {twice}'
        raise ValueError(
            f'{location} has the class_index {index} and the class {name!r}, but elsewhere {has}: leave out the wrong '
            'column.'
        )


def _indices(
    names: Mapping[str, str], class_names: Sequence[str] | None, subject: str, class_count: int | None
) -> dict[str, int]:
    unmatched = set(names.values())
    classes = sorted(unmatched) if class_names is None else list(class_names)
    if class_names is None and _wordnet(unmatched, 1000) is None:
        check_alike(classes, subject)
        _check_single(classes, subject)
        _check_order(classes, subject)
    if class_count is not None and len(classes) != class_count:
        wordnet_classes = _wordnet(unmatched, class_count) if class_names is None else None
        if wordnet_classes is None:
            have = 'The pictures have' if class_names is None else '--classes names'
            raise ValueError(
                f'{have} {len(classes)} classes, the machines have {class_count}: name all {class_count} in the '
                "machines' order (--classes), or give a CSV with filename and class_index."
            )
        return {picture: wordnet_classes[name] for picture, name in names.items()}
    positions = {name: position for position, name in enumerate(classes)}
    if not unmatched <= set(positions):
        # Folders can have no spaces everywhere, and nobody means two classes that differ in this alone.
        positions = _written_otherwise(unmatched, positions) or _wordnet(unmatched, len(classes)) or positions
    if twice := [name for name in sorted(unmatched) if classes.count(name) > 1]:
        raise ValueError(
            f'{subject} {twice[0]!r} matches {classes.count(twice[0])} classes of the machines: give a CSV with '
            'filename and class_index.'
        )
    unknown = sorted(unmatched - set(positions))
    if unknown:
        raise ValueError(
            f'{subject} {unknown[0]!r} is not one of the {len(classes)} classes of the machines '
            f'({", ".join(classes[:5])}, ...). Write the names alike, or say in which order the machines count yours: '
            f'--classes {shlex.join(unknown[:3])} ...'
        )
    return {picture: positions[name] for picture, name in names.items()}


def _check_single(classes: Sequence[str], subject: str) -> None:
    """Raise a ValueError where a name lists several classes, of which others have one."""
    for name in classes:
        parts = [part.strip() for part in re.split(r'[;,|/+&]', name)]
        if len(parts) > 1 and not {*parts}.isdisjoint(classes):
            raise ValueError(
                f'{subject} {name!r} lists several classes, and a picture has one. Leave such pictures out; or, if it '
                f'is one class, say in which order the machines count yours: --classes {shlex.join(classes[:3])} ...'
            )


def _check_order(classes: Sequence[str], subject: str) -> None:
    """Raise a ValueError where numbers in the names ask for another order than that of the texts.

    Programs count ``0 1 10 11 2`` (torchvision's ImageFolder) or ``0 1 2 10 11``, and so with Roman numerals and
    words for numbers; numbers that do not begin at 0
    may be indices or names.
    """
    values = _values(classes)
    natural = sorted(classes, key=values.__getitem__ if values else _natural)
    numbers = [int(name) for name in natural] if all(map(_is_number, classes)) else None
    if natural == list(classes) and numbers in (None, list(range(len(classes)))):
        return
    by_number, by_text = _some(natural), _some(classes)
    if by_number == by_text:  # the numbers do not begin at 0, or some are missing
        raise ValueError(
            f'{subject} names are the numbers {by_text}: nothing tells whether they are indices of the machines or '
            f'names. As names in this order: --classes {" ".join(classes)}. As indices: give a CSV with filename and '
            'class_index.'
        )
    raise ValueError(
        f'{subject} names hold numbers, and nothing tells in which order the machines count them: by number '
        f'({by_number}) or by text ({by_text}), as torchvision does. By number: --classes '
        f'{" ".join(map(shlex.quote, natural))}. By text: --classes {" ".join(map(shlex.quote, classes))}.'
    )


_WORDS = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten')
_ROMAN = re.compile(r'(?=.)(X{0,3})(IX|IV|V?I{0,3})', re.IGNORECASE)
_DIGITS = {'I': 1, 'V': 5, 'X': 10}


def _values(classes: Sequence[str]) -> dict[str, int] | None:
    """Return the values of number words, or of Roman numerals up to 39; None where not all names are such."""
    if all(name.lower() in _WORDS for name in classes):
        return {name: _WORDS.index(name.lower()) for name in classes}
    if not all(map(_ROMAN.fullmatch, classes)):
        return None
    values = {}
    for name in classes:
        digits = [_DIGITS[letter] for letter in name.upper()]
        values[name] = sum(
            -digit if digit < after else digit for digit, after in zip(digits, [*digits[1:], 0], strict=True)
        )
    return values


def _some(names: Sequence[str]) -> str:
    return ' '.join(names[:13]) + (' ...' if len(names) > 13 else '')


def _is_number(name: str) -> bool:
    return name.isdecimal()  # in the digits of any script


def _natural(name: str) -> list[tuple]:
    """Return by what names are sorted as people do: numbers in them by their value."""
    parts = re.split(r'(\d+)', name)
    return [(int(part), part) if place % 2 else (part,) for place, part in enumerate(parts)]


def _written_otherwise(names: Set[str], positions: Mapping[str, int]) -> dict[str, int] | None:
    """Return the index of names that are those of classes but for case, ``_`` and ``-``; None where one is not."""
    plain: dict[str, list[int]] = {}
    for name, position in positions.items():
        plain.setdefault(plain_name(name), []).append(position)
    alternatives = {name: plain.get(plain_name(name), []) for name in names}
    return (
        {name: places[0] for name, places in alternatives.items()}
        if all(len(p) == 1 for p in alternatives.values())
        else None
    )


def _wordnet(names: Set[str], classes: int) -> dict[str, int] | None:
    """Return the index of WordNet's numbers, which ImageNet calls its folders by; None where they are not all known."""
    if classes != 1000 or not all(re.fullmatch(r'n\d{8}', name) for name in names):
        return None
    from timm.data import ImageNetInfo

    positions = {name: position for position, name in enumerate(ImageNetInfo('imagenet-1k').label_names())}
    return positions if names <= set(positions) else None


TABLE = AnnotationFormat(
    'class_csv', 'a CSV file of classes', ('cls',), CLASSES, read_table_of_classes, file_suffixes=('.csv', '.tsv'),
    takes_names=True,
)  # fmt: skip
FOLDERS = AnnotationFormat(
    'imagefolder', 'the folder of pictures itself, one folder for each class (cls)', ('cls',), CLASSES, read_folders,
    is_folder=lambda path, images: path.resolve() == images.resolve(), takes_names=True,
)  # fmt: skip
