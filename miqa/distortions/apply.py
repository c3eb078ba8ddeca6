"""One function for all distortions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import numpy as np

from miqa.taxonomy import DISTORTIONS, EXTRA_DISTORTIONS, check_choice

from .blur import defocus_blur, gaussian_blur, glass_blur, motion_blur
from .digital import jpeg_compression, pixelate
from .frost import frost
from .noise import gaussian_noise, impulse_noise
from .tone import brightness, contrast, darkness, saturate
from .weather import fog, snow

#: From picture, generator and parameters to a picture.
_FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    function.__name__: function
    for function in (
        contrast,
        pixelate,
        jpeg_compression,
        motion_blur,
        defocus_blur,
        glass_blur,
        fog,
        snow,
        darkness,
        gaussian_noise,
        gaussian_blur,
        frost,
        brightness,
        saturate,
        impulse_noise,
    )
}


def _parameters(function) -> tuple[set[str], set[str]]:
    """Names of the parameters that have to be given, and of all that may be."""
    own = list(inspect.signature(function).parameters.values())[2:]
    return {entry.name for entry in own if entry.default is entry.empty}, {entry.name for entry in own}


_PARAMETERS = {name: _parameters(function) for name, function in _FUNCTIONS.items()}


def distort(image: np.ndarray, name: str, params: Mapping[str, float], rng: np.random.Generator) -> np.ndarray:
    """Apply one distortion to one picture.

    Example: ``distort(image, 'motion_blur', {'radius': 15, 'sigma': 5}, generator_for(seed, image_id))``.

    Args:
        image: uint8, RGB (H, W, 3) or grey (H, W), 0 to 255, at least 1 x 1. It is not changed.
        name: one of :data:`~miqa.taxonomy.DISTORTIONS` or :data:`~miqa.taxonomy.EXTRA_DISTORTIONS`.
        params: the distortion's parameters by name; :func:`~miqa.distortions.candidates` lists useful ones.
        rng: where random numbers come from; the same state gives the same picture.

    Returns:
        uint8 of the same shape, a new array.

    Raises:
        TypeError: the image is not a uint8 array, or a parameter is missing or unknown.
        ValueError: the image has another shape or no pixels, or there is no such distortion.
    """
    check_choice(name, DISTORTIONS + EXTRA_DISTORTIONS, 'distortion')
    check_image(image)
    function = _FUNCTIONS[name]
    needed, known = _PARAMETERS[name]
    if not needed <= params.keys() <= known:
        raise TypeError(f'The distortion {name} takes the parameters {sorted(needed)}, not {sorted(params)}.')
    return function(np.ascontiguousarray(image), rng, **params)


def check_image(image: np.ndarray) -> None:
    """Raise a TypeError or ValueError unless ``image`` is uint8, RGB (H, W, 3) or grey (H, W), and has pixels."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = f'{image.dtype} array' if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f'An image has to be a uint8 array with values 0 to 255, not a {kind}.')
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or image.size == 0:
        raise ValueError(f'An image has to be RGB (H, W, 3) or grey (H, W) with H, W >= 1; this one is {image.shape}.')
