"""Masks in COCO's run-length encoding."""

from __future__ import annotations

import numpy as np

from miqa.running import require


def boxes_of_masks(masks: list[dict]) -> np.ndarray:
    """Return the boxes around run-length encoded masks, float64 (N, 4), left, top, right, bottom in pixels."""
    coder = require('pycocotools.mask', 'Masks of instance segmenters')
    boxes = np.array([coder.toBbox(mask) for mask in masks]).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)


def encode_masks(masks: np.ndarray) -> list[dict]:
    """Turn masks (N, H, W), bool or 0 outside an object and another whole number within, into COCO's run lengths.

    Raises:
        ValueError: they are of another shape, or soft: shares instead of yes and no.
        ImportError: pycocotools is not installed.
    """
    coder = require('pycocotools.mask', 'Masks of instance segmenters')
    if not len(masks):
        return []
    if masks.ndim != 3:
        raise ValueError(f'Masks must have the shape (N, H, W), not {masks.shape}.')
    if masks.dtype != bool:
        inside = masks != 0
        within = masks[inside]
        if within.size and not ((within == within[0]).all() and (masks.dtype.kind in 'iu' or within[0] == 1)):
            raise ValueError(
                'Masks must be binary; these hold other values. Compare them with a threshold, such as 0.5.'
            )
        masks = inside
    return coder.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
