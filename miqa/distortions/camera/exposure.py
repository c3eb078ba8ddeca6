"""How much light: too little, too much, or in bands where lamps flicker."""

from __future__ import annotations

import numpy as np

STAGE = 'exposure'

STRENGTHS = {
    'underexposure': [{'stops': 1.58}, {'stops': 3.47}, {'stops': 4.41}, {'stops': 5.06}, {'stops': 6.0}],
    'overexposure': [{'stops': 0.794}, {'stops': 1.92}, {'stops': 2.28}, {'stops': 2.64}, {'stops': 3.0}],
    'rolling_bands': [{'depth': 0.57}, {'depth': 0.91}, {'depth': 0.96}, {'depth': 0.98}, {'depth': 1.0}],
}


def underexposure(light: np.ndarray, rng: np.random.Generator, stops: float) -> np.ndarray:
    """Expose by ``stops`` too little, 0 to 6; each halves the light. The camera's black level swallows the rest."""
    out = light * np.float32(2.0**-stops)
    out -= np.float32(rng.uniform(0, 0.001))
    return np.maximum(out, 0, out=out)


def overexposure(light: np.ndarray, rng: np.random.Generator, stops: float) -> np.ndarray:
    """Expose by some stops too much, 0 to 3; each doubles the light, and what is beyond white is clipped.

    Args:
        light: float32 RGB (H, W, 3), linear.
        rng: not used.
        stops: of exposure that are too many.
    """
    return np.minimum(light * np.float32(2.0**stops), 1)


def rolling_bands(light: np.ndarray, rng: np.random.Generator, depth: float) -> np.ndarray:
    """Read rows one after the other under a lamp that flickers: dark bands across the picture.

    A lamp on alternating current follows a sine, a dimmed LED switches. Source: Sheinin, Schechner & Kutulakos,
    "Computational Imaging on the Electric Grid", CVPR 2017. ``depth``, 0 to 1, is the share of the light that is
    missing in the middle of a band.
    """
    rows = np.linspace(0, 1, light.shape[0], dtype=np.float32)
    wave = np.sin(rows * np.float32(2 * np.pi * rng.uniform(1.5, 9)) + np.float32(rng.uniform(0, 2 * np.pi)))
    hardness = np.float32(rng.uniform(0.5, 6))
    wave = np.tanh(hardness * wave) / np.tanh(hardness)
    lost = np.float32(depth) * (np.float32(0.5) + np.float32(0.5) * wave)
    colour = 1 - np.array([0, rng.uniform(0, 0.1), rng.uniform(0, 0.25)], np.float32)
    return light * (1 - lost[:, None, None] * colour)
