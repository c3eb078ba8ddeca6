"""Frost on a window pane, grown by a procedure: no third-party pictures."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .plasma import plasma
from .strengths import by_name
from .weather import add_layer

#: Twelve sets of parameters of each distortion, weakest first. Source: see :mod:`miqa.distortions.strengths`.
STRENGTHS = {
    # Weight of the picture, weight of the frost, which kind of frost (1 to 5).
    'frost': by_name(
        ('image_weight', 'frost_weight', 'kind'),
        [
            (1.0, 0.05, 1),
            (0.97, 0.06, 2),
            (0.95, 0.18, 3),
            (0.95, 0.14, 4),
            (0.92, 0.25, 5),
            (0.9, 0.27, 1),
            (0.9, 0.2, 2),
            (0.7, 0.65, 3),
            (0.85, 0.37, 4),
            (0.85, 0.55, 5),
            (0.82, 0.58, 1),
            (0.7, 0.8, 5),
        ],
    )
}

# The five kinds, from fine needles to broad feathers: length of the needles and distance between the seeds that
# they grow from, as shares of the shorter side; how much of the pane is covered; brightness of the film between.
_KINDS = {
    1: (0.03, 0.10, 0.55, 0.25),
    2: (0.06, 0.16, 0.60, 0.20),
    3: (0.05, 0.12, 0.75, 0.35),
    4: (0.10, 0.25, 0.65, 0.25),
    5: (0.14, 0.30, 0.80, 0.30),
}

# Ice branches at multiples of 60 degrees.
_SIXTH = math.pi / 3

# Frost grows on a grid of at most this many pixels on its longer side and is then enlarged, so that it is as coarse
# on a large picture of a window as on a small one.
_GRID = 288


def frost(
    image: np.ndarray, rng: np.random.Generator, image_weight: float, frost_weight: float, kind: int
) -> np.ndarray:
    """Dim the picture and add frost: image_weight * x + frost_weight * frost, truncated.

    Source of the formula: ImageNet-C, ``frost``, whose frost is cut out of six photographs. Here it is grown, and
    white; see :func:`frost_layer`. ``kind`` is 1 (fine needles) to 5 (broad feathers); pictures are uint8, RGB
    (H, W, 3) or grey (H, W).
    """
    if kind not in _KINDS:
        raise ValueError(f'Frost comes in the kinds 1 to 5, not {kind!r}.')
    height, width = image.shape[:2]
    layer = frost_layer(height, width, kind, rng)
    layer *= np.float32(255 * frost_weight)
    return add_layer(image, image_weight, layer)


def frost_layer(height: int, width: int, kind: int, rng: np.random.Generator) -> np.ndarray:
    """Grow frost, float32 (height, width), 0 (clear glass) to 1 (ice).

    Seeds are strewn over the pane, and each pixel belongs to the nearest one. Around its seed, noise is drawn out
    along six directions 60 degrees apart, turned at random, which gives needles and feathers that meet in
    seams. Plasma decides where the pane is covered and adds a film of fine crystals.
    """
    length, distance, cover, film = _KINDS[kind]
    scale = min(1.0, _GRID / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    short = min(size)
    spacing = max(4.0, distance * short)
    count = max(1, round(size[0] * size[1] / spacing**2))
    seeds = rng.random((count, 2), dtype=np.float32) * np.array(size, np.float32)
    turn = rng.random(count, dtype=np.float32) * np.float32(_SIXTH)

    owner, offset_y, offset_x = _nearest_seed(size, seeds)
    turned = turn[owner]
    bearing = cv2.phase(offset_x, offset_y) - turned
    # The branch of its seed that a pixel is nearest to.
    branch = np.rint(bearing * np.float32(1 / _SIXTH)) * np.float32(_SIXTH)
    # Side needles leave a branch at 60 degrees, to the side that the pixel lies on.
    side = np.where(bearing > branch, np.float32(_SIXTH), np.float32(-_SIXTH))
    side *= rng.random(size, dtype=np.float32) < 0.65
    grain = cv2.pow(rng.random(size, dtype=np.float32), 6)
    needles = _draw_out(grain, branch + turned + side, max(3, round(length * short)))
    # Six deviations above the mean is as bright as ice gets.
    needles *= np.float32(1 / max(float(needles.mean() + 6 * needles.std()) / 2, 1e-6))

    clouds = plasma(*size, 1.7, rng)
    covered = np.clip((clouds - np.float32(clouds.mean() + 0.4 - 0.8 * cover)) * 4 + np.float32(0.35), 0, 1)
    layer = covered * (np.float32(film) * (clouds + np.float32(0.5)) + np.float32(1 - film) * np.minimum(needles, 1))
    if size != (height, width):
        layer = cv2.resize(layer, (width, height), interpolation=cv2.INTER_CUBIC)
    # Fine crystals glitter from pixel to pixel.
    layer *= rng.random((height, width), dtype=np.float32) * np.float32(0.6) + np.float32(0.7)
    return np.clip(layer, 0, 1, out=layer)


def _nearest_seed(size: tuple[int, int], seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For every pixel the number of the nearest seed, and how far it lies below and to the right of it."""
    # OpenCV's distance transform labels each pixel with the nearest pixel that is 0.
    ground = np.ones(size, np.uint8)
    rows = np.minimum(seeds[:, 0].astype(np.intp), size[0] - 1)
    columns = np.minimum(seeds[:, 1].astype(np.intp), size[1] - 1)
    ground[rows, columns] = 0
    _, labels = cv2.distanceTransformWithLabels(ground, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    number = np.zeros(labels.max() + 1, np.intp)
    number[labels[rows, columns]] = np.arange(len(seeds))
    owner = number[labels]
    y = np.arange(size[0], dtype=np.float32)[:, None] - rows.astype(np.float32)[owner]
    x = np.arange(size[1], dtype=np.float32) - columns.astype(np.float32)[owner]
    return owner, y, x


def _draw_out(grain: np.ndarray, direction: np.ndarray, length: int) -> np.ndarray:
    """Smear noise along a direction that differs from pixel to pixel, over about ``length`` pixels."""
    height, width = grain.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    step_x, step_y = np.cos(direction), np.sin(direction)
    step = 1
    # Each round doubles the length: a sum over n steps and the same sum n steps further on.
    while step < length:
        further = cv2.remap(
            grain, x - step * step_x, y - step * step_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        # Needles taper towards their end.
        grain = cv2.addWeighted(grain, 0.6, further, 0.4, 0)
        step *= 2
    return grain
