"""Array helpers shared by all distortions."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

#: Single-precision arithmetic misses whole numbers by less than this on a scale of 0 to 255.
#: Truncation that ignores it would turn a flat white area into 254.
FLOAT32_SLACK = 1e-3

#: The same for double precision. It keeps what a definition means where its own arithmetic would be a toss-up.
FLOAT64_SLACK = 1e-9

_STRIP_PIXELS = 2**16


def truncate(values: np.ndarray, slack: float = 0.0) -> np.ndarray:
    """Turn floats on the scale 0 to 255 into uint8: clipped, then cut off (not rounded).

    Args:
        values: any shape; overwritten.
        slack: added first; :data:`FLOAT32_SLACK` or :data:`FLOAT64_SLACK` where ``values`` went through sums.
    """
    if slack:
        values += values.dtype.type(slack)
    return np.clip(values, 0, 255, out=values).astype(np.uint8)


def channel_means(image: np.ndarray) -> np.ndarray:
    """Return the exact mean of each channel, float64 (C,), on the scale 0 to 255.

    OpenCV sums bytes in whole numbers, so a flat picture has exactly its own value as mean.
    """
    channels = 1 if image.ndim == 2 else image.shape[2]
    return np.array(cv2.sumElems(image))[:channels] / (image.shape[0] * image.shape[1])


def row_strips(height: int, width: int, least: int = 1) -> list[slice]:
    """Cut a picture into strips of rows that fit into a processor's cache (and, at 12 megapixels, into memory).

    Strips have at least ``least`` rows, for filters that also read the rows around them.
    """
    rows = max(_STRIP_PIXELS // width, least, 1)
    return [slice(top, min(top + rows, height)) for top in range(0, height, rows)]


def filter_in_strips(
    image: np.ndarray, reach: tuple[int, int, int, int], function: Callable[[np.ndarray, int], np.ndarray]
) -> np.ndarray:
    """Filter a picture, (H, W) or (H, W, C), strip by strip, its edge pixels repeated outward.

    Args:
        image: the picture.
        reach: how many pixels above, below, left and right of itself a pixel depends on.
        function: from a window (rows + above + below, W + left + right, ...) and the number of rows to the
            filtered (rows, W, ...).
    """
    up, down, left, right = reach
    height, width = image.shape[:2]
    padded = cv2.copyMakeBorder(image, up, down, left, right, cv2.BORDER_REPLICATE)
    out = np.empty(0)
    for rows in row_strips(height, width, least=2 * (up + down)):
        part = function(padded[rows.start : rows.stop + up + down], rows.stop - rows.start)
        if not out.size:
            out = np.empty(image.shape, part.dtype)
        out[rows] = part
    return out


def grey_of(image: np.ndarray) -> np.ndarray:
    """Return float32 grey (H, W), 0 to 255, by the weights 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)."""
    if image.ndim == 2:
        return image.astype(np.float32)
    return cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2GRAY)
