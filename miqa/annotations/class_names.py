"""Names of classes in a text file, one a line, from index 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from miqa.outside import read_regular_text

_MOST_BYTES = 16 << 20


def read_class_names(path: Path) -> list[str]:
    """Read names of classes; the line of a name, counted from 0, is the index of the class.

    Raises:
        ValueError: there is an empty line between names, which would shift all that follow, or no name, or one twice.
    """
    text = read_regular_text(path, _MOST_BYTES)
    names = [line.strip() for line in text.rstrip().splitlines()]
    if '' in names:
        raise ValueError(
            f'{path}, line {names.index("") + 1} is empty. Each line names a class, in the order of their index, so '
            'that it is not clear which class the next line names: remove the line, or write a name.'
        )
    return checked_names(names, path)


def checked_names(names: Sequence[str], path: Path) -> list[str]:
    """Return names of classes as a list.

    Raises:
        ValueError: there is none, or one twice.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise ValueError(f'{path} names {twice[0]!r} twice.' if twice else f'{path} names no class.')
    return list(names)
