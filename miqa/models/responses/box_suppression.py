"""Non-maximum suppression in tensors of fixed shapes, without loops over pictures.

Compiled operators for the suppression give as many boxes as survive, another number for every picture. Here the
number stays and a mask says who survives, so that it works on batches and in exported graphs.
"""

from __future__ import annotations

import torch

_ROUNDS = 12  # Rounds of :func:`survivors`: enough for chains of so many boxes of which each suppresses the next


def overlaps(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the intersection over union of each pair, float (B, N, M) in [0, 1].

    Args:
        first: boxes (B, N, 4), left, top, right, bottom.
        second: boxes (B, M, 4).
    """
    low = torch.maximum(first[:, :, None, :2], second[:, None, :, :2])
    high = torch.minimum(first[:, :, None, 2:], second[:, None, :, 2:])
    common = (high - low).clamp(min=0).prod(3)
    union = areas(first)[:, :, None] + areas(second)[:, None, :] - common
    return common / union.clamp(min=1e-6)


def areas(boxes: torch.Tensor) -> torch.Tensor:
    """Return the areas (B, N) of boxes (B, N, 4)."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def survivors(boxes: torch.Tensor, groups: torch.Tensor, valid: torch.Tensor, threshold: float) -> torch.Tensor:
    """Tell which boxes greedy suppression keeps: float (B, N), 1 or 0, as ``torchvision.ops.batched_nms`` does.

    A box falls if one before it in its group that does not fall itself overlaps it by more than ``threshold``. Each
    round below settles one more link of such chains, so that the result is exact for chains of 12. ``boxes``, (B, N,
    4), come best first; ``groups`` are int (B, N); those that are not ``valid``, bool (B, N), neither survive nor
    suppress.
    """
    place = torch.arange(boxes.shape[1], device=boxes.device)
    before = place[:, None] > place[None, :]
    same = groups[:, :, None] == groups[:, None, :]
    hits = ((overlaps(boxes, boxes) > threshold) & before & same).float()
    usable = valid.float()
    surviving = usable
    for _ in range(_ROUNDS):
        surviving = usable * ((hits * surviving[:, None, :]).amax(2) < 0.5).float()
    return surviving


def taken(values: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return ``values`` (B, N, ...) at ``places``, int64 (B, K): (B, K, ...)."""
    index = places.reshape(*places.shape, *[1] * (values.dim() - 2))
    return values.gather(1, index.expand(-1, -1, *values.shape[2:]))
