"""Optics out of focus: a disc instead of every point, everywhere or by depth."""

from __future__ import annotations

import numpy as np

from .depth import draw_depth
from .light import disc, spread, unit_of

STAGE = 'optics'

STRENGTHS = {
    'out_of_focus': [{'radius': 0.79}, {'radius': 1.6}, {'radius': 2.8}, {'radius': 4.2}, {'radius': 6.5}],
    'depth_of_field': [{'radius': 1.4}, {'radius': 3.0}, {'radius': 6.0}, {'radius': 10.0}, {'radius': 21.0}],
}

# Depth of field is put together from this many pictures, evenly out of focus.
_STEPS = 3


def out_of_focus(light: np.ndarray, rng: np.random.Generator, radius: float) -> np.ndarray:
    """Spread every point of light over a disc. Source: geometric optics; Potmesil & Chakravarty, SIGGRAPH 1981.

    Args:
        light: float32 RGB (H, W, 3), linear.
        rng: not used.
        radius: of the disc, in 1/256 of the shorter side.
    """
    return spread(light, radius * unit_of(light), disc)


def depth_of_field(
    light: np.ndarray, rng: np.random.Generator, radius: float, depth: np.ndarray | None = None
) -> np.ndarray:
    """Focus on one depth: the disc grows with the distance from it. Source: Potmesil & Chakravarty, SIGGRAPH 1981.

    ``radius`` is that of the disc at the other end of the depth, in 1/256 of the shorter side; ``depth``, float32 (H,
    W), 0 near to 1 far, is drawn where it is None.
    """
    depth = draw_depth(light, rng) if depth is None else depth
    place = np.abs(depth - np.float32(rng.choice([0.0, 0.3, 1.0]))) * np.float32(_STEPS - 1)
    out = light * np.maximum(0, 1 - place)[:, :, None]
    for step in range(1, _STEPS):
        weight = np.maximum(0, 1 - np.abs(place - step))
        if weight.any():
            out += spread(light, radius * unit_of(light) * step / (_STEPS - 1), disc) * weight[:, :, None]
    return out
