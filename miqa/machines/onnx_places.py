"""Dense detector heads: from grids of predictions to boxes and scores.

A *place* is a cell of a grid (or an anchor), for which a head gives a box, a score for each class, and perhaps an
objectness. The grids of one head have strides such as 8, 16 and 32 pixels of the input, the finest first, row by row.

Sources of the formulas: YOLOX (Ge et al., arXiv:2107.08430, ``yolox/models/yolo_head.py``, ``decode_outputs``);
distributions: Generalized Focal Loss (Li et al., NeurIPS 2020) as in NanoDet (``nanodet/model/head/nanodet_head.py``);
distances: FCOS (Tian et al., ICCV 2019); FastestDet (``utils/tool.py``, ``handle_preds``); anchors: YOLOv5
(``models/yolo.py``, ``Detect``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

#: What the values of a box mean. The first four are finished coordinates; the others belong to a cell of a grid:
#: ``offsets`` (centre in cells from the cell's corner, log of width and height in cells; YOLOX), ``distances`` (left,
#: top, right, bottom from the cell's point, in cells) and ``distance_pixels`` (the same in pixels), ``distribution``
#: (bins of each distance), ``tanh`` (centre in cells by tanh, width and height as shares of the input by a sigmoid;
#: FastestDet).
BOX_FORMATS = (
    'cxcywh', 'xyxy', 'yxyx', 'xywh', 'offsets', 'distances', 'distance_pixels', 'distribution', 'tanh',
)  # fmt: skip

CELL_FORMATS = BOX_FORMATS[4:]  # Formats whose values mean nothing without the cell

#: Where a cell's own point lies: at its corner, in its middle, or at its middle pixel, (stride - 1) / 2.
CELL_POINTS = ('corner', 'middle', 'pixel')

STRIDES = (4, 8, 16, 32, 64, 128)  # Strides that heads have
COARSEST = 32  # The finest grid of a detector has at most this stride

_MOST_LOG = 13.0  # Logarithms of sizes above this one are no boxes (8 times a grid of 2**10 cells); keeps exp() finite


def grid_strides(places: int, size: tuple[int, int]) -> tuple[int, ...] | None:
    """Return the strides of the grids that together have ``places`` cells in an input of (height, width), or None.

    Neighbouring strides alone are considered, each twice the one before and the finest at most 32; several answers are
    not possible, as the finest grid has three quarters of all cells.
    """
    for first in range(STRIDES.index(COARSEST) + 1):
        for last in range(first + 1, len(STRIDES) + 1):
            strides = STRIDES[first:last]
            if sum(math.prod(_cells(size, stride)) for stride in strides) == places:
                return strides
    return None


def _cells(size: tuple[int, int], stride: int) -> tuple[int, int]:
    return math.ceil(size[0] / stride), math.ceil(size[1] / stride)


def cell_corners(size: tuple[int, int], strides: Sequence[int]) -> torch.Tensor:
    """Return float32 (A, 3): left and top of each cell in pixels of the input of (height, width), and its stride."""
    grids = []
    for stride in strides:
        rows, columns = _cells(size, stride)
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing='ij')
        grids.append(
            torch.stack([x.flatten() * stride, y.flatten() * stride, torch.full((rows * columns,), stride)], 1)
        )
    return torch.cat(grids).float()


def rows_of(array: np.ndarray, width: int, values_first: bool | None = None) -> torch.Tensor:
    """Turn one output of a head into float32 (A, width), one row for each place.

    ``array`` is (A, width), (width, A), (width, h, w) or (h, w, width), with any axes of length 1; ``values_first``
    decides where both could be.

    Raises:
        ValueError: the array has no axis of that length.
    """
    shape = [side for side in array.shape if side != 1]
    if width == 1:
        return torch.from_numpy(np.asarray(array, np.float32)).reshape(-1, 1)
    if len(shape) == 1 and shape[0] == width:  # one place alone
        return torch.from_numpy(np.asarray(array, np.float32)).reshape(1, width)
    ends = [len(shape) > 1 and shape[0] == width, len(shape) > 1 and shape[-1] == width]
    if not any(ends):
        raise ValueError(
            f'An output {array.shape} has no axis of {width} values. Another layout, or number of classes?'
        )
    # Maps have their values first, matrices last, where the lengths do not say it.
    first = ends[0] and (not ends[1] or (len(shape) == 3 if values_first is None else values_first))
    values = torch.from_numpy(np.asarray(array, np.float32)).reshape(shape)
    return values.reshape(width, -1).T if first else values.reshape(-1, width)


def decoded_boxes(
    values: torch.Tensor, kind: str, size: tuple[int, int], strides: Sequence[int], point: str = 'middle'
) -> torch.Tensor:
    """Turn the values of boxes into float32 (A, 4), left, top, right, bottom.

    Args:
        values: float32 (A, 4), or (A, 4 * bins) for ``distribution``.
        kind: one of :data:`BOX_FORMATS`.
        size: (height, width) of the input in pixels.
        strides: of the grids, for the formats of cells; the boxes are then in pixels of the input. For the others they
            are in whatever unit the values have.
        point: one of :data:`CELL_POINTS`, from where distances are measured.

    Raises:
        ValueError: the grids have another number of cells than there are values.
    """
    if kind == 'yxyx':
        return values[:, [1, 0, 3, 2]]
    if kind not in CELL_FORMATS:
        from torchvision.ops import box_convert  # torchvision takes seconds to import

        return values if kind == 'xyxy' else box_convert(values, kind, 'xyxy')
    cells = cell_corners(size, strides)
    if len(cells) != len(values):
        raise ValueError(
            f'{len(values)} places do not fit grids of strides {", ".join(map(str, strides))} in an input of '
            f'{size[1]}x{size[0]} pixels, which have {len(cells)}.'
        )
    corners, stride = cells[:, :2], cells[:, 2:]
    if kind in ('offsets', 'tanh'):
        if kind == 'offsets':
            centres = corners + values[:, :2] * stride
            sides = values[:, 2:].clamp(max=_MOST_LOG).exp() * stride
        else:
            centres = corners + values[:, :2].tanh() * stride
            sides = values[:, 2:].sigmoid() * values.new_tensor([size[1], size[0]])
        return torch.cat([centres - sides / 2, centres + sides / 2], 1)
    if kind == 'distribution':
        bins = values.shape[1] // 4
        values = values.reshape(-1, 4, bins).softmax(2) @ torch.arange(bins, dtype=torch.float32)
    if kind != 'distance_pixels':
        values = values * stride
    shift = {'corner': 0.0 * stride, 'middle': stride / 2, 'pixel': (stride - 1) / 2}[point]
    points = corners + shift
    return torch.cat([points - values[:, :2], points + values[:, 2:]], 1)


def class_scores(
    values: torch.Tensor,
    objectness: torch.Tensor | None,
    activation: str = 'none',
    background: str = 'none',
    powers: tuple[float, float] = (1.0, 1.0),
) -> torch.Tensor:
    """Return scores in [0, 1], float32 (A, K).

    Args:
        values: (A, K), or (A, K + 1) with a background.
        objectness: (A, 1) or None.
        activation: ``none``, ``sigmoid`` or ``softmax`` (of the classes alone; objectness then gets a sigmoid).
        background: its column, ``first`` or ``last``, which is left out; or ``none``.
        powers: exponents of objectness and class in their product.
    """
    if activation == 'softmax':
        values = values.softmax(1)
    elif activation == 'sigmoid':
        values = values.sigmoid()
    if background != 'none':
        values = values[:, 1:] if background == 'first' else values[:, :-1]
    if objectness is None:
        return values
    objectness = objectness if activation == 'none' else objectness.sigmoid()
    if powers != (1.0, 1.0):
        return objectness.clamp(min=0) ** powers[0] * values.clamp(min=0) ** powers[1]
    return objectness * values
