"""Pictures for the calibration of int8 models."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from miqa.pictures.finding import SkippedFiles, find_images

from .inputs import Preparation
from .stream import PICTURE_ERRORS

MOST = 300  # Pictures that are taken from a folder: NNCF's own default, beyond which its statistics hardly move
LEAST = 16  # Fewer say nothing about how far scores move


def calibration_pixels(folder: str | os.PathLike, prepare: Preparation, most: int = MOST) -> np.ndarray:
    """Prepare up to ``most`` pictures of a folder, spread evenly over it: uint8 RGB (N, 3, size, size).

    The pictures should be such as the model will see, good ones and bad ones. Those that cannot be read are passed
    over.

    Raises:
        NotADirectoryError, FileNotFoundError: there is no such folder, or no picture in it.
        ValueError: it holds fewer than :data:`LEAST` pictures that can be read.
    """
    if not Path(folder).is_dir():
        raise NotADirectoryError(f'{folder} is not a folder of pictures to calibrate with.')
    paths = list(find_images([os.fspath(folder)], skipped=SkippedFiles()))
    places = np.unique(np.linspace(0, max(len(paths) - 1, 0), min(most, len(paths))).astype(int))
    pixels, failed = [], 0
    for place in places:
        try:
            pixels.append(prepare(paths[place]))
        except PICTURE_ERRORS:
            failed += 1
    if len(pixels) < LEAST:
        raise ValueError(
            f'{folder} has {len(pixels)} readable pictures ({failed} unreadable); int8 needs {LEAST}, better {MOST}.'
        )
    return np.stack(pixels)
