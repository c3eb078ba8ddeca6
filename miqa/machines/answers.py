"""Convert network outputs to predictions: helpers shared by several kinds of machines."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

import numpy as np
import torch
from torch.nn import functional

from .base import ClassPrediction, DetectionPrediction, SegmentationPrediction
from .masks import encode_masks

Answer = TypeVar('Answer')


def runs_batches(device: str, batched: bool | None) -> bool:
    """Tell whether images of one size go through a detector or segmenter together: as asked, or on GPUs alone.

    On a CPU a batch of large images takes as long as its images one by one, and what it rounds depends on the
    neighbours: then answers would not be the same for every way to share out the work.
    """
    return not str(device).startswith('cpu') if batched is None else batched


def digest_of(*texts: str) -> str:
    """Return the SHA-256 of texts."""
    return hashlib.sha256('\0'.join(texts).encode()).hexdigest()


def alike(keys: Iterable[Hashable], together: bool = True) -> list[list[int]]:
    """Group positions whose keys are equal, in the order of their first; one by one if not ``together``.

    Networks that pad a batch to a common size let neighbours change a result; images of one size are never padded.
    """
    if not together:
        return [[position] for position, _ in enumerate(keys)]
    groups: dict[Hashable, list[int]] = {}
    for position, key in enumerate(keys):
        groups.setdefault(key, []).append(position)
    return list(groups.values())


def answered_alike(
    keys: Iterable[Hashable], answer: Callable[[list[int]], Iterable[Answer]], together: bool = True
) -> list[Answer]:
    """Return the answers of images in their order; those whose keys are :func:`alike` are answered together.

    ``answer`` leads from the positions of some images to one answer for each; ``together=False`` takes one at a time.
    """
    answers: dict[int, Answer] = {}
    for members in alike(keys, together):
        answers.update(zip(members, answer(members), strict=True))
    return [answers[position] for position in sorted(answers)]


def class_predictions(logits: torch.Tensor) -> list[ClassPrediction]:
    """Turn logits, float (B, K), into probabilities by a softmax."""
    logits = logits.float()
    probabilities, energies = logits.softmax(1).cpu().numpy(), logits.logsumexp(1).cpu().tolist()
    return [ClassPrediction(row, energy) for row, energy in zip(probabilities, energies, strict=True)]


def detections(boxes, scores, labels, masks=None) -> DetectionPrediction:
    """Turn tensors into a prediction.

    Args:
        boxes: (N, 4), left, top, right, bottom in pixels of the image.
        scores: (N,).
        labels: (N,), class indices.
        masks: bool (N, H, W), or N masks in run-length encoding, or None.
    """
    return DetectionPrediction(
        boxes.detach().float().cpu().numpy().reshape(-1, 4),
        scores.detach().float().cpu().numpy(),
        labels.detach().cpu().numpy().astype(np.int64),
        encode_masks(masks.detach().cpu().numpy()) if torch.is_tensor(masks) else masks,
    )


def class_map(logits: torch.Tensor, size: tuple[int, int]) -> SegmentationPrediction:
    """Turn logits, float (K, h, w), into the class of each pixel of an image of ``size`` (H, W).

    Logits are enlarged bilinearly before the best is taken, as MMSegmentation and transformers do.

    Raises:
        ValueError: a logit is NaN.
    """
    whole = functional.interpolate(logits[None].float(), size, mode='bilinear', align_corners=False)[0]
    return SegmentationPrediction(small_integers(best_classes(whole).cpu().numpy()))


def best_classes(logits: torch.Tensor) -> torch.Tensor:
    """Return the class of the highest logit of each pixel, (H, W), of logits (K, H, W).

    Raises:
        ValueError: one is NaN, which PyTorch would take for the highest.
    """
    if logits.isnan().any():
        raise ValueError('The logits of the map of classes hold NaN.')
    return logits.argmax(0)


def scores_of_queries(logits: torch.Tensor, masks: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return the scores of K classes in each pixel of an input of ``size`` (h, w), float (K, h, w).

    Formula: s_k(x) = sum_q softmax(logits_q)_k sigmoid(masks_q(x)), without the last class, which is no object; masks
    are enlarged bilinearly before (Cheng et al., NeurIPS 2021 and CVPR 2022, ``semantic_inference``; transformers,
    ``post_process_semantic_segmentation``). ``logits`` are (1, Q, K + 1), ``masks`` logits (1, Q, h', w').

    Raises:
        ValueError: they are of other shapes.
    """
    if logits.ndim != 3 or masks.ndim != 4 or logits.shape[:2] != masks.shape[:2] or logits.shape[2] < 2:
        raise ValueError(
            f'Classes of queries are (1, Q, K + 1) and their masks (1, Q, h, w), not {tuple(logits.shape)} and '
            f'{tuple(masks.shape)}.'
        )
    chances = logits[0].softmax(1)[:, :-1]
    whole = functional.interpolate(masks[:1], size, mode='bilinear', align_corners=False)[0].sigmoid()
    return torch.einsum('qk,qhw->khw', chances, whole)


def small_integers(labels: np.ndarray) -> np.ndarray:
    """Store a map of class indices, (H, W), as uint8 where that suffices, else as uint16.

    Raises:
        ValueError: an index is negative or above 65535.
    """
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > 65535:
        raise ValueError(f'Class indices of pixels must lie in 0 to 65535; these go from {low} to {high}.')
    return labels.astype(np.uint8 if high < 256 else np.uint16)
