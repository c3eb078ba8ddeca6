"""A backbone for small detectors whose ImageNet weights come inside a Python package."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS

from miqa.networks.packaged_weights import efficientnet_lite


# In MMEngine's own registry, where MMDetection looks too: a detector's config names this module in custom_imports.
@MODELS.register_module()
class PackagedEfficientNetLite(BaseModule):
    """EfficientNet-Lite with packaged ImageNet weights: an image in, feature maps of strides 8, 16 and 32 out.

    Channels are 40, 112 and 320 for sizes 0 and 1, and 48, 120 and 352 for size 2. Input: float (B, 3, H, W), RGB,
    normalised with mean 127 and standard deviation 128. The weights stay as they are: training what stands on them
    takes a quarter of the time on a CPU.

    Args:
        size: 0, 1 or 2.
    """

    def __init__(self, size: int = 0):
        super().__init__()
        self.network = efficientnet_lite(size, features_only=True, out_indices=(2, 3, 4)).requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the feature maps, finest first."""
        # The faster order of memory for depthwise convolutions on a CPU.
        return tuple(self.network(images.contiguous(memory_format=torch.channels_last)))

    def train(self, mode: bool = True):
        """Switch the mode of everything but the network, whose batch norms keep their statistics."""
        super().train(mode)
        self.network.eval()
        return self
