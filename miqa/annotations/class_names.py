"""Names of classes: read from a text file, one per line, from index 0; and compared for equality."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from miqa.outside import read_regular_text

_MOST_BYTES = 16 << 20
_LATIN = str.maketrans('аеоорсухіјѕον', 'aeoopcyxijsov')  # Letters of Cyrillic and Greek that look as Latin ones do


def read_class_names(path: Path) -> list[str]:
    """Read names of classes; the line of a name, counted from 0, is the index of the class.

    Raises:
        ValueError: there is an empty line between names, which would shift all that follow, or no name, or one twice.
    """
    text = read_regular_text(path, _MOST_BYTES)
    names = [line.strip() for line in text.rstrip().split('\n')] if text.strip() else []
    if '' in names:
        raise ValueError(
            f'{path}, line {names.index("") + 1} is empty, but each line names a class: remove it, or write a name.'
        )
    checked_names(names, path)
    if all(name.startswith('- ') for name in names) or (len(names) == 1 and re.search('[,;\t]', names[0])):
        raise ValueError(f'{path} lists its classes in another way ({names[0][:60]}): write one name per line, alone.')
    for first in (0, 1):
        if all(re.match(rf'{index}[\s:,;=]', name) for index, name in enumerate(names, first)):
            raise ValueError(
                f'{path} numbers its lines ({", ".join(names[:3])}{", ..." * (len(names) > 3)}): write only the class '
                'names, one per line, from index 0.'
            )
    return names


def checked_names(names: Sequence[str], path: Path) -> list[str]:
    """Return names of classes as a list.

    Raises:
        ValueError: the list is empty, or has a name twice.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise ValueError(f'{path} names {twice[0]!r} twice.' if twice else f'{path} names no class.')
    return list(names)


def plain_name(name: str) -> str:
    """Return what is the same for names that nobody tells apart: in case, spaces, ``_``, ``-``, or look alone.

    Single letters keep their case: classes ``A`` and ``a`` of handwriting, or pieces of chess, are two.
    """
    text = unicodedata.normalize('NFKC', name).strip()
    text = (text if len(text) == 1 else text.casefold()).translate(_LATIN)
    return ' '.join(re.sub(r'_|(?<=\w)-(?=\w)', ' ', text).split())


def check_alike(names: Iterable[str], subject: str) -> None:
    """Raise a ValueError if two class names look the same; ``subject`` begins the message."""
    originals: dict[str, str] = {}
    for name in sorted(names):
        if (other := originals.setdefault(plain_name(name), name)) != name:
            raise ValueError(
                f'{subject} {other!r} and {name!r} would be two classes that differ only in case, spaces or letter '
                'encoding: write them alike.'
            )
