"""The resize of a sample."""

from __future__ import annotations

import os

import numpy as np

from miqa.pictures.resizing import INTERPOLATIONS, resize_short_side, resized_size
from miqa.registry import TRANSFORMS
from miqa.taxonomy import check_choice

__all__ = ['ResizeShortSide', 'resized_size']


@TRANSFORMS.register_module()
class ResizeShortSide:
    """Resize ``picture`` so that its shorter side has ``size`` pixels, with one of Pillow's antialiased filters.

    The pixels are those of torchvision's ``Resize(size, interpolation)`` on PIL images. A packed picture is already
    resized.

    Args:
        size: pixels of the shorter side.
        interpolation: one of :data:`miqa.pictures.resizing.INTERPOLATIONS`.

    Raises:
        ValueError: the size is not positive, or there is no such interpolation.
    """

    def __init__(self, size: int = 288, interpolation: str = 'bilinear'):
        if size < 1:
            raise ValueError(f'size must be a positive number of pixels, not {size}.')
        self.size, self.interpolation = size, check_choice(interpolation, INTERPOLATIONS, 'interpolation')

    def settings(self) -> dict:
        """Return what the pixels depend on, JSON-ready."""
        return {'size': int(self.size), 'interpolation': self.interpolation}

    def resize(self, picture: np.ndarray) -> np.ndarray:
        """Return ``picture``, uint8 (H, W, 3), resized."""
        return resize_short_side(picture, self.size, self.interpolation)

    def check_packed(
        self, short_side: int, folder: str | os.PathLike = 'FOLDER', interpolation: str = 'bilinear'
    ) -> None:
        """Raise a ValueError if pictures packed like this cannot be used instead of resized ones."""
        if (short_side, interpolation) != (self.size, self.interpolation):
            raise ValueError(
                f'The packed pictures ({folder}) have a short side of {short_side} pixels ({interpolation}), but the '
                f'config resizes to {self.size} ({self.interpolation}). Pack them again with tools/data/pack.py '
                f'--short-side {self.size} --interpolation {self.interpolation}, or leave out '
                'train_dataloader.dataset.packed.'
            )

    def __call__(self, results: dict) -> dict:
        """Resize ``picture``; leave ``resize``, the function, for a view of the picture before augmentation."""
        if 'packed' in results:
            # How it was resized is compared once, when the dataset is made.
            self.check_packed(min(results['picture'].shape[:2]), interpolation=self.interpolation)
        else:
            results['picture'] = self.resize(results['picture'])
            results['resize'] = self.resize
        return results
