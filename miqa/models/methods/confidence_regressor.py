"""A small quality network that starts from a classifier's confidence."""

from __future__ import annotations

import torch
from torch import nn

from miqa.models.parts.library_options import timm_model
from miqa.networks.packaged_weights import efficientnet_lite
from miqa.outside.checked_values import Ignored, Whole
from miqa.registry import MODELS


@MODELS.register_module()
class ConfidenceRegressor(nn.Module):
    """EfficientNet-Lite with its ImageNet classifier, and a small head that turns its confidence into a score.

    A few thousand images from a hundred photographs are enough to learn photographs by heart, but not to learn quality
    from 1,280 free features: on the demo database a linear map of those, fitted to three quarters of the photographs,
    reached an SRCC of about 0.65 on the rest, one of the 12 numbers used here 0.81 (mean of five splits). The head
    takes the largest probabilities, their logarithms, the entropy and the logsumexp of the logits (the statistics of
    :mod:`miqa.benchmark.baselines.confidence`), standardised over the batch. BatchNorm inside the backbone keeps
    its ImageNet statistics.

    Args:
        size: of EfficientNet-Lite: 0, 1 or 2. Normalise with mean 127/255 and std 128/255.
        top: how many of the largest probabilities the head takes.
        hidden: width of the head.
        pretrained: True for the packaged ImageNet weights, False for random ones.
    """

    foreign_part = 'network'
    foreign_options = {
        'size': Whole(0, 2),
        'top': Whole(1, 1000),
        'hidden': Whole(1, 16384),
        'pretrained': Ignored(False),
    }

    def __init__(self, size: int = 0, top: int = 5, hidden: int = 32, pretrained: bool = True):
        super().__init__()
        self.size, self.top, self.pretrained = size, top, pretrained
        self.backbone = timm_model(f'tf_efficientnet_lite{size}')
        features = 2 * top + 2
        self.norm = nn.BatchNorm1d(features)
        self.head = nn.Sequential(nn.Linear(features, hidden), nn.GELU(), nn.Linear(hidden, 1))

    def init_weights(self) -> None:
        """Load the packaged weights; start the head from the middle of the scale."""
        if self.pretrained:
            self.backbone.load_state_dict(efficientnet_lite(self.size).state_dict())
        nn.init.zeros_(self.head[-1].get_parameter('weight'))
        nn.init.constant_(self.head[-1].get_parameter('bias'), 0.5)

    def train(self, mode: bool = True) -> ConfidenceRegressor:
        """Switch the mode of all but the backbone's BatchNorm, whose statistics small batches would spoil."""
        super().train(mode)
        for module in self.backbone.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def confidence(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the statistics (B, 2 * top + 2) of logits (B, classes)."""
        logarithms = logits.log_softmax(1)
        largest = logarithms.topk(self.top, dim=1).values
        entropy = -(logarithms.exp() * logarithms).sum(1, keepdim=True)
        return torch.cat([largest.exp(), largest, entropy, logits.logsumexp(1, keepdim=True)], 1)

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return raw scores (B,) of ``inputs['image']``, normalised RGB of shape (B, 3, H, W)."""
        return self.head(self.norm(self.confidence(self.backbone(inputs['image'])))).squeeze(1)
