"""Metadata in exported files: class names, and of Ultralytics input size and task."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MOST_CHARACTERS = 1 << 20  # Longer texts are not read: the names of 1,000 ImageNet classes take 30 kB
_MOST_CLASSES = 65_536  # More classes no detector or classifier names (ImageNet-21k has 21,843)
_MOST_PIXELS = 8192

#: Keys under which exporters store names of classes, Ultralytics' first.
_NAMES = ('names', 'id2label', 'class_names', 'classes', 'labels', 'character')

#: Ultralytics' words for tasks -> ours; None for those that no machine does.
_TASKS = {'detect': 'det', 'segment': 'ins', 'classify': 'cls', 'pose': 'det', 'obb': None, 'semantic': 'seg'}


@dataclass(frozen=True)
class FileMetadata:
    """What a file says; None for what it does not."""

    names: tuple[str, ...] | None = None  # of the classes, by index
    size: tuple[int, int] | None = None  # (height, width) of the input
    task: str | None = None  # cls, det, ins or seg
    kind: str | None = None  # the exporter's own word for the task
    key_points: int = 0  # values of the key points of each detection
    from_ultralytics: bool = False  # the exporter is Ultralytics' or YOLOv5's, whose preprocessing is known


def metadata_of(metadata: Mapping[str, str]) -> FileMetadata:
    """Read the metadata of a file; what is not as it must be counts as not said."""
    values = {key: _value(metadata[key]) for key in ('names', 'imgsz', 'stride', 'kpt_shape') if key in metadata}
    stored = (_names(_value(metadata.get(key)) or _lines(metadata.get(key))) for key in _NAMES)
    names = next(filter(None, stored), None)
    kind = metadata.get('task') if metadata.get('task') in _TASKS else None
    shape = values.get('kpt_shape')
    is_size = (
        isinstance(shape, (list, tuple)) and len(shape) == 2 and all(type(n) is int and 0 < n < 999 for n in shape)
    )
    author = metadata.get('author', '').casefold()
    return FileMetadata(
        names=names,
        size=_size(values.get('imgsz')),
        task=_TASKS.get(kind) if kind else None,
        kind=kind,
        key_points=shape[0] * shape[1] if is_size and shape and kind == 'pose' else 0,
        from_ultralytics=bool(_names(values.get('names'))) and 'stride' in metadata and author in ('', 'ultralytics'),
    )


def _value(text: Any) -> Any:
    """Return the value that a text writes in Python's or JSON's way, or None; nothing is executed."""
    if not isinstance(text, str) or len(text) > _MOST_CHARACTERS:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    return None


def _lines(text: Any) -> list[str] | None:
    """Return the lines of a text, or what its commas separate; None for less than two."""
    if not isinstance(text, str) or len(text) > _MOST_CHARACTERS or text[:1] in ('{', '['):
        return None
    lines = text.strip().splitlines()
    entries = [entry.strip() for entry in (lines if len(lines) > 1 else text.split(','))]
    return entries if len(entries) > 1 else None


def _names(value: Any) -> tuple[str, ...] | None:
    """Return names of classes from a list, or from a mapping of all indices from 0 on."""
    if isinstance(value, Mapping):
        try:
            numbered = {int(key): name for key, name in value.items()}
        except (TypeError, ValueError):
            return None
        value = [numbered.get(index) for index in range(len(numbered))]
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= _MOST_CLASSES:
        return None
    return tuple(value) if all(isinstance(name, str) and name.strip() for name in value) else None


def _size(value: Any) -> tuple[int, int] | None:
    sides = [value, value] if type(value) is int else value
    if not isinstance(sides, (list, tuple)) or not sides:
        return None
    height, width = sides[0], sides[-1]
    if not all(type(side) is int and 0 < side <= _MOST_PIXELS for side in (height, width)):
        return None
    return height, width
