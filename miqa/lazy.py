"""Lazy imports of a package's public names."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package's ``__init__``.

    Importing a package then costs nothing but its name: ``miqa --help`` answers at once, and an exported model is
    scored without PyTorch.

    Args:
        package: its ``__name__``.
        homes: public name -> the module that has it, within the package, or by its whole name ``miqa.…``.
    """

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f'module {package!r} has no attribute {name!r}')
        home = homes[name]
        return getattr(importlib.import_module(home if home.startswith('miqa.') else f'{package}.{home}'), name)

    return get, lambda: sorted(homes)
