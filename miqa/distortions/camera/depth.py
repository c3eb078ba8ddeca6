"""Depth for pictures whose depth is unknown: the ground rises to a horizon, and things keep their outlines."""

from __future__ import annotations

import cv2
import numpy as np

from .light import enlarge, luminance, reduced, smooth_field

# Shorter side at which depth is drawn.
_SIDE = 96


def draw_depth(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a plausible depth: a plane up to a horizon, uneven by smooth noise, fitted to the outlines of the picture.

    The depth of a ground plane grows with 1 / (distance below the horizon). Outlines come in by a guided filter
    (He, Sun & Tang, "Guided Image Filtering", TPAMI 2013) as in Sakaridis et al., "Semantic Foggy Scene
    Understanding with Synthetic Data", IJCV 2018, who refine measured depth by it. ``light`` is float32 RGB (H, W, 3),
    linear; the result float32 (H, W), 0 for the nearest and 1 for the farthest.
    """
    small = cv2.resize(
        light, reduced(light.shape, max(1.0, min(light.shape[:2]) / _SIDE)), interpolation=cv2.INTER_AREA
    )
    height, width = small.shape[:2]
    horizon, tilt = rng.uniform(0.15, 0.5), rng.uniform(-0.15, 0.15)
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-0.5, 0.5, width, dtype=np.float32)
    below = rows + np.float32(tilt) * columns - np.float32(horizon)
    plane = 1 / (1 + np.maximum(below, 0) * np.float32(rng.uniform(2, 8)))
    depth = 0.65 * plane + 0.35 * smooth_field(small.shape, rng)
    guide = np.sqrt(np.maximum(luminance(small), 0))
    depth = guided_filter(guide, depth.astype(np.float32), max(2, round(min(height, width) / 12)), 1e-2)
    depth -= depth.min()
    depth /= max(float(depth.max()), 1e-6)
    return enlarge(depth, light.shape)


def guided_filter(guide: np.ndarray, values: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Smooth ``values`` within the outlines of ``guide``, both float32 (H, W). Source: He, Sun & Tang, TPAMI 2013.

    ``radius`` is that of the box windows in pixels, ``epsilon`` the variance of the guide below which one counts as
    flat.
    """
    size = (2 * radius + 1, 2 * radius + 1)

    def mean(array: np.ndarray) -> np.ndarray:
        return cv2.blur(array, size, borderType=cv2.BORDER_REFLECT)

    guide_mean = mean(guide)
    variance = np.maximum(mean(guide * guide) - guide_mean**2, 0)
    if values is guide:
        value_mean, covariance = guide_mean, variance
    else:
        value_mean = mean(values)
        covariance = mean(guide * values) - guide_mean * value_mean
    slope = covariance / (variance + np.float32(epsilon))
    return mean(slope) * guide + mean(value_mean - slope * guide_mean)
