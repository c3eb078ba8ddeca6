"""Frost on a window pane, grown by a procedure: no third-party pictures."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .plasma import plasma
from .weather import add_layer

# The five kinds, from fine needles to broad feathers: length of the needles and distance between the seeds that
# they grow from, as shares of the shorter side; how much of the pane is covered; brightness of the film between.
_KINDS = {
    1: (0.03, 0.10, 0.55, 0.25),
    2: (0.06, 0.16, 0.60, 0.20),
    3: (0.05, 0.12, 0.75, 0.35),
    4: (0.10, 0.25, 0.65, 0.25),
    5: (0.14, 0.30, 0.80, 0.30),
}

# Directions of needles around a seed: ice branches at multiples of 60 degrees.
_BRANCHES = 6


def frost(
    image: np.ndarray, rng: np.random.Generator, image_weight: float, frost_weight: float, kind: int
) -> np.ndarray:
    """Dim the picture and add frost: image_weight * x + frost_weight * frost, truncated.

    Source of the formula: ImageNet-C, ``frost``, whose frost is cut out of six photographs. Here it is grown, and
    white; see :func:`frost_layer`.

    Args:
        image: uint8 RGB (H, W, 3) or grey (H, W).
        rng: where the frost comes from.
        image_weight: what is left of the picture.
        frost_weight: what is added of the frost.
        kind: 1 (fine needles) to 5 (broad feathers).
    """
    if kind not in _KINDS:
        raise ValueError(f'Frost comes in the kinds 1 to 5, not {kind!r}.')
    layer = frost_layer(*image.shape[:2], kind, rng)
    layer *= np.float32(255 * frost_weight)
    return add_layer(image, image_weight, layer)


def frost_layer(height: int, width: int, kind: int, rng: np.random.Generator) -> np.ndarray:
    """Grow frost, float32 (height, width), 0 (clear glass) to 1 (ice).

    Seeds are strewn over the pane, and each pixel belongs to the nearest one. Around its seed, noise is drawn out
    along six directions 60 degrees apart, turned at random, which gives needles and feathers that meet in
    seams. Plasma decides where the pane is covered and adds a film of fine crystals.
    """
    length, distance, cover, film = _KINDS[kind]
    # Frost grows in the units of the pane: made at most 512 pixels wide, then enlarged.
    scale = min(1.0, 512 / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    short = min(size)
    needle = max(3, round(length * short))
    spacing = max(4.0, distance * short)
    count = max(1, round(size[0] * size[1] / spacing**2))
    seeds = rng.random((count, 2), dtype=np.float32) * np.array(size, np.float32)
    turn = rng.random(count, dtype=np.float32) * np.float32(math.pi / 3)

    owner, offset_y, offset_x = _nearest_seed(size, seeds)
    bearing = np.arctan2(offset_y, offset_x) - turn[owner]
    # The branch of its seed that a pixel is nearest to: a number of sixths of a turn.
    branch = np.rint(bearing / (math.pi / 3))
    direction = branch * np.float32(math.pi / 3) + turn[owner]
    # Side needles leave a branch at 60 degrees, to the side that the pixel lies on.
    side = np.where(bearing > branch * np.float32(math.pi / 3), 1.0, -1.0)
    direction = direction + side * (math.pi / 3) * (rng.random(size) < 0.65)
    grain = rng.random(size, dtype=np.float32) ** 6
    needles = _draw_out(grain, direction.astype(np.float32), needle)
    needles /= max(float(np.quantile(needles, 0.995)), 1e-6)

    clouds = plasma(*size, 1.7, rng)
    threshold = float(np.quantile(clouds, 1 - cover))
    covered = np.clip((clouds - threshold) * np.float32(4) + np.float32(0.35), 0, 1)
    layer = covered * (np.float32(film) * (0.5 + clouds) + (1 - np.float32(film)) * np.minimum(needles, 1.0))
    layer = np.clip(layer.astype(np.float32), 0, 1)
    if size != (height, width):
        layer = cv2.resize(layer, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(layer, 0, 1)


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
    """Smear noise along a direction that differs from pixel to pixel (line integral of ``length`` steps)."""
    height, width = grain.shape
    y, x = np.meshgrid(np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32), indexing='ij')
    step_y, step_x = np.sin(direction), np.cos(direction)
    total = np.zeros_like(grain)
    # Needles taper: the first steps weigh most.
    for step in range(length):
        sample = cv2.remap(
            grain, x - step * step_x, y - step * step_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        total += sample * np.float32(1 - step / length)
    return total
