"""A two-stage detector of torchvision in plain operators of fixed shapes.

``torchvision.models.detection.generalized_rcnn.GeneralizedRCNN`` works picture by picture, with as many boxes as there
are. Here a batch of pictures of one size passes at once and every tensor has a fixed shape, so that it can be
exported; what it finds is what the detector itself finds, as long as :data:`CANDIDATES` do not cut it short.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, permute_and_flatten
from torchvision.ops import MultiScaleRoIAlign, roi_align

from .box_suppression import areas, survivors, taken

#: Boxes that the suppression compares with each other, in either stage, and proposals for the second stage.
CANDIDATES, PROPOSALS = 200, 60
DETECTIONS = 20  # Detections that are given
_DIVISOR = 32  # Sides of pictures are filled up to multiples of this, as torchvision's own transform does


class Response(NamedTuple):
    """A detector's outputs for a batch of pictures. Boxes are left, top, right, bottom in pixels of the view."""

    maps: list[torch.Tensor]  # feature maps, each (B, C, h, w)
    objectness: list[torch.Tensor]  # for each level of the first stage (B, places), logits
    proposals: torch.Tensor  # (B, P, 4), the most certain first
    proposal_scores: torch.Tensor  # (B, P), in [0, 1]; 0 without one
    candidates: torch.Tensor  # (B, R, 4), boxes of classes before suppression, best first
    candidate_scores: torch.Tensor  # (B, R), in [0, 1]; 0 without one
    candidate_labels: torch.Tensor  # int64 (B, R), from 0, without the background
    boxes: torch.Tensor  # (B, D, 4), the detections, best first
    scores: torch.Tensor  # (B, D), in [0, 1]; 0 without one
    labels: torch.Tensor  # int64 (B, D)
    #: (B, D, classes), of all classes, the background first, for the proposal of each detection.
    probabilities: torch.Tensor
    origins: torch.Tensor  # int64 (B, D), number of the proposal of each


def respond(detector: GeneralizedRCNN, pictures: torch.Tensor) -> Response:
    """Run a detector.

    Args:
        detector: a GeneralizedRCNN of torchvision with a box head, in evaluation mode.
        pictures: float (B, 3, H, W), normalised as it wants them, at the size that it works at.
    """
    size = (pictures.shape[-2], pictures.shape[-1])
    down, right = (-side % _DIVISOR for side in size)
    padded = F.pad(pictures, (0, right, 0, down)) if down or right else pictures
    maps, features = _feature_maps(detector.backbone, padded)
    features = {name: values.float() for name, values in features.items()}
    objectness, proposals, scores = _propose(detector.rpn, list(features.values()), padded, size)
    pooled = _pool(detector.roi_heads.box_roi_pool, features, proposals, padded)
    hidden = detector.roi_heads.box_head(pooled)
    logits, offsets = detector.roi_heads.box_predictor(hidden)
    return _detect(detector.roi_heads, maps, objectness, proposals, scores, logits.float(), offsets.float(), size)


def _feature_maps(backbone: Any, pictures: torch.Tensor) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """Return the maps whose statistics tell damage, the earliest first, and those that the detector works on."""
    if hasattr(backbone, 'maps'):
        maps = backbone.maps(pictures)
        return list(maps), {'0': maps[backbone.features_at]}
    if hasattr(backbone, 'body') and hasattr(backbone, 'fpn'):
        stages = backbone.body(pictures)
        return list(stages.values()), backbone.fpn(stages)
    features = backbone(pictures)
    features = {'0': features} if torch.is_tensor(features) else features
    return list(features.values()), features


