"""The one resize of a sample."""

from __future__ import annotations

import numpy as np
from PIL import Image

from miqa.registry import TRANSFORMS


def resized_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Return (width, height) after the shorter side became ``short_side``; the longer one is rounded down.

    As torchvision's ``Resize(short_side)``.
    """
    if width <= height:
        return short_side, int(short_side * height / width)
    return int(short_side * width / height), short_side


@TRANSFORMS.register_module()
class ResizeShortSide:
    """Resize ``picture`` so that its shorter side has ``size`` pixels, with Pillow's antialiased bilinear filter.

    The pixels are those of torchvision's ``Resize(size)`` on PIL images. A packed picture is already resized.

    Args:
        size: pixels of the shorter side.
    """

    def __init__(self, size: int = 288):
        if size < 1:
            raise ValueError(f'size must be a positive number of pixels, not {size}.')
        self.size = size

    def resize(self, picture: np.ndarray) -> np.ndarray:
        """Return ``picture``, uint8 (H, W, 3), resized."""
        height, width = picture.shape[:2]
        size = resized_size(width, height, self.size)
        if size == (width, height):
            return picture
        return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))

    def __call__(self, results: dict) -> dict:
        """Resize ``picture``; leave ``resize``, the function, for a view of the picture before augmentation."""
        if 'packed' in results:
            side = min(results['picture'].shape[:2])
            if side != self.size:
                raise ValueError(
                    f'The packed pictures have a short side of {side} pixels; the pipeline asks for {self.size}.'
                )
        else:
            results['picture'] = self.resize(results['picture'])
            results['resize'] = self.resize
        return results
