"""Parse untrusted JSON."""

from __future__ import annotations

import json
import os
from collections import Counter

from .regular_files import decoded_text, read_regular

LARGEST_SETTINGS = 1 << 20  # Bytes of a file of settings; a real one has a few thousand


def parse_json(text: str, name: str, finite: bool = True) -> object:
    """Parse JSON, perhaps after a byte order mark; ``name`` is what to call it in an error.

    Infinities and NaN (unless ``finite=False``), keys that stand twice and a nesting that would exhaust the stack are
    refused.

    Raises:
        ValueError: it is not JSON.
    """

    def refuse(constant: str):
        raise ValueError(f'{constant} is not a JSON number')

    try:
        return json.loads(
            text.removeprefix('\ufeff'), parse_constant=refuse if finite else None, object_pairs_hook=_once_each
        )
    except RecursionError:
        raise ValueError(f'{name} is nested too deeply to be read.') from None
    except _Repeated as error:
        raise ValueError(f'{name}: {error}.') from None
    except ValueError as error:
        raise ValueError(f'{name} is not JSON: {error}.') from None


class _Repeated(ValueError):
    """An object has a key more than once: programs differ in which value they take."""


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        twice, count = Counter(key for key, _ in pairs).most_common(1)[0]
        raise _Repeated(f'the key {twice[:60]!r} stands {count} times in one object. Which is meant? Keep one')
    return content


def read_settings(path: str | os.PathLike, name: str | None = None) -> object:
    """Read a small JSON file.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is not a regular file, or is larger than :data:`LARGEST_SETTINGS`, not UTF-8 or not JSON.
    """
    name = name or os.fspath(path)
    data = read_regular(path, LARGEST_SETTINGS, kind='file of settings', name=name)
    return parse_json(decoded_text(data, name), name)
