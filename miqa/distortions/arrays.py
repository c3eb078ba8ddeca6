"""Small helpers that all distortions share."""

from __future__ import annotations

import cv2
import numpy as np

#: Single-precision arithmetic misses whole numbers by less than this on a scale of 0 to 255.
#: Truncation that ignores it would turn a flat white area into 254.
FLOAT32_SLACK = 1e-3


def truncate(values: np.ndarray, slack: float = 0.0) -> np.ndarray:
    """Turn floats on the scale 0 to 255 into uint8: clipped, then cut off (not rounded).

    Args:
        values: any shape; overwritten.
        slack: added first; :data:`FLOAT32_SLACK` where ``values`` were computed in single precision.
    """
    if slack:
        values += values.dtype.type(slack)
    return np.clip(values, 0, 255, out=values).astype(np.uint8)


def channel_means(image: np.ndarray) -> np.ndarray:
    """Return the exact mean of each channel, float64 (C,), on the scale 0 to 255.

    The sum is formed in whole numbers, so a flat picture has exactly its own value as mean.
    """
    flat = image.reshape(-1, 1 if image.ndim == 2 else image.shape[2])
    return flat.sum(axis=0, dtype=np.int64) / len(flat)


def pad_like_edge(image: np.ndarray, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """Return the picture with its edge pixels repeated outward by so many pixels."""
    return cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_REPLICATE)


def grey_of(image: np.ndarray) -> np.ndarray:
    """Return float32 grey (H, W), 0 to 255, by the weights 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)."""
    if image.ndim == 2:
        return image.astype(np.float32)
    return cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2GRAY)
