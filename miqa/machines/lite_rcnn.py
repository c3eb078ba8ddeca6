"""Small Mask R-CNNs on packaged backbones, trained in a minute on a CPU.

For demonstrations and tests where no pretrained detector can be fetched. A config of machines names
:func:`lite_mask_rcnn`, and the file of weights that :func:`train_lite_rcnn` wrote.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from miqa.keeping import atomic_write
from miqa.networks.lite_rcnn import lite_mask_rcnn
from miqa.running import generator_for

__all__ = ['lite_mask_rcnn', 'train_lite_rcnn']

#: Learning rate, and the norm that gradients are cut to.
_RATE, _LARGEST_GRADIENT = 1e-3, 5.0


def train_lite_rcnn(
    network: nn.Module,
    images: Sequence[np.ndarray],
    targets: Sequence[dict[str, np.ndarray]],
    epochs: int,
    out: str | os.PathLike,
    batch_size: int = 4,
    seed: int = 0,
) -> None:
    """Train on pictures with objects and write the weights; the same arguments give the same weights.

    Args:
        network: of :func:`lite_mask_rcnn`, or another detector of torchvision's kind.
        images: uint8 RGB (H, W, 3), of one size.
        targets: for each picture ``boxes``, float (N, 4), left, top, right, bottom in pixels; ``labels``, int (N,)
            from 1; ``masks``, bool (N, H, W). At least one object each.
        epochs: passes over the pictures.
        out: file of the weights.
        batch_size: pictures of a step.
        seed: of the order of the pictures and of what the network draws.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, _RATE, weight_decay=1e-4)
    steps = epochs * (len(images) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=max(1, steps))
    network.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for epoch in range(epochs):
            order = generator_for(seed, 'order of pictures', epoch).permutation(len(images))
            for start in range(0, len(order) - batch_size + 1, batch_size):
                chosen = order[start : start + batch_size]
                batch = [torch.from_numpy(images[i]).permute(2, 0, 1).float() / 255 for i in chosen]
                loss = sum(network(batch, [_target(targets[i]) for i in chosen]).values())
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(trained, _LARGEST_GRADIENT)
                optimiser.step()
                schedule.step()
    with atomic_write(out) as temporary:
        torch.save(network.eval().state_dict(), temporary)


def _target(target: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {
        'boxes': torch.from_numpy(np.asarray(target['boxes'], np.float32)),
        'labels': torch.from_numpy(np.asarray(target['labels'], np.int64)),
        'masks': torch.from_numpy(np.asarray(target['masks'], np.uint8)),
    }
