"""The interface of measures without training."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np


class PictureMeasure(ABC):
    """A measure of images without training, perhaps against their clean source.

    Attributes:
        name: as in the paper's tables.
        version: the software behind it; part of the cache's key.
        higher_is_better: direction of the raw values.
        needs_reference: whether it compares with the clean source.
    """

    name: str
    version: str
    higher_is_better = True
    needs_reference = True

    @abstractmethod
    def measure(self, images: list[np.ndarray], reference: np.ndarray | None) -> np.ndarray:
        """Return raw values, float64 (N,), of uint8 RGB images (H, W, 3) that share one source and size."""


def required_reference(reference: np.ndarray | None, name: str) -> np.ndarray:
    """Return the clean source of a measure that compares with it; a ValueError says that it is missing."""
    if reference is None:
        raise ValueError(f'{name} compares pictures with their clean source, which is not given.')
    return reference
