"""The one resize of a sample."""

from __future__ import annotations

import os

import numpy as np

from miqa.registry import TRANSFORMS
from miqa.utils.resizing import resize_short_side, resized_size

__all__ = ['ResizeShortSide', 'resized_size']


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
        return resize_short_side(picture, self.size)

    def check_packed(self, short_side: int, folder: str | os.PathLike = 'FOLDER') -> None:
        """Raise a ValueError if pictures packed with ``short_side`` cannot be used in place of resized ones."""
        if short_side != self.size:
            raise ValueError(
                f'The packed pictures ({folder}) have a short side of {short_side} pixels, but the config resizes to '
                f'{self.size}. Pack them for it with tools/data/pack.py --short-side {self.size}, or leave '
                'train_dataloader.dataset.packed out.'
            )

    def __call__(self, results: dict) -> dict:
        """Resize ``picture``; leave ``resize``, the function, for a view of the picture before augmentation."""
        if 'packed' in results:
            self.check_packed(min(results['picture'].shape[:2]))
        else:
            results['picture'] = self.resize(results['picture'])
            results['resize'] = self.resize
        return results
