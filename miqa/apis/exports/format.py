"""The interface of export formats, and the comparison of exported scores with PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from miqa.apis.runtimes.base import Device, Runtime
from miqa.apis.spec import ModelSpec

if TYPE_CHECKING:
    import torch

    from miqa.apis.runtimes.pixels import PixelsToScore

#: From pixels, uint8 RGB (N, 3, size, size), to scores, float32 (N,).
Run = Callable[[np.ndarray], np.ndarray]
_BATCH = 8


@dataclass(frozen=True)
class ExportFormat:
    """A format in which a model can leave."""

    title: str  # what runs it
    #: from a module on the CPU, two batches' worth of pixels uint8 (2, 3, size, size), a path and the spec to the file
    #: at that path; returns what scores pixels with the written file.
    write: Callable[[PixelsToScore, torch.Tensor, Path, ModelSpec], Run]
    #: from a path, a device (None for the best) and a precision (None for what the file holds) to the spec and the
    #: runtime; None where the file is for other programs alone. It must not import PyTorch.
    open: Callable[[Path, str | Device | torch.device | None, str | None], tuple[ModelSpec, Runtime]] | None = None
    #: from a file of 32-bit numbers, the path of a new one, pictures uint8 (N, 3, size, size) and the spec; None where
    #: there are no 8-bit numbers.
    quantise: Callable[[Path, Path, np.ndarray, ModelSpec], None] | None = None
    beside: tuple[str, ...] = ()  # endings of further files that belong to one model


def batches_of(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Yield pixels (N, 3, size, size) in small batches."""
    for start in range(0, len(pixels), _BATCH):
        yield pixels[start : start + _BATCH]


def batch_count(pixels: np.ndarray) -> int:
    """Return how many batches :func:`batches_of` yields."""
    return -(-len(pixels) // _BATCH)


def scores_of(run: Run, pixels: np.ndarray) -> np.ndarray:
    """Score pixels in small batches: float32 (N,)."""
    return np.concatenate([run(batch) for batch in batches_of(pixels)])


def check_difference(run: Run, pixels: np.ndarray, expected: np.ndarray, path: Path, tolerance: float) -> float:
    """Return the largest difference of scores from ``expected``, (N,).

    Raises:
        ValueError: it is above ``tolerance``.
    """
    difference = float(np.abs(scores_of(run, pixels) - expected).max())
    if not difference <= tolerance:
        raise ValueError(
            f'The exported {path.name} differs from PyTorch by {difference:.2g} in its scores, more than '
            f'{tolerance:g}: not kept.'
        )
    return difference
