"""Read JSON that somebody else may have written."""

from __future__ import annotations

import json
import os

from .regular_files import decoded_text, read_regular

#: Bytes of a file of settings; a real one has a few thousand.
LARGEST_SETTINGS = 1 << 20


def parse_json(text: str, name: str) -> object:
    """Parse JSON; infinities, NaN and a nesting that would exhaust the stack are refused.

    Args:
        text: the JSON, perhaps after a byte order mark.
        name: what to call it in an error, such as its path.

    Raises:
        ValueError: it is not JSON.
    """

    def refuse(constant: str):
        raise ValueError(f'{constant} is no JSON number')

    try:
        return json.loads(text.removeprefix('\ufeff'), parse_constant=refuse)
    except RecursionError:
        raise ValueError(f'{name} is nested too deeply to be read.') from None
    except ValueError as error:
        raise ValueError(f'{name} is not JSON: {error}.') from None


def read_settings(path: str | os.PathLike, name: str | None = None) -> object:
    """Read a small JSON file.

    Args:
        path: of the file.
        name: what to call it in an error; None for its path.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no regular file, larger than :data:`LARGEST_SETTINGS`, not UTF-8 or not JSON.
    """
    name = name or os.fspath(path)
    data = read_regular(path, LARGEST_SETTINGS, what='file of settings', name=name)
    return parse_json(decoded_text(data, name), name)
