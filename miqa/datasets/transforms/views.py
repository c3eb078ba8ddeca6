"""The last transform: crop the views from the resized picture."""

from __future__ import annotations

import numpy as np
import torch

from miqa.pictures.resizing import central_corner, cut_planes
from miqa.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackViews:
    """Cut uint8 tensors (3, size, size), RGB, out of ``picture`` and put them into ``inputs`` by view.

    - ``image``: with ``random`` a random crop of the whole resized picture, else its centre.
    - ``region``: always the centre, of the picture before augmentation.

    Without ``random``, a pipeline with both views packs ``region`` only: the centre of that tensor is ``image``,
    bit for bit, and the data preprocessor cuts it out.

    Args:
        image: pixels of the view ``image``, or None.
        region: pixels of the view ``region``, or None.
        random: crop ``image`` at random, for training.

    Raises:
        ValueError: there is no view; or the sizes are such that the centre of ``region`` is not that of the picture.
    """

    def __init__(self, image: int | None = 224, region: int | None = None, random: bool = False):
        if image is None and region is None:
            raise ValueError("PackViews needs at least one view: give 'image', 'region' or both.")
        if image and region and not random and (region < image or (region - image) % 4):
            raise ValueError(
                f'The view image ({image}) is cut from the centre of region ({region}), which must be larger by a '
                'multiple of 4 pixels.'
            )
        self.image, self.region, self.random = image, region, random

    def __call__(self, results: dict) -> dict:
        """Return the results with ``inputs``, a dict of tensors."""
        picture, inputs = results['picture'], {}
        if self.image and (self.random or not self.region):
            if self.random:
                top, left = _random_corner(picture, self.image, results)
            else:
                top, left = _central_corner(picture, self.image, results)
            inputs['image'] = _cut(picture, top, left, self.image)
        if self.region:
            plain = results.get('plain')
            if plain is not None:
                picture = results['resize'](plain) if 'resize' in results else plain
            inputs['region'] = _cut(picture, *_central_corner(picture, self.region, results), self.region)
        results['inputs'] = inputs
        return results


def _central_corner(picture: np.ndarray, size: int, results: dict) -> tuple[int, int]:
    return central_corner(*_checked(picture, size, results), size)


def _random_corner(picture: np.ndarray, size: int, results: dict) -> tuple[int, int]:
    height, width = _checked(picture, size, results)
    top, left = results['rng'].integers(0, [height - size + 1, width - size + 1])
    return int(top), int(left)


def _checked(picture: np.ndarray, size: int, results: dict) -> tuple[int, int]:
    height, width = picture.shape[:2]
    if min(height, width) < size:
        raise ValueError(
            f'A view of {size} pixels does not fit into the picture of {width} x {height} from {results["path"]}: put '
            'ResizeShortSide with at least that size before PackViews.'
        )
    return height, width


def _cut(picture: np.ndarray, top: int, left: int, size: int) -> torch.Tensor:
    return torch.from_numpy(cut_planes(picture, top, left, size))
