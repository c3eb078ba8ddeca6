"""Which parts of a picture help its score and which hurt it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw

from miqa.taxonomy import check_choice

from .attention import rollout
from .inputs import Picture, to_rgb

if TYPE_CHECKING:
    from .model import MIQAModel

METHODS = ('occlusion', 'rollout')
#: Hidden squares along each side of the seen square; neighbours overlap by half.
OCCLUSION_STEPS = 9


@dataclass(frozen=True)
class Heatmap:
    """A score and where in the picture it comes from.

    Attributes:
        score: of the picture, nominally 0 to 1, higher is better.
        values: float32 (rows, columns) over the square that the model sees. By ``occlusion``: how much the score
            *rises* when that part is hidden, in units of the score: positive parts hurt, negative ones help. By
            ``rollout``: the share of the model's attention, at least 0, with sum 1.
        box: left, top, right, bottom of that square, in pixels of the picture; the model does not see the rest.
        method: ``occlusion`` or ``rollout``.
        picture: the picture, uint8 RGB (H, W, 3).
    """

    score: float
    values: np.ndarray
    box: tuple[float, float, float, float]
    method: str
    picture: np.ndarray

    def overlay(self, strength: float = 0.55) -> Image.Image:
        """Draw the map over the picture; what the model does not see is dimmed.

        By ``occlusion`` red hurts, blue helps, and the strongest part has the full colour; by ``rollout`` the
        colour goes from the part with the least attention, without colour, to the one with the most, bright.

        Args:
            strength: opacity of the strongest part, 0 to 1.
        """
        height, width = self.picture.shape[:2]
        left, top, right, bottom = (round(side) for side in self.box)
        right, bottom = max(right, left + 1), max(bottom, top + 1)
        smooth = Image.fromarray(self._for_display())
        values = np.asarray(smooth.resize((right - left, bottom - top), Image.Resampling.BICUBIC))
        if self.method == 'occlusion':
            colors = matplotlib.colormaps['RdBu_r']((values.clip(-1, 1) + 1) / 2)[:, :, :3]
        else:
            colors = matplotlib.colormaps['inferno'](values.clip(0, 1))[:, :, :3]
        opacity = strength * np.abs(values).clip(0, 1)[:, :, None]
        canvas = self.picture.astype(np.float32) * 0.45
        seen = self.picture[top:bottom, left:right].astype(np.float32)
        mixed = seen * (1 - opacity) + 255 * colors[: seen.shape[0], : seen.shape[1]] * opacity
        canvas[top:bottom, left:right] = mixed
        drawn = Image.fromarray(canvas.round().astype(np.uint8))
        if (left, top, right, bottom) != (0, 0, width, height):
            outline = max(1, min(width, height) // 200)
            ImageDraw.Draw(drawn).rectangle((left, top, right - 1, bottom - 1), outline='white', width=outline)
        return drawn

    def _for_display(self) -> np.ndarray:
        if self.method == 'occlusion':
            peak = float(np.abs(self.values).max())
            return (self.values / (peak or 1.0)).astype(np.float32)
        # The residual path gives every patch its share; only the differences tell something.
        above = self.values - self.values.min()
        return (above / (float(above.max()) or 1.0)).astype(np.float32)


def heatmap_of(model: MIQAModel, picture: Picture, method: str = 'occlusion') -> Heatmap:
    """Compute a heat map; :meth:`MIQAModel.assess` calls this.

    ``occlusion`` works with every model and needs 81 passes; ``rollout`` needs a transformer and one pass, and
    shows where the model looks, not whether what it sees there is good.

    Raises:
        ValueError: the method is unknown, or does not suit the model.
    """
    check_choice(method, METHODS, 'heat map method')
    rgb = to_rgb(picture)
    pixels = model.prepare.from_rgb(rgb)
    box = model.prepare.seen_box(rgb.shape[1], rgb.shape[0])
    if method == 'rollout':
        score = float(model.score_pixels(pixels[None])[0])
        values = _rolled_out(model, pixels)
        box = _inner(box, model)
    else:
        score, values = _occluded(model, pixels)
    return Heatmap(score, values, box, method, rgb)


def _occluded(model: MIQAModel, pixels: torch.Tensor) -> tuple[float, np.ndarray]:
    """Hide one soft-edged disc after the other under the view's mean colour and see how the score changes.

    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014), with a Gaussian disc in place
    of a grey square: a square's edges would be a distortion of their own.
    """
    size = pixels.shape[-1]
    step = size / OCCLUSION_STEPS
    centres = (torch.arange(OCCLUSION_STEPS) + 0.5) * step
    across = torch.exp(-0.5 * ((torch.arange(size)[None] + 0.5 - centres[:, None]) / (0.6 * step)) ** 2)
    mean = pixels.float().mean(dim=(1, 2), keepdim=True)
    difference = mean - pixels.float()
    score = float(model.score_pixels(pixels[None])[0])
    rows = []
    for row in across:
        # One row of positions at a time, so that the copies of the picture stay few.
        masks = row[None, :, None] * across[:, None, :]
        hidden = (pixels.float() + masks[:, None] * difference).round().to(torch.uint8)
        rows.append(model.score_pixels(hidden) - score)
    return score, np.stack(rows).astype(np.float32)


def _rolled_out(model: MIQAModel, pixels: torch.Tensor) -> np.ndarray:
    module = getattr(model.runtime, 'module', None)
    if module is None:
        raise ValueError("Attention rollout needs the network itself, not an ONNX file. Use heatmap='occlusion'.")
    with torch.inference_mode():
        views = module.views(pixels[None].to(model.device))
    return rollout(module.network, views)[0].cpu().numpy()


def _inner(box: tuple, model: MIQAModel) -> tuple[float, float, float, float]:
    # Attention is over view `image`, the centre of what the model sees.
    share = model.spec.views['image']['size'] / model.spec.view_size
    left, top, right, bottom = box
    across, down = (right - left) * (1 - share) / 2, (bottom - top) * (1 - share) / 2
    return left + across, top + down, right - across, bottom - down
