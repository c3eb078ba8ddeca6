"""Interpretations of four numbers as a box, and which of them fits all boxes of a set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

#: Ways of writing, in words.
CORNER, CORNERS, MIDDLE = (
    'left, top, width, height', 'left, top, right, bottom', 'x and y of the middle, width, height',
)  # fmt: skip
#: Way -> from four arrays to left, top, right and bottom.
_EDGES: dict[str, Callable] = {
    CORNER: lambda a, b, c, d: (a, b, a + c, b + d),
    CORNERS: lambda a, b, c, d: (a, b, c, d),
    MIDDLE: lambda a, b, c, d: (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
}


def other_reading(
    boxes: Sequence[Sequence[float]], sizes: Sequence[tuple[float, float]], stated: str, slack: float = 1.0
) -> str | None:
    """Return the way of writing in which all boxes lie in their pictures, where in the stated way at least two do not.

    Args:
        boxes: four numbers each.
        sizes: width and height of the picture of each.
        stated: :data:`CORNER`, :data:`CORNERS` or :data:`MIDDLE`.
        slack: how far edges may lie outside.
    """
    if not len(boxes):
        return None
    numbers, (width, height) = np.asarray(boxes, np.float64).T, np.asarray(sizes, np.float64).T
    strange = {way: _strange(edges(*numbers), width, height, slack) for way, edges in _EDGES.items()}
    return next((way for way, count in strange.items() if not count), None) if strange[stated] > 1 else None


def _strange(edges: Sequence[np.ndarray], width: np.ndarray, height: np.ndarray, slack: float) -> int:
    left, top, right, bottom = edges
    inside = (left >= -slack) & (top >= -slack) & (right <= width + slack) & (bottom <= height + slack)
    return int((~(inside & (right >= left) & (bottom >= top))).sum())


def written_as_corners(boxes: Sequence[Sequence[float]], areas: Sequence[float]) -> bool:
    """Return True if areas given beside at least two boxes are those of :data:`CORNERS`, not of width and height."""
    if len(boxes) < 2:
        return False
    left, top, third, fourth = np.asarray(boxes, np.float64).T
    stated, corners = third * fourth, (third - left) * (fourth - top)
    return bool(np.allclose(corners, areas, rtol=0.01) and not np.isclose(stated, areas, rtol=0.01).any())
