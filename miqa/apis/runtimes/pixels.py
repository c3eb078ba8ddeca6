"""A model as one module from pixels to scores, run by PyTorch and exported."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from miqa.models import QualityAssessor


class PixelsToScore(nn.Module):
    """A model as one plain module: uint8 RGB pixels (B, 3, size, size) of its widest view to raw scores (B,).

    Normalisation and the cut of the second view are inside, so that an exported file needs nothing beside it.
    """

    def __init__(self, assessor: QualityAssessor):
        super().__init__()
        self.preprocessor: Any = assessor.data_preprocessor
        self.network: Any = assessor.network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return raw scores (B,), nominally 0 to 1, higher is better."""
        return self.network(self.views(pixels))

    def views(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the network's normalised inputs, float32, for pixels on the model's device."""
        # The preprocessor checks every picture of a batch, which an exported graph cannot.
        views = {}
        for name in self.preprocessor.sizes:
            part = self.preprocessor.central(pixels) if name == 'image' and self.takes_region else pixels
            views[name] = self.preprocessor.normalise(name, part)
        return views

    @property
    def takes_region(self) -> bool:
        """True if the pixels are those of view ``region``."""
        return 'region' in self.preprocessor.sizes
