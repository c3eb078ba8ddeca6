"""Which outputs cover a grid each, and how their values lie."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from miqa.machines.onnx_places import COARSEST, STRIDES

from .readings import Observed, corner_share

BINS = (16, 8, 17)  # Bins of a distance: YOLOv8 to 12 have 16, NanoDet 8, YOLOv6 and PP-YOLOE 17, GFL and YOLO-NAS 17
_DENSE = 100  # More boxes than these are those of all places: their corners tell xyxy from cxcywh
MOST_QUERIES = 1000  # More queries no transformer has; more places need suppression


def box_formats(boxes: np.ndarray, places: int) -> list[str]:
    """Return what finished boxes (N, 4), those of ``places`` places in each sample, can be: xyxy, cxcywh."""
    if corner_share(boxes[boxes.any(1)]) <= 0.98:
        return ['cxcywh']
    return ['xyxy'] if places > _DENSE else ['xyxy', 'cxcywh']


def stride_of(grid: Sequence[int], size: tuple[int, int]) -> int | None:
    """Return the stride of a grid of (rows, columns) in an input of (height, width), or None."""
    for stride in STRIDES:
        if list(grid) == [math.ceil(size[0] / stride), math.ceil(size[1] / stride)]:
            return stride
    return None


def levels_of(names: Sequence[str], observed: Observed) -> list[tuple[int, str, int]]:
    """Return (stride, name, width) of outputs that all cover one grid each, else nothing."""
    levels = []
    for name in names:
        shape = list(observed.samples[0][name].shape)[1:]
        if len(shape) == 3:
            readings = [
                (stride, name, width)
                for grid, width in ((shape[1:], shape[0]), (shape[:-1], shape[-1]))
                if (stride := stride_of(grid, observed.size))
            ]
        elif len(shape) == 2:
            cells = {math.ceil(observed.size[0] / s) * math.ceil(observed.size[1] / s): s for s in STRIDES}
            readings = [
                (cells[count], name, width) for count, width in (shape, shape[::-1]) if count in cells and width > 0
            ]
        else:
            readings = []
        if not readings:
            return []
        levels.append(readings[0])
    # The finest grid of a detector is fine, and each next one half of it; else another number was taken for cells.
    strides = sorted({stride for stride, _, _ in levels})
    halving = all(coarse == 2 * fine for fine, coarse in itertools.pairwise(strides))
    return levels if strides and strides[0] <= COARSEST and halving else []


def values_last(names: Sequence[str], observed: Observed) -> dict[str, bool]:
    """Return the option that maps have their values last, where some show it: as many classes as columns hide it."""
    shapes = [observed.samples[0][name].shape[1:] for name in names]
    maps = [
        (stride_of(shape[1:], observed.size), stride_of(shape[:-1], observed.size))
        for shape in shapes
        if len(shape) == 3
    ]
    return {'values_first': False} if any(last and not first for first, last in maps) else {}


def is_prototype(name: str, observed: Observed) -> bool:
    """Return True for prototypes of masks, (1, 32, h, w) at a quarter of the input."""
    shape = observed.samples[0][name].shape
    return (
        len(observed.names) > 1
        and len(shape) == 4
        and shape[1] == 32
        and stride_of(shape[2:], observed.size) == 4
        and len(observed.names) == 2
    )
