"""Two levels of a distortion in one picture: one in the foreground, one in the background."""

from __future__ import annotations

import cv2
import numpy as np

# Rows blended at a time; double precision of a whole 12-megapixel picture would need a gigabyte.
_STRIP_ROWS = 128


def soft_mask(mask: np.ndarray) -> np.ndarray:
    """Turn a foreground mask, (H, W), bool or uint8 of 0 and 255, into blending weights, float64 (H, W), 0 to 1.

    The mask is blurred by a 65 x 65 Gaussian in 8 bits (OpenCV derives sigma 10.1 from the size) and divided by
    255; what is left of the mask after eroding it twice by 3 x 3 weighs 1.
    Source: the released generator of MIQD-2.5M, ``create_smooth_mask`` with radius 32.
    """
    if mask.ndim != 2 or mask.dtype not in (bool, np.uint8):
        raise ValueError(f'A mask has to be bool or uint8 (H, W), not {mask.dtype} {mask.shape}.')
    if mask.dtype == bool:
        mask = mask.astype(np.uint8) * 255
    weights = cv2.GaussianBlur(mask, (65, 65), 0) / 255.0
    weights[cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=2) > 0] = 1.0
    return weights


def fuse(foreground: np.ndarray, background: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Blend two pictures: foreground * weights + background * (1 - weights), truncated to uint8.

    Both are uint8 of one shape, RGB (H, W, 3) or grey (H, W), as is the result; ``weights`` are those of
    :func:`soft_mask`. Where the weight lies between 0.05 and 0.95, half of the result is replaced by its own 3 x 3
    Gaussian (mirrored edges). Source: the released generator of MIQD-2.5M, ``create_fused_image``.
    """
    if foreground.shape != background.shape or foreground.shape[:2] != weights.shape:
        raise ValueError(
            f'Foreground {foreground.shape}, background {background.shape} and weights {weights.shape} '
            f'have to be of one height and width.'
        )
    height = len(weights)
    out = np.empty_like(foreground)
    for top in range(0, height, _STRIP_ROWS):
        bottom = min(top + _STRIP_ROWS, height)
        # One more row on either side for the Gaussian; at the picture's edge OpenCV mirrors.
        first, last = max(0, top - 1), min(height, bottom + 1)
        strip = weights[first:last]
        if not strip.any() or (strip == 1).all():
            out[top:bottom] = (foreground if strip.any() else background)[top:bottom]
            continue
        share = strip if foreground.ndim == 2 else strip[:, :, None]
        blend = foreground[first:last] * share + background[first:last] * (1 - share)
        edge = (strip > 0.05) & (strip < 0.95)
        if edge.any():
            smooth = cv2.addWeighted(blend, 0.5, cv2.GaussianBlur(blend, (3, 3), 0), 0.5, 0)
            blend[edge] = smooth[edge]
        out[top:bottom] = blend[top - first : top - first + bottom - top].astype(np.uint8)
    return out


def random_ellipse(
    height: int, width: int, rng: np.random.Generator, least: float = 0.15, most: float = 0.4
) -> np.ndarray:
    """Draw a foreground mask for a picture that comes without one: uint8 (H, W), 255 in an ellipse near the middle.

    Its semi-axes are ``least`` to ``most`` as shares of the sides.
    """
    mask = np.zeros((height, width), np.uint8)
    centre = (int(rng.uniform(0.3, 0.7) * width), int(rng.uniform(0.3, 0.7) * height))
    axes = (max(1, int(rng.uniform(least, most) * width)), max(1, int(rng.uniform(least, most) * height)))
    return cv2.ellipse(mask, centre, axes, rng.uniform(0, 180), 0, 360, 255, -1)
