"""Light that goes astray in the lens: flare of a lamp, and a veil over everything."""

from __future__ import annotations

import cv2
import numpy as np

from .light import enlarge, reduced

STAGE = 'optics'

STRENGTHS = {
    'lens_flare': [{'power': 0.15}, {'power': 0.79}, {'power': 1.9}, {'power': 3.2}, {'power': 7.0}],
    'veiling_glare': [{'share': 0.13}, {'share': 0.41}, {'share': 0.62}, {'share': 0.77}, {'share': 0.84}],
}

# Flare is smooth: its shorter side has this many pixels.
_SIDE = 160


def lens_flare(light: np.ndarray, rng: np.random.Generator, power: float) -> np.ndarray:
    """Point the camera at a lamp: a halo, streaks from the diaphragm, and ghosts on the line through the centre.

    Source: Wu et al., "How to Train Neural Networks for Flare Removal", ICCV 2021: scattering and reflective flare,
    added in linear light. ``power`` is the brightness of the halo at the lamp, relative to white.
    """
    size = reduced(light.shape, max(1.0, min(light.shape[:2]) / _SIDE))
    side = min(size)
    lamp = rng.uniform(-0.1, 1.1, 2) * size
    rows = np.arange(size[1], dtype=np.float32)[:, None]
    columns = np.arange(size[0], dtype=np.float32)
    x, y = (columns - np.float32(lamp[0])) / side, (rows - np.float32(lamp[1])) / side
    away = np.sqrt(x**2 + y**2) + np.float32(1e-3)
    angle = np.arctan2(y, x)
    halo = np.exp(-away / np.float32(rng.uniform(0.06, 0.15))) + np.float32(0.35) / (1 + (away * 4) ** 2)
    blades, turn = int(rng.integers(3, 9)), rng.uniform(0, np.pi)
    streak = np.abs(np.cos(angle * np.float32(blades / 2) + np.float32(turn))) ** np.float32(rng.uniform(30, 120))
    halo += np.float32(rng.uniform(0.2, 0.9)) * streak * np.exp(-away * np.float32(rng.uniform(1.5, 5)))
    warm = np.array([1, rng.uniform(0.8, 1), rng.uniform(0.6, 1)], np.float32)
    flare = halo[:, :, None] * warm
    centre = np.array(size) / 2
    for _ in range(int(rng.integers(2, 8))):
        place = centre + (centre - lamp) * rng.uniform(-0.6, 1.4)
        radius = side * rng.uniform(0.03, 0.15)
        distance = np.sqrt((columns - np.float32(place[0])) ** 2 + (rows - np.float32(place[1])) ** 2)
        ghost = np.clip((np.float32(radius) - distance) / np.float32(0.15 * radius), 0, 1)
        flare += ghost[:, :, None] * rng.uniform(0.02, 0.12, 3).astype(np.float32)
    flare *= np.float32(power)
    return light + enlarge(cv2.GaussianBlur(flare, (0, 0), 1), light.shape)


def veiling_glare(light: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """Scatter a ``share`` (0 to 1) of all light over the whole picture, and let light from outside of it in.

    The veil is that of ISO 9358 (veiling glare index): far wider than any detail. Source: Talvala et al., "Veiling
    Glare in High Dynamic Range Imaging", SIGGRAPH 2007.
    """
    small = cv2.resize(light, (16, 16), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 4, borderType=cv2.BORDER_REFLECT)
    angle = rng.uniform(0, 2 * np.pi)
    line = np.linspace(-1, 1, 16, dtype=np.float32)
    side = 1 + np.float32(0.35) * (np.float32(np.cos(angle)) * line + np.float32(np.sin(angle)) * line[:, None])
    stray = side[:, :, None] * rng.uniform(0.45, 0.75) * rng.uniform(0.9, 1, 3)
    veil = 0.4 * small + 0.6 * stray.astype(np.float32)
    return light * np.float32(1 - share) + enlarge(veil, light.shape) * np.float32(share)
