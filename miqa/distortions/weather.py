"""Distortions of weather: fog, snow and frost."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .arrays import FLOAT32_SLACK, grey_of, row_strips, truncate
from .blur import blur_along_line, line_offsets, line_weights
from .plasma import plasma
from .strengths import by_name, linear

#: Twelve sets of parameters of each distortion, weakest first. Source: see :mod:`miqa.distortions.strengths`.
STRENGTHS = {
    # Amount of fog and decay of its roughness from one scale to the next finer one.
    'fog': by_name(
        ('amount', 'decay'),
        [
            (0.1, 3.0),
            (0.13, 2.85),
            (0.2, 2.5),
            (0.25, 2.2),
            (0.3, 2.05),
            (0.34, 1.89),
            (0.45, 1.7),
            (0.7, 1.6),
            (0.9, 1.5),
            (1.5, 1.5),
            (2.9, 1.3),
            (5.0, 1.3),
        ],
    ),
    # Mean and deviation of the noise, zoom of the flakes, threshold, radius and sigma of their motion, and how much
    # of the picture's own colour stays.
    'snow': by_name(
        ('mean', 'std', 'zoom', 'threshold', 'radius', 'sigma', 'mix'),
        linear((0.05, 0.1, 1, 0.3, 5, 2, 1), (0.6, 0.4, 5, 0.9, 15, 15, 0.5)),
    ),
}


def fog(image: np.ndarray, rng: np.random.Generator, amount: float, decay: float) -> np.ndarray:
    """Add fractal fog and scale back: (x + amount * fog) * max / (max + amount), max the picture's largest value.

    The fog is diamond-square plasma between 0 and 1; at ``decay`` 1.3 it is rough, at 3 smooth. Pictures are uint8,
    RGB (H, W, 3) or grey (H, W). Source: ImageNet-C, ``fog``.
    """
    height, width = image.shape[:2]
    layer = plasma(height, width, decay, rng)
    peak = int(image.max()) / 255
    scale = peak / (peak + amount)
    layer *= np.float32(amount * 255 * scale)
    return add_layer(image, scale, layer)


def snow(
    image: np.ndarray,
    rng: np.random.Generator,
    mean: float,
    std: float,
    zoom: float,
    threshold: float,
    radius: float,
    sigma: float,
    mix: float,
    angle: float | None = None,
) -> np.ndarray:
    """Whiten the picture and add falling flakes: enlarged, thresholded normal noise, motion-blurred, both ways up.

    Source: ImageNet-C, ``snow``.

    Args:
        image: uint8 RGB (H, W, 3) or grey (H, W).
        rng: where flakes and angle come from.
        mean: of the noise (white is 1).
        std: standard deviation of the noise.
        zoom: enlargement of the noise, 1 or more.
        threshold: noise below it is not snow.
        radius: the flakes move along 2 * radius + 1 pixels.
        sigma: deviation of the Gaussian along their way.
        mix: share of the picture's own colour that is kept; the rest is whitened.
        angle: of the movement in degrees; drawn evenly from -135 to -45 where it is None.
    """
    height, width = image.shape[:2]
    if angle is None:
        angle = float(rng.uniform(-135, -45))
    # Of a noise picture as large as the image only the part that fills it after the zoom is needed.
    size = (math.ceil(height / zoom), math.ceil(width / zoom))
    layer: np.ndarray = rng.standard_normal(size, dtype=np.float32)
    layer *= np.float32(std)
    layer += np.float32(mean)
    layer = _enlarge(layer, zoom)
    layer[layer < threshold] = 0
    np.clip(layer, 0, 1, out=layer)
    layer *= np.float32(255)
    # ImageNet-C hands the flakes to ImageMagick as bytes.
    weights = _snow_weights(radius, sigma, angle, (layer.shape[0], layer.shape[1]))
    layer = blur_along_line(truncate(layer), weights, angle)[:height, :width]
    layer = cv2.addWeighted(layer, 1, np.ascontiguousarray(layer[::-1, ::-1]), 1, 0, dtype=cv2.CV_32F)

    out = np.empty_like(image)
    for rows in row_strips(height, width):
        part: np.ndarray = image[rows].astype(np.float32)
        whitened = grey_of(image[rows]) * np.float32(1.5) + np.float32(127.5)
        whitened = np.maximum(part, whitened if image.ndim == 2 else cv2.merge([whitened] * 3))
        part = cv2.addWeighted(part, mix, whitened, 1 - mix, 0)
        out[rows] = truncate(part + _for_channels(layer[rows], image), FLOAT32_SLACK)
    return out


def add_layer(image: np.ndarray, weight: float, layer: np.ndarray) -> np.ndarray:
    """Return weight * image + layer, truncated; layer is float32 (H, W), 0 to 255, and adds to all channels."""
    out = np.empty_like(image)
    for rows in row_strips(*layer.shape):
        part = image[rows] * np.float32(weight)
        part += _for_channels(layer[rows], image)
        out[rows] = truncate(part, FLOAT32_SLACK)
    return out


def _for_channels(layer: np.ndarray, image: np.ndarray) -> np.ndarray:
    return layer if image.ndim == 2 else cv2.merge([layer] * 3)


def _snow_weights(radius: float, sigma: float, angle: float, shape: tuple[int, int]) -> np.ndarray:
    # As in ImageNet-C: weights are normalised over ceil(length) taps, int(length) of them are used, and taps that
    # would lie a whole picture away are skipped.
    length = radius * 2 + 1
    weights = line_weights(length, sigma)[: int(length)]
    right, down = line_offsets(len(weights), angle)
    inside = (abs(down) < shape[0]) & (abs(right) < shape[1])
    return weights[inside]


def _enlarge(layer: np.ndarray, zoom: float) -> np.ndarray:
    """Enlarge linearly, corners on corners, to round(side * zoom), as scipy.ndimage.zoom does with order 1."""
    for axis in (0, 1):
        size = layer.shape[axis]
        new = round(size * zoom)
        if new == size:
            continue
        position = np.linspace(0, size - 1, new)
        low = np.minimum(position.astype(np.intp), max(size - 2, 0))
        share = (position - low).astype(np.float32)
        share = share[:, None] if axis == 0 else share
        before = layer.take(low, axis=axis)
        layer = before + (layer.take(np.minimum(low + 1, size - 1), axis=axis) - before) * share
    return layer
