"""Resizing and cropping of arrays."""

from __future__ import annotations

import numpy as np
from PIL import Image

#: How pictures can be resized, by Pillow's filters, antialiased. The paper's models take the first; classifiers are
#: mostly trained on the second.
INTERPOLATIONS = {'bilinear': Image.Resampling.BILINEAR, 'bicubic': Image.Resampling.BICUBIC}


def resized_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Return (width, height) after the shorter side became ``short_side``; the longer one is rounded down.

    As torchvision's ``Resize(short_side)``.
    """
    if width <= height:
        return short_side, int(short_side * height / width)
    return int(short_side * width / height), short_side


def resize_short_side(picture: np.ndarray, short_side: int, interpolation: str = 'bilinear') -> np.ndarray:
    """Return ``picture``, uint8 (H, W, 3), resized by one of Pillow's antialiased filters (:data:`INTERPOLATIONS`).

    The pixels are those of torchvision's ``Resize(short_side, interpolation)`` on PIL images.
    """
    height, width = picture.shape[:2]
    return resize_rgb(picture, resized_size(width, height, short_side), interpolation=interpolation)


def resize_rgb(
    picture: Image.Image | np.ndarray,
    size: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
    interpolation: str = 'bilinear',
) -> np.ndarray:
    """Resize RGB, Pillow's or uint8 (H, W, 3), to (width, height) by an antialiased Pillow filter: uint8 (h, w, 3).

    An array of that size is returned unchanged. ``box`` is the part of a Pillow picture to take: left, top, right,
    bottom; ``interpolation`` one of :data:`INTERPOLATIONS`.
    """
    if isinstance(picture, np.ndarray):
        if picture.shape[1::-1] == tuple(size):
            return picture
        picture = Image.fromarray(picture)
    if box is None and picture.size == tuple(size):
        return np.array(picture)
    return np.asarray(picture.resize(size, INTERPOLATIONS[interpolation], box=box))


def central_corner(height: int, width: int, size: int) -> tuple[int, int]:
    """Return top and left of the central square of ``size`` pixels.

    Python rounds halves to even, as torchvision's ``CenterCrop`` does.
    """
    return round((height - size) / 2), round((width - size) / 2)


def cut_planes(picture: np.ndarray, top: int, left: int, size: int) -> np.ndarray:
    """Cut a square out of ``picture``, uint8 (H, W, 3), as planes (3, size, size) of their own memory."""
    part = picture[top : top + size, left : left + size]
    if part.strides[2] != 1:
        # Packed pictures are stored as planes already.
        return np.ascontiguousarray(part.transpose(2, 0, 1))
    planes = np.empty((3, size, size), dtype=np.uint8)
    for channel in range(3):  # faster than one transposing copy
        planes[channel] = part[:, :, channel]
    return planes
