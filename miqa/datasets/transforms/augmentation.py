"""Optional geometric augmentation of the view ``image``, before the resize as in the paper. Off by default.

The view ``region`` has no randomness: it is cut from the picture as it was before, which is kept in ``plain``.
"""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from miqa.registry import TRANSFORMS


def _probability(value: float, name: str) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f'{name} is a probability between 0 and 1, not {value}.')
    return value


@TRANSFORMS.register_module()
class RandomFlip:
    """Mirror ``picture`` left to right and top to bottom, each by chance.

    A flip and Pillow's bilinear resize give the same pixels in either order, so packed pictures may be flipped too.
    """

    def __init__(self, horizontal: float = 0.5, vertical: float = 0.5):
        self.horizontal = _probability(horizontal, 'horizontal')
        self.vertical = _probability(vertical, 'vertical')

    def __call__(self, results: dict) -> dict:
        """Flip ``picture``; two random numbers are drawn whatever comes of them."""
        across, down = results['rng'].random(2)
        picture = results['picture']
        if across < self.horizontal:
            picture = picture[:, ::-1]
        if down < self.vertical:
            picture = picture[::-1]
        if picture is not results['picture']:
            results.setdefault('plain', results['picture'])
            results['picture'] = np.ascontiguousarray(picture)
        return results


@TRANSFORMS.register_module()
class RandomRotation:
    """Rotate ``picture`` by an angle drawn evenly from ``[-degrees, degrees]``.

    As torchvision's ``RandomRotation`` on PIL images: about the centre, nearest neighbour, same size, black corners.
    """

    def __init__(self, degrees: float = 15):
        if not 0 <= degrees <= 180:
            raise ValueError(f'degrees must be between 0 and 180, not {degrees}.')
        self.degrees = degrees

    def check_packed(
        self, short_side: int, folder: str | os.PathLike = 'FOLDER', interpolation: str = 'bilinear'
    ) -> None:
        """Raise a ValueError: packed pictures of any size cannot be used."""
        raise ValueError(
            f'RandomRotation turns the original picture, but packed pictures ({folder}) are already resized: leave out '
            'one of the two.'
        )

    def __call__(self, results: dict) -> dict:
        """Rotate ``picture``."""
        if 'packed' in results:
            self.check_packed(0)
        angle = results['rng'].uniform(-self.degrees, self.degrees)
        results.setdefault('plain', results['picture'])
        rotated = Image.fromarray(results['picture']).rotate(angle, Image.Resampling.NEAREST, fillcolor=(0, 0, 0))
        results['picture'] = np.asarray(rotated)
        return results
