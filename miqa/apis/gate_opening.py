"""Open what a user names as a gate: a folder of ``miqa gate make`` or a file of ``miqa gate fit``."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from miqa.outside.json_text import read_settings

from .gate_threshold import ABOUT, BEFORE, FILE_KEYS, KEYS, Gate

if TYPE_CHECKING:
    from .gate_model import GateModel


def gate_place(path: str | os.PathLike) -> Path:
    """Return the folder of ``miqa gate make`` or the file of ``miqa gate fit`` that a user means by ``path``.

    A gate's ``gate.json`` means the folder around it, and a folder whose ``gate.json`` is of ``miqa gate fit`` this
    file.

    Raises:
        ValueError: it is the ``gate.json`` of ``miqa gate make`` without the files beside it.
    """
    path = Path(path)
    about = path / ABOUT if path.is_dir() else path
    try:
        keys = set(read_settings(about))  # type: ignore[call-overload]
    except (OSError, ValueError, TypeError):
        return path  # opening it raises the error
    if path.is_dir():
        return about if keys == FILE_KEYS else path
    if keys != KEYS:
        return path
    if about.name != ABOUT or not (about.parent / f'{BEFORE}.onnx').is_file():
        raise ValueError(f'{path} belongs to a gate of `miqa gate make`: name the folder that holds it with its heads.')
    return about.parent


def load_gate(path: str | os.PathLike) -> tuple[Gate, Callable[..., GateModel] | None]:
    """Return the threshold that ``path`` names, and for a gate's folder what opens its model of pictures alone."""
    place = gate_place(path)
    if not place.is_dir():
        return Gate.load(place), None
    from .gate_model import GateFolder  # a gate of one file needs no OpenCV

    folder = GateFolder.open(place)
    return folder.thresholds[BEFORE], partial(folder.model, None)
