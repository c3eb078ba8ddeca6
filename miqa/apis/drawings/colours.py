"""The colour of a score."""

from __future__ import annotations

import numpy as np

#: ColorBrewer's diverging scale RdYlGn of eleven colours (colorbrewer2.org, Apache-2.0), red to green, RGB.
_RED_TO_GREEN = np.array(
    [
        (165, 0, 38), (215, 48, 39), (244, 109, 67), (253, 174, 97), (254, 224, 139), (255, 255, 191),
        (217, 239, 139), (166, 217, 106), (102, 189, 99), (26, 152, 80), (0, 104, 55),
    ],
    dtype=float,
)  # fmt: skip


def score_color(score: float) -> tuple[int, int, int]:
    """Return a colour for a score, BGR: red at 0 and below, yellow at 0.5, green at 1 and above."""
    places = np.linspace(0, 1, len(_RED_TO_GREEN))
    channels = [np.interp(np.clip(score, 0, 1), places, channel) for channel in _RED_TO_GREEN.T[::-1]]
    # The ends of the scale are dark; on a dark panel they need some light.
    blue, green, red = (round(255 * 0.15 + 0.85 * channel) for channel in channels)
    return blue, green, red
