"""Distortions of the sensor: noise, independent for every value."""

from __future__ import annotations

import numpy as np

from .arrays import truncate


def gaussian_noise(image: np.ndarray, rng: np.random.Generator, std: float) -> np.ndarray:
    """Add normal noise of standard deviation ``std`` (white is 1) to every value. Source: ImageNet-C.

    Args:
        image: uint8 RGB (H, W, 3) or grey (H, W).
        rng: where the noise comes from.
        std: standard deviation on the scale 0 to 1.
    """
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noise *= np.float32(std * 255)
    noise += image
    return truncate(noise)


def impulse_noise(image: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Turn a share ``amount`` of all values into 0 or 255, with equal chance. Source: ImageNet-C.

    Channels are struck independently, as in scikit-image's salt-and-pepper noise.
    """
    draw = rng.random(image.shape, dtype=np.float32)
    out = image.copy()
    out[draw < amount] = 255
    out[draw < amount / 2] = 0
    return out
