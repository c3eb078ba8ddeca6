"""Lazy imports of a package's public names."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


def lazy_names(package: str, file: str) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__all__``, ``__getattr__`` and ``__dir__`` for the ``__init__`` of a package.

    The public names are those that its file imports under ``if TYPE_CHECKING:``; each is imported when first used, so
    that ``miqa --help`` is fast and an exported model is scored without PyTorch.

    Args:
        package: its ``__name__``.
        file: its ``__file__``.
    """
    homes: dict[str, str] = {}
    for block in ast.parse(Path(file).read_text(encoding='utf-8')).body:
        if isinstance(block, ast.If):
            for line in block.body:
                if isinstance(line, ast.ImportFrom):
                    home = f'{package}.{line.module}' if line.level else str(line.module)
                    homes |= {alias.name: home for alias in line.names}
    names = sorted(homes)

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f'module {package!r} has no attribute {name!r}')
        return getattr(importlib.import_module(homes[name]), name)

    return names, get, lambda: names
