"""User options for a network file."""

from __future__ import annotations

from typing import Any

from miqa.taxonomy import check_choice

#: What a user may say of a file beforehand.
FILE_OPTIONS = ('size', 'layout', 'values', 'channels', 'resize', 'border', 'output', 'name', 'weight')


def file_option(text: str) -> tuple[str, Any]:
    """Read ``KEY=VALUE`` of :data:`FILE_OPTIONS` from a command line; a size is ``416`` or ``HEIGHTxWIDTH``.

    Raises:
        ValueError: there is no such key, or the value cannot be read.
    """
    key, sign, value = text.partition('=')
    check_choice(key, FILE_OPTIONS, 'option of a machine')
    if not sign or not value:
        raise ValueError(f'Write {key}=VALUE, not {text!r}.')
    try:
        if key == 'size':
            sides = [int(side) for side in value.split('x')]
            return key, tuple(sides * 2 if len(sides) == 1 else sides)
        return key, {'border': int, 'weight': float}.get(key, str)(value)
    except ValueError:
        raise ValueError(f'{text!r} cannot be read: size is HEIGHTxWIDTH, border and weight are numbers.') from None
