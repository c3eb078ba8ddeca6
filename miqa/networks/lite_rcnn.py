"""Small Mask R-CNNs on packaged backbones: machines of the demo, and probes of models.

Their training is in :mod:`miqa.machines.lite_rcnn`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import timm
import torch
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from .packaged_weights import EFFICIENTNET_LITE_MEAN, EFFICIENTNET_LITE_STD, PACKAGED_LITES, efficientnet_lite

STAGE = 3  # EfficientNet-Lite's feature map of stride 16 among the five that timm gives

_HIDDEN = 256  # Width of the heads' hidden layers: a quarter of torchvision's, for the time on a CPU
_MASK_HIDDEN = 64


class LiteBackbone(nn.Module):
    """EfficientNet-Lite's feature map of stride 16, with packaged ImageNet weights that stay as they are.

    Args:
        size: 0, 1 or 2.
        packaged: load the packaged weights; without, the weights are random, for a network whose file brings its own.
        stages: the feature maps that :meth:`maps` gives, of 0 to 4 from early to late; the fourth is among them.
    """

    def __init__(self, size: int = 0, packaged: bool = True, stages: Sequence[int] = (STAGE,)):
        super().__init__()
        # What timm's networks can do beyond a module is not typed.
        build: Callable[..., Any] = efficientnet_lite if packaged else _random_lite
        self.network: Any = build(size, features_only=True, out_indices=tuple(stages)).requires_grad_(False)
        self._place = list(stages).index(STAGE)
        self._blocks = [feature['stage'] for feature in self.network.feature_info.get_dicts(keys=('stage',))]
        self.out_channels = self.network.feature_info.channels()[self._place]

    @property
    def features_at(self) -> int:
        """Which of :meth:`maps` the detector works on."""
        return self._place

    @torch.no_grad()
    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return the feature maps of normalised pictures (B, 3, H, W), from early to late."""
        values = self.network.bn1(self.network.conv_stem(images.contiguous(memory_format=torch.channels_last)))
        features = []
        # As timm's own pass, but for the blocks behind the last map that is wanted: a fifth of the work.
        for number, block in enumerate(self.network.blocks[: max(self._blocks)], 1):
            values = block(values)
            if number in self._blocks:
                features.append(values)
        return features

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the map of normalised pictures (B, 3, H, W) as torchvision's detectors want it."""
        return {'0': self.maps(images)[self._place]}

    def train(self, mode: bool = True) -> LiteBackbone:
        """Switch the mode of everything but the network, whose batch norms keep their statistics."""
        super().train(mode)
        self.network.eval()
        return self


def _random_lite(size: int, **options) -> nn.Module:
    return timm.create_model(PACKAGED_LITES[size], pretrained=False, **options).eval()


def lite_mask_rcnn(
    size: int = 0, num_classes: int = 2, side: int = 320, packaged: bool = True, stages: Sequence[int] = (STAGE,)
) -> MaskRCNN:
    """Build a Mask R-CNN (He et al., ICCV 2017) with narrow heads on a frozen EfficientNet-Lite of size 0, 1 or 2.

    ``num_classes`` includes the background; ``side`` is the shorter side in pixels that it works at; the rest is that
    of :class:`LiteBackbone`.

    Raises:
        ImportError: the package of the backbone's weights is not installed.
    """
    backbone = LiteBackbone(size, packaged, stages)
    channels = backbone.out_channels
    return MaskRCNN(
        backbone,
        rpn_anchor_generator=AnchorGenerator(((32, 64, 128, 224),), ((0.5, 1.0, 2.0),)),
        rpn_pre_nms_top_n_train=400,
        rpn_pre_nms_top_n_test=200,
        rpn_post_nms_top_n_train=200,
        rpn_post_nms_top_n_test=60,
        box_roi_pool=MultiScaleRoIAlign(['0'], 7, 2),
        box_head=TwoMLPHead(channels * 49, _HIDDEN),
        box_predictor=FastRCNNPredictor(_HIDDEN, num_classes),
        box_batch_size_per_image=64,
        box_detections_per_img=20,
        mask_roi_pool=MultiScaleRoIAlign(['0'], 14, 2),
        mask_head=MaskRCNNHeads(channels, (_MASK_HIDDEN, _MASK_HIDDEN), 1),
        mask_predictor=MaskRCNNPredictor(_MASK_HIDDEN, _MASK_HIDDEN, num_classes),
        min_size=side,
        max_size=2 * side,
        image_mean=EFFICIENTNET_LITE_MEAN,
        image_std=EFFICIENTNET_LITE_STD,
    )
