"""Masks in COCO's run-length encoding."""

from __future__ import annotations

import numpy as np

from ..utils import require


def encode_masks(masks: np.ndarray) -> list[dict]:
    """Turn binary masks (N, H, W) into COCO's run-length encoding."""
    coder = require('pycocotools.mask', 'Masks of instance segmenters')
    if not len(masks):
        return []
    return coder.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
