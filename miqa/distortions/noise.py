"""Distortions of the sensor: noise, independent for every value."""

from __future__ import annotations

import numpy as np

from .arrays import row_strips, truncate
from .strengths import by_name, log_spaced

#: Twelve sets of parameters of each distortion, weakest first. Source: see :mod:`miqa.distortions.strengths`.
STRENGTHS = {
    # Standard deviation of the noise, on a scale where white is 1.
    'gaussian_noise': by_name(('std',), log_spaced(0.01, 1)),
    # Share of values that turn black or white, half each.
    'impulse_noise': by_name(('amount',), log_spaced(0.0005, 0.5)),
}


def gaussian_noise(image: np.ndarray, rng: np.random.Generator, std: float) -> np.ndarray:
    """Add normal noise of standard deviation ``std`` (white is 1) to every value. Source: ImageNet-C.

    Pictures are uint8, RGB (H, W, 3) or grey (H, W).
    """
    out = np.empty_like(image)
    for rows in row_strips(*image.shape[:2]):
        part = image[rows]
        noise = rng.standard_normal(part.shape, dtype=np.float32)
        noise *= np.float32(std * 255)
        noise += part
        out[rows] = truncate(noise)
    return out


def impulse_noise(image: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Turn a share ``amount`` of all values into 0 or 255, with equal chance. Source: ImageNet-C.

    Channels are struck independently, as in scikit-image's salt-and-pepper noise.
    """
    out = np.empty_like(image)
    for rows in row_strips(*image.shape[:2]):
        part = image[rows]
        draw = rng.random(part.shape, dtype=np.float32)
        # 255 where struck at all, then 0 in the lower half of those, without branches.
        struck = np.bitwise_or(part, (draw < amount).view(np.uint8) * np.uint8(255))
        out[rows] = struck * (draw >= amount / 2)
    return out
