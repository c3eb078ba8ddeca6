"""Classes of pictures: from folders named by class, or from a CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from miqa.utils.tables import id_of, read_table

from .boxes_csv import FILE_NAMES, picture_finder

#: Column that says the class, the first of these that is there -> what else it may be called.
_ALSO = {'class_index': ('index',), 'class': ('class_name', 'label', 'category')}


def image_folder_classes(
    names: Sequence[str], known: Sequence[str] | None, folders: Sequence[str] = ()
) -> dict[str, int]:
    """Return the class index of pictures that lie in one folder for each class.

    Args:
        names: of the pictures, below the folder of pictures: ``cat/1.jpg``.
        known: the classes of the machines in their order; None: the folders, counted in the order of their names, as
            torchvision's ImageFolder counts them.
        folders: all that there are, those without pictures too.

    Raises:
        ValueError: a picture lies in no folder, a folder is none of the known classes, or folders are counted and one
            is empty.
    """
    loose = [name for name in names if '/' not in name]
    if loose:
        raise ValueError(f'{loose[0]} lies in no folder that names its class ({len(loose)} such pictures).')
    classes = {name: PurePosixPath(name).parts[0] for name in names}
    empty = sorted(set(folders) - set(classes.values()))
    if empty and known is None:
        raise ValueError(
            f'The folder {empty[0]!r} holds no picture. Is it a class, of those that their folders count? Say in '
            f'which order the machines count yours: --classes {" ".join(sorted(set(folders))[:3])} ... Or remove it.'
        )
    return _indices(classes, known, 'The folder')


def read_class_table(path: Path, names: Sequence[str], known: Sequence[str] | None) -> dict[str, int]:
    """Read the classes of pictures from a CSV: filename and class_index, or filename and class (a name).

    Args:
        path: the CSV.
        names: of the pictures, below the folder of pictures. Lines of other pictures are left aside.
        known: as for :func:`image_folder_classes`.

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
    find = picture_finder(names)
    found: dict[str, str] = {}
    for line, row in zip(table.lines, table.rows, strict=True):
        where = f'{path}, line {line}'
        name = find(id_of(row['filename'], f'{where}: the file name'), where)
        if name is None:
            continue
        value = id_of(row[column], f'{where}: {column}') if indexed else row[column]
        if not value or (indexed and not (value.isascii() and value.isdigit())):
            raise ValueError(f'{where}: {column} is {value!r}.')
        if found.setdefault(name, value) != value:
            raise ValueError(f'{where}: {name} has two classes, {found[name]} and {value}.')
    missing = sorted(set(names) - set(found))
    if missing:
        raise ValueError(f'{path} has no class for {len(missing)} of {len(names)} pictures, for example {missing[0]}.')
    if indexed:
        return {name: int(text) for name, text in found.items()}
    return _indices(found, known, f'{path}: the class')


def _indices(names: Mapping[str, str], known: Sequence[str] | None, what: str) -> dict[str, int]:
    classes = sorted(set(names.values())) if known is None else list(known)
    positions = {name: position for position, name in enumerate(classes)}
    unknown = sorted(set(names.values()) - set(positions))
    if unknown:
        raise ValueError(
            f'{what} {unknown[0]!r} is none of the {len(classes)} classes of the machines '
            f'({", ".join(classes[:5])}, ...). Write the names alike, or say in which order the machines count yours: '
            f'--classes {" ".join(unknown[:3])} ...'
        )
    return {picture: positions[name] for picture, name in names.items()}
