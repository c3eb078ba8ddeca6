"""Weights for torchvision's SSDLite that see bright places, where published ones would have to be fetched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torchvision import models

NAME = 'ssdlite320_mobilenet_v3_large'


def bright_places() -> torch.nn.Module:
    """Build an SSDLite whose convolutions all take means, so that it finds a "person" wherever its view is bright.

    What it finds are its anchors; blur, noise and darkness change its answers gradually, as they do a real detector's.
    """
    network = models.get_model(NAME, weights=None, weights_backbone=None)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
        elif isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches, not a moving one
            torch.nn.init.constant_(module.bias, 2.5)  # above where activations bend or end
    images = [torch.from_numpy(draw_discs(number)[0]).permute(2, 0, 1) / 255 for number in range(100, 108)]
    network.train()
    with torch.no_grad():
        network.head(list(network.backbone(network.transform(images)[0].tensors).values()))
    for head in network.head.classification_head.module_list:
        torch.nn.init.zeros_(head[-1].weight)
        # For each kind of anchor 91 classes: 0 is nothing, 1 a person; the others never win.
        head[-1].bias.data[:] = -20.0
        head[-1].bias.data[::91] = 11.0
        head[-1].bias.data[1::91] = 0.0
        head[-1].weight.data[1::91] = 3 / head[-1].weight.shape[1]
    for head in network.head.regression_head.module_list:
        torch.nn.init.zeros_(head[-1].weight)
    return network.eval()


def draw_discs(seed: int, size=(160, 120)) -> tuple[np.ndarray, int]:
    """Draw a few bright discs on a soft dark ground: uint8 (H, W, 3), and how many."""
    random = np.random.default_rng(seed)
    ground = Image.fromarray(random.integers(10, 110, (6, 8, 3)).astype(np.uint8)).resize(size)
    picture = ground.filter(ImageFilter.GaussianBlur(4))
    count = int(random.integers(2, 5))
    for _ in range(count):
        x, y, r = random.integers(25, size[0] - 25), random.integers(25, size[1] - 25), random.integers(14, 26)
        shade = tuple(random.integers(200, 256, 3).tolist())
        ImageDraw.Draw(picture).ellipse([int(x - r), int(y - r), int(x + r), int(y + r)], fill=shade)
    return np.array(picture), count


def write_hub_weights(folder: Path, network: torch.nn.Module) -> Path:
    """Put the weights where torchvision keeps what it has fetched below ``folder`` (TORCH_HOME)."""
    url = models.get_model_weights(NAME).DEFAULT.url
    path = Path(folder) / 'hub/checkpoints' / url.rpartition('/')[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), path)
    return path