def _propose(rpn: RegionProposalNetwork, features: list[torch.Tensor], pictures: torch.Tensor, size: tuple[int, int]):
    """Return the first stage's logits by level, its proposals (B, P, 4) and their scores (B, P), best first."""
    logits, offsets = rpn.head(features)
    levels = [permute_and_flatten(item, item.shape[0], item.shape[1], 1, *item.shape[-2:])[..., 0] for item in logits]
    flat = [permute_and_flatten(item, item.shape[0], item.shape[1] // 4, 4, *item.shape[-2:]) for item in offsets]
    levels, flat = [level.float() for level in levels], [item.float() for item in flat]
    anchors = _anchors(rpn.anchor_generator, features, pictures)
    found_boxes, found_scores, found_levels = [], [], []
    most = min(CANDIDATES, rpn.pre_nms_top_n())
    for number, (level, offset, anchor) in enumerate(zip(levels, flat, anchors, strict=True)):
        best, places = level.topk(min(most, level.shape[1]), dim=1)
        boxes = _decoded(rpn.box_coder, taken(offset, places), anchor[places], size)
        found_boxes.append(boxes)
        found_scores.append(best.sigmoid())
        found_levels.append(torch.full_like(places, number))
    scores = torch.cat(found_scores, 1)
    scores, order = scores.topk(min(CANDIDATES, scores.shape[1]), dim=1)
    boxes, level = taken(torch.cat(found_boxes, 1), order), taken(torch.cat(found_levels, 1), order)
    valid = _has_area(boxes, rpn.min_size) & (scores >= rpn.score_thresh)
    surviving = survivors(boxes, level, valid, rpn.nms_thresh)
    scores, order = (scores * surviving).topk(min(PROPOSALS, rpn.post_nms_top_n(), scores.shape[1]), dim=1)
    return levels, taken(boxes, order), scores


def _anchors(generator: AnchorGenerator, features: list[torch.Tensor], pictures: torch.Tensor) -> list[torch.Tensor]:
    """Return the anchors of each level, (places, 4), laid out as the generator itself does."""
    proposals = []
    for values, cell in zip(features, generator.cell_anchors, strict=True):
        height, width = values.shape[-2:]
        down = torch.arange(height, device=values.device) * (pictures.shape[-2] // height)
        right = torch.arange(width, device=values.device) * (pictures.shape[-1] // width)
        y, x = torch.meshgrid(down, right, indexing='ij')
        shifts = torch.stack([x, y, x, y], 2).reshape(-1, 1, 4)
        proposals.append((shifts + cell.to(values.device)[None]).reshape(-1, 4))
    return proposals


def _decoded(coder, offsets: torch.Tensor, boxes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Apply offsets (B, N, 4) to boxes (B, N, 4), and cut the result to the picture."""
    moved = coder.decode_single(offsets.reshape(-1, 4), boxes.reshape(-1, 4)).reshape(offsets.shape)
    height, width = size
    limits = torch.tensor([width, height, width, height], dtype=moved.dtype, device=moved.device)
    return torch.minimum(moved.clamp(min=0), limits)


def _has_area(boxes: torch.Tensor, least: float) -> torch.Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).amin(-1) >= least


def _pool(pool: MultiScaleRoIAlign, features: dict[str, torch.Tensor], boxes: torch.Tensor, pictures: torch.Tensor):
    """Return what the features show of each box: (B * P, C, h, w)."""
    number = torch.arange(boxes.shape[0], device=boxes.device, dtype=boxes.dtype)[:, None, None]
    regions = torch.cat([number.expand(-1, boxes.shape[1], 1), boxes], 2).reshape(-1, 5)
    levels = [features[name] for name in pool.featmap_names if name in features]
    # The scale of a level is a power of two.
    shifts = [round(math.log2(pictures.shape[-2] / level.shape[-2])) for level in levels]
    parts = [
        roi_align(level, regions, pool.output_size, 2.0**-shift, pool.sampling_ratio)
        for level, shift in zip(levels, shifts, strict=True)
    ]
    if len(parts) == 1:
        return parts[0]
    # A box belongs to the level that fits its size (equation 1 of Lin et al., "Feature Pyramid Networks for Object
    # Detection", CVPR 2017). Every level processes every box: choosing first would give tensors of any length.
    side = areas(boxes).reshape(-1).sqrt()
    level = (pool.canonical_level + (side / pool.canonical_scale + 1e-12).log2() + 1e-6).floor()
    place = level.clamp(shifts[0], shifts[-1]) - shifts[0]
    whose = [(place == number).to(parts[0].dtype)[:, None, None, None] for number in range(len(parts))]
    return torch.stack([part * own for part, own in zip(parts, whose, strict=True)]).sum(0)


def _detect(heads: RoIHeads, maps, objectness, proposals, proposal_scores, logits, offsets, size) -> Response:
    batch, count = proposals.shape[:2]
    classes = logits.shape[-1]
    probabilities = logits.softmax(-1).reshape(-1, count, classes)
    offsets = offsets.reshape(-1, count, classes, 4)[:, :, 1:].reshape(-1, count * (classes - 1), 4)
    repeated = proposals[:, :, None].expand(-1, -1, classes - 1, -1).reshape(-1, count * (classes - 1), 4)
    is_present = (proposal_scores > 0).to(logits.dtype)
    scores = (probabilities[..., 1:] * is_present[..., None]).reshape(-1, count * (classes - 1))
    scores, order = scores.topk(min(CANDIDATES, scores.shape[1]), dim=1)
    boxes = _decoded(heads.box_coder, taken(offsets, order), taken(repeated, order), size)
    labels, origins = order % (classes - 1), order // (classes - 1)
    valid = (scores > heads.score_thresh) & _has_area(boxes, 1e-2)  # torchvision's least side of a detection
    surviving = survivors(boxes, labels, valid, heads.nms_thresh)
    scores = scores * valid.to(scores.dtype)
    final, best = (scores * surviving).topk(min(DETECTIONS, heads.detections_per_img, scores.shape[1]), dim=1)
    origin = taken(origins, best)
    return Response(
        maps,
        objectness,
        proposals,
        proposal_scores,
        boxes,
        scores,
        labels,
        taken(boxes, best),
        final,
        taken(labels, best),
        taken(probabilities, origin),
        origin,
    )
