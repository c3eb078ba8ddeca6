"""Frost on a window pane, grown by a procedure: no third-party pictures."""

from __future__ import annotations

import numpy as np

from .arrays import FLOAT32_SLACK, truncate
from .plasma import plasma


def frost(
    image: np.ndarray, rng: np.random.Generator, image_weight: float, frost_weight: float, kind: int
) -> np.ndarray:
    """Dim the picture and add frost: image_weight * x + frost_weight * frost, truncated.

    Source of the formula: ImageNet-C, ``frost``.
    """
    height, width = image.shape[:2]
    layer = plasma(height, width, 1.5, rng) * np.float32(255 * frost_weight)
    out = image * np.float32(image_weight)
    out += layer if image.ndim == 2 else layer[:, :, None]
    return truncate(out, FLOAT32_SLACK)
