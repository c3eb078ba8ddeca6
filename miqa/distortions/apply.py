"""One function for all distortions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .camera.chain import run_chain
from .registry import distortion


def distort(image: np.ndarray, name: str, params: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    """Apply one distortion to one picture.

    Example: ``distort(image, 'motion_blur', {'radius': 15, 'sigma': 5}, generator_for(seed, image_id))``.

    Args:
        image: uint8, RGB (H, W, 3) or grey (H, W), 0 to 255, at least 1 x 1.
        name: one of :data:`~miqa.taxonomy.ALL_DISTORTIONS`.
        params: by name; :func:`~miqa.distortions.candidates` lists useful ones.
        rng: the same state gives the same picture.

    Returns:
        uint8 of the same shape, a new array.

    Raises:
        TypeError, ValueError: the image, the name or the parameters are not as described.
    """
    kind = distortion(name)
    check_image(image)
    kind.check(params)
    image = np.ascontiguousarray(image)
    return run_chain(image, [(kind, params)], rng) if kind.stage else kind.function(image, rng, **params)


def check_image(image: np.ndarray) -> None:
    """Raise a TypeError or ValueError unless ``image`` is uint8, RGB (H, W, 3) or grey (H, W), and has pixels."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = f'{image.dtype} array' if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f'An image has to be a uint8 array with values 0 to 255, not a {kind}.')
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or image.size == 0:
        raise ValueError(f'An image has to be RGB (H, W, 3) or grey (H, W) with H, W >= 1; this one is {image.shape}.')
