"""Heat maps: which regions of a picture raise its score and which lower it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from miqa.running.requirements import require
from miqa.taxonomy import check_choice

from .inputs import Picture, Preparation, preview
from .runtimes.base import Runtime
from .spec import ModelSpec

METHODS = ('occlusion', 'rollout', 'views')
OCCLUSION_STEPS = 9  # Hidden squares along each side of the seen square; neighbours overlap by half
#: A map is drawn over the picture as it is up to this size, and over a smaller one above it: drawing takes some 50
#: bytes a pixel.
SHOWN_PIXELS = 4_000_000


@dataclass(frozen=True)
class Heatmap:
    """A score and where in the picture it comes from.

    Attributes:
        score: of the picture, nominally 0 to 1, higher is better.
        values: float32 (rows, columns) over the model's square input. By ``occlusion``: how much the score
            *rises* when that part is hidden, in units of the score: positive parts hurt, negative ones help. By
            ``rollout``: the share of the model's attention, at least 0, with sum 1. By ``views``: how much lower than
            the picture's score that of the square around that place is, over all squares that cover the picture.
        box: left, top, right, bottom of the part that ``values`` cover, in pixels of ``picture``; the model does not
            see the rest.
        method: ``occlusion``, ``rollout`` or ``views``.
        picture: the picture, uint8 RGB (H, W, 3), made smaller where it has over :data:`SHOWN_PIXELS` pixels.
    """

    score: float
    values: np.ndarray
    box: tuple[float, float, float, float]
    method: str
    picture: np.ndarray

    def overlay(self, strength: float = 0.55) -> Image.Image:
        """Draw the map over the picture; what the model does not see is dimmed.

        By ``occlusion`` and ``views`` red hurts, blue helps, and the strongest part has the full colour; by ``rollout``
        the colour goes from the part with the least attention, without colour, to the one with the most, bright.

        Args:
            strength: opacity of the strongest part, 0 to 1.
        """
        height, width = self.picture.shape[:2]
        left, top, right, bottom = (round(side) for side in self.box)
        right, bottom = max(right, left + 1), max(bottom, top + 1)
        smooth = Image.fromarray(self._for_display())
        values = np.asarray(smooth.resize((right - left, bottom - top), Image.Resampling.BICUBIC))
        matplotlib = require('matplotlib', 'Drawing a heat map')
        if self.method != 'rollout':
            colors = matplotlib.colormaps['RdBu_r']((values.clip(-1, 1) + 1) / 2)[:, :, :3]
        else:
            colors = matplotlib.colormaps['inferno'](values.clip(0, 1))[:, :, :3]
        opacity = strength * np.abs(values).clip(0, 1)[:, :, None]
        canvas = self.picture.astype(np.float32) * 0.45
        region = self.picture[top:bottom, left:right].astype(np.float32)
        mixed = region * (1 - opacity) + 255 * colors[: region.shape[0], : region.shape[1]] * opacity
        canvas[top:bottom, left:right] = mixed
        drawn = Image.fromarray(canvas.round().astype(np.uint8))
        if (left, top, right, bottom) != (0, 0, width, height):
            outline = max(1, min(width, height) // 200)
            ImageDraw.Draw(drawn).rectangle((left, top, right - 1, bottom - 1), outline='white', width=outline)
        return drawn

    def _for_display(self) -> np.ndarray:
        if self.method != 'rollout':
            peak = float(np.abs(self.values).max())
            return (self.values / (peak or 1.0)).astype(np.float32)
        # The residual path gives every patch its share; only the differences tell something.
        above = self.values - self.values.min()
        return (above / (float(above.max()) or 1.0)).astype(np.float32)


def heatmap_of(
    picture: Picture,
    method: str,
    prepare: Preparation,
    score_pixels: Callable[[np.ndarray], np.ndarray],
    spec: ModelSpec,
    runtime: Runtime,
) -> Heatmap:
    """Compute a heat map; :meth:`miqa.apis.MIQAModel.assess` calls this.

    ``occlusion`` works with every model and needs 81 passes; ``rollout`` needs a transformer and one pass, and shows
    which regions the model attends to, not whether they are good. ``prepare`` leads from pictures to pixels, uint8 (B,
    3, size, size), ``score_pixels`` from these to scores (B,).

    Raises:
        ValueError: the method is unknown, or does not suit the model.
    """
    check_choice(method, METHODS, 'heat map method')
    if (method == 'views') != (prepare.coverage == 'whole'):
        raise ValueError(
            "heatmap='views' shows the squares of coverage='whole', and the other methods look into the central "
            'square: '
            f'make the model with coverage={"whole" if method == "views" else "center"!r}, or leave the method to True.'
        )
    if method == 'views':
        return _by_view(picture, prepare, score_pixels)
    pixels = prepare(picture)
    rgb = preview(picture, SHOWN_PIXELS, value_range=prepare.value_range)
    box = prepare.seen_box(rgb.shape[1], rgb.shape[0])
    if method == 'rollout':
        score = float(score_pixels(pixels[None])[0])
        values = _rolled_out(runtime, pixels)
        box = _inner(box, spec)
    else:
        score, values = _occluded(score_pixels, pixels)
    return Heatmap(score, values, box, method, rgb)


def _by_view(picture: Picture, prepare: Preparation, score_pixels: Callable[[np.ndarray], np.ndarray]) -> Heatmap:
    views = prepare.views(picture)
    scores = score_pixels(views.reshape(-1, *views.shape[2:])).reshape(views.shape[:2])
    rgb = preview(picture, SHOWN_PIXELS, value_range=prepare.value_range)
    score = float(scores.mean())
    box = (0.0, 0.0, float(rgb.shape[1]), float(rgb.shape[0]))
    return Heatmap(score, (score - scores).astype(np.float32), box, 'views', rgb)


def _occluded(score_pixels: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray) -> tuple[float, np.ndarray]:
    """Hide one soft-edged disc after the other under the view's mean colour and see how the score changes.

    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014), with a Gaussian disc in place
    of a grey square: a square's edges would be a distortion of their own.
    """
    size = pixels.shape[-1]
    step = size / OCCLUSION_STEPS
    centres = (np.arange(OCCLUSION_STEPS) + 0.5) * step
    offsets = (np.arange(size)[None] + 0.5 - centres[:, None]) / (0.6 * step)
    across = np.exp(-0.5 * offsets**2).astype(np.float32)
    values = pixels.astype(np.float32)
    difference = values.mean(axis=(1, 2), keepdims=True) - values
    score = float(score_pixels(pixels[None])[0])
    rows = []
    for row in across:
        # One row of positions at a time, so that the copies of the picture stay few.
        masks = row[None, :, None] * across[:, None, :]
        hidden = np.rint(values + masks[:, None] * difference).astype(np.uint8)
        rows.append(score_pixels(hidden) - score)
    return score, np.stack(rows).astype(np.float32)


def _rolled_out(runtime: Runtime, pixels: np.ndarray) -> np.ndarray:
    if runtime.module is None:
        raise ValueError(
            "Attention rollout needs the network itself, not an exported file. Use heatmap='occlusion' "
            '(--heatmap-method occlusion).'
        )
    from .attention import rollout_of_pixels

    return rollout_of_pixels(runtime.module, pixels, str(runtime.device))


def _inner(box: tuple, spec: ModelSpec) -> tuple[float, float, float, float]:
    # Attention is over view `image`, the centre of the model's input.
    share = spec.views['image']['size'] / spec.view_size
    left, top, right, bottom = box
    across, down = (right - left) * (1 - share) / 2, (bottom - top) * (1 - share) / 2
    return left + across, top + down, right - across, bottom - down
