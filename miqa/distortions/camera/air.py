"""The air between scene and camera: haze, rain, and snow in front of a flash."""

from __future__ import annotations

import cv2
import numpy as np

from .depth import draw_depth
from .light import enlarge, luminance, reduced, smooth_field, unit_of

STAGE = 'air'

STRENGTHS = {
    'haze': [{'density': 0.15}, {'density': 0.68}, {'density': 1.3}, {'density': 2.1}, {'density': 3.0}],
    'rain_streaks': [{'amount': 0.086}, {'amount': 0.24}, {'amount': 0.4}, {'amount': 0.85}, {'amount': 1.6}],
    'snow_flash': [{'amount': 0.02}, {'amount': 0.076}, {'amount': 0.15}, {'amount': 0.28}, {'amount': 0.49}],
}


def haze(light: np.ndarray, rng: np.random.Generator, density: float, depth: np.ndarray | None = None) -> np.ndarray:
    """Veil what is far: ``light * t + air * (1 - t)`` with ``t = exp(-density * depth)``.

    Source: Koschmieder 1924; Narasimhan & Nayar, "Vision and the Atmosphere", IJCV 2002. The air is drawn, whitish;
    the haze is uneven by up to a third. ``depth``, float32 (H, W), 0 near to 1 far, is drawn where it is None.
    """
    depth = draw_depth(light, rng) if depth is None else depth
    air = np.float32(rng.uniform(0.55, 0.95)) * (1 - np.array([0.12, 0.05, 0], np.float32) * np.float32(rng.random()))
    # Even the nearest point of a scene is some way from the camera.
    distance = (0.25 + 0.75 * depth) * (1 - np.float32(1 / 3) * smooth_field(light.shape, rng))
    clear = np.exp(-np.float32(density) * distance)[:, :, None]
    return light * clear + air * (1 - clear)


def rain_streaks(light: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Draw falling drops as bright streaks in three layers of distance, and the veil of those too far to be seen.

    A drop refracts the light of a wide field, so that a streak is nearly as bright as the brightest of the scene,
    and a moving one is blended with what it passes. Source: Garg & Nayar, "Vision and Rain", IJCV 2007. ``amount``,
    the number of streaks and the density of the veil, is relative to a steady rain.
    """
    height, width = light.shape[:2]
    unit, slant = unit_of(light), rng.uniform(-0.35, 0.35)
    layer = np.zeros((height, width), np.uint8)
    for far in (1.0, 0.5, 0.25):
        count = int(rng.poisson(220 * far * amount * height * width / min(height, width) ** 2))
        length = 60 * unit * (1.2 - far) * rng.uniform(0.7, 1.3, count)
        tops = rng.random((count, 2)) * (width * 1.4, height * 1.2) - (width * 0.2, height * 0.1)
        ends = tops + length[:, None] * np.array([slant, 1]) + rng.normal(0, unit, (count, 2))
        lines = np.round(np.stack([tops, ends], 1) * 16).astype(np.int32)
        drawn = np.zeros_like(layer)
        thick = max(1, round(unit * 1.6 * (1.2 - far)))
        cv2.polylines(drawn, list(lines), False, int(110 + 110 * (1 - far)), thick, cv2.LINE_AA, 4)
        layer = np.maximum(layer, drawn)
    share = cv2.GaussianBlur(layer, (3, 3), 0).astype(np.float32)[:, :, None]
    share *= np.float32(rng.uniform(0.6, 0.9) / 255)
    bright = np.float32(max(0.25, float(np.percentile(luminance(light[::4, ::4]), 90))) * rng.uniform(0.9, 1.2))
    veil = np.float32(1 - np.exp(-0.12 * amount))
    light = light * (1 - veil) + veil * bright * np.float32(0.7)
    return light + share * (bright - light)


def snow_flash(light: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Put flakes in front of a flash: the near ones are large, out of focus, and bright by the square of nearness.

    The flash lights what is near and leaves the rest darker. Source: backscatter of near-axis lighting, Jaffe,
    "Computer Modeling and the Design of Optimal Underwater Imaging Systems", IEEE J. Oceanic Eng. 1990. ``amount`` is
    the number of flakes relative to a snowfall of 250 in a square picture.
    """
    depth = draw_depth(light, rng)
    height, width = light.shape[:2]
    # Discs are smooth: they are drawn at a quarter of the unit at most.
    small = reduced(light.shape, max(1.0, unit_of(light)))
    unit = min(small) / 256
    flakes = np.zeros((small[1], small[0]), np.float32)
    count = int(rng.poisson(250 * amount * height * width / min(height, width) ** 2))
    distance = rng.uniform(0.08, 1, count) ** 0.5
    places = rng.random((count, 2)) * small
    for near, (x, y) in zip(1 / distance, places, strict=True):
        radius = unit * 2.2 * near**1.5 * rng.uniform(0.6, 1.4)
        reach = int(radius + 2)
        left, top = max(0, int(x) - reach), max(0, int(y) - reach)
        part = flakes[top : int(y) + reach + 1, left : int(x) + reach + 1]
        if part.size:
            rows = np.arange(top, top + part.shape[0], dtype=np.float32)[:, None] - np.float32(y)
            columns = np.arange(left, left + part.shape[1], dtype=np.float32) - np.float32(x)
            edge = np.clip(np.float32(radius + 0.5) - np.sqrt(rows**2 + columns**2), 0, 1)
            part += edge * np.float32(min(1.2, 0.35 * near * rng.uniform(0.5, 1.5)))
    lit = np.float32(1 - 0.5 * min(1.0, 0.3 * amount)) + np.float32(0.2) * (np.float32(0.5) - depth)
    return light * lit[:, :, None] + enlarge(flakes, light.shape)[:, :, None] * np.array([0.95, 0.97, 1], np.float32)
