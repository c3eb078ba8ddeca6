"""What kind of numbers a network gives."""

from __future__ import annotations

import numpy as np

_SLACK = 1e-3  # Scores and shares may leave [0, 1] by rounding


def is_share(values: np.ndarray) -> bool:
    """Return True if all values lie in [0, 1] but for rounding."""
    return not values.size or bool(values.min() >= -_SLACK and values.max() <= 1 + _SLACK)


def is_whole(values: np.ndarray) -> bool:
    """Return True if all values are whole numbers."""
    return bool(np.issubdtype(values.dtype, np.integer) or (np.rint(values) == values).all())
