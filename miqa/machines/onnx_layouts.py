"""What the outputs of common exports of detectors mean: from a network's arrays to boxes, scores, labels and masks.

A layout is a function of the outputs by name, where the image lies in the input, and the options.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torchvision.ops import batched_nms, box_convert

from miqa.taxonomy import check_choice

from .answers import detections
from .base import DetectionPrediction
from .onnx_preparation import Placement

COORDINATES = ('input', 'relative', 'image')
ACTIVATIONS = ('softmax', 'sigmoid')
CORNERS = ('xyxy', 'yxyx')


@dataclass(frozen=True)
class LayoutOptions:
    """How outputs are read.

    Attributes:
        names: role of an output (``boxes``, ``scores``, ``labels``, ``masks``, ``logits``) -> its name in the file.
        masks: read masks, too (ins).
        threshold: answers with a lower score are dropped at once.
        limit: at most so many answers.
        coordinates: ``boxes_scores_labels``: boxes are in pixels of the ``input``, in ``relative`` shares of it, or
            already in pixels of the ``image``.
        objectness: ``yolo``: there is a column of objectness before the classes (YOLOv5, YOLOX, YOLOv7).
        classes: ``yolo``: number of classes, or None to infer it.
        end_to_end: ``yolo``: suppression is inside the network (YOLOv10, YOLO26, ``nms=True``).
        iou: ``yolo``: overlapping boxes of one class above this intersection over union are suppressed.
        activation: ``detr``: ``softmax`` with a last class for no object (DETR), or ``sigmoid`` (RT-DETR, Deformable).
        corners: ``boxes_scores_labels``: order in a box; ``yxyx`` (top, left, bottom, right) for TensorFlow's.
    """

    names: dict[str, str]
    masks: bool = False
    threshold: float = 0.01
    limit: int = 300
    coordinates: str = 'input'
    objectness: bool = False
    classes: int | None = None
    end_to_end: bool = False
    iou: float = 0.7
    activation: str = 'softmax'
    corners: str = field(default='xyxy', repr=False)

    def __post_init__(self):
        check_choice(self.coordinates, COORDINATES, 'kind of coordinates')
        check_choice(self.activation, ACTIVATIONS, 'activation')
        check_choice(self.corners, CORNERS, 'order of corners')
        if not 0 <= self.iou <= 1:
            raise ValueError(f'iou must lie in [0, 1], not {self.iou}.')


def boxes_scores_labels(outputs: dict, place: Placement, options: LayoutOptions) -> DetectionPrediction:
    """Read finished detections: boxes (N, 4) xyxy, scores (N,), labels (N,), and soft masks (N, h, w) of the input.

    Each may have leading axes of length 1. Torchvision's exports, RT-DETR's own and many with suppression inside. Boxes
    (N, 5) end with their score, as MMDeploy's do; then no other output of scores is read.

    Raises:
        ValueError: the outputs are of other shapes, or do not agree in N.
    """
    rows = _tensor(outputs[options.names['boxes']])
    if rows.shape[-1] not in (4, 5):
        raise ValueError(
            f'Output {options.names["boxes"]} is {tuple(rows.shape)}; finished boxes have four values, or five with '
            'their score. Another layout?'
        )
    with_scores = rows.shape[-1] == 5
    rows = rows.reshape(-1, rows.shape[-1])
    boxes = rows[:, :4]
    if options.corners == 'yxyx':
        boxes = boxes[:, [1, 0, 3, 2]]
    scores = rows[:, 4] if with_scores else _tensor(outputs[options.names['scores']]).reshape(-1)
    labels = torch.from_numpy(outputs[options.names['labels']].astype(np.int64)).reshape(-1)
    if not len(boxes) == len(scores) == len(labels):
        raise ValueError(
            f'The outputs have {len(boxes)} boxes, {len(scores)} scores and {len(labels)} labels. Scores of every '
            'class for each box are no finished detections: export the file with its suppression.'
        )
    keep = _best(scores, options)
    boxes = _as_pixels(boxes[keep], place, options.coordinates)
    if not options.masks:
        return detections(boxes, scores[keep], labels[keep])
    maps = _tensor(outputs[options.names['masks']])
    return _with_masks(maps.reshape(-1, *maps.shape[-2:])[keep], place, 0.5, boxes, scores[keep], labels[keep])


def yolo(outputs: dict, place: Placement, options: LayoutOptions) -> DetectionPrediction:
    """Read a YOLO head: (1, C, A) or (1, A, C) for A places and C values.

    The values are centre x and y, width, height (pixels of the input), perhaps objectness, K classes, and perhaps
    coefficients of masks, whose prototypes (1, M, h, w) are another output. A score is the class' (times objectness);
    each place gives its best class; boxes of one class suppress each other. With ``end_to_end`` the values are left,
    top, right, bottom, score, label and perhaps coefficients, and nothing is suppressed here.
    """
    rows, prototypes = _yolo_rows(outputs, options)
    if options.end_to_end:
        keep = _best(rows[:, 4], options)
        boxes, scores, labels, factors = rows[keep, :4], rows[keep, 4], rows[keep, 5].long(), rows[keep, 6:]
    else:
        start = 5 if options.objectness else 4
        stop = rows.shape[1] - (len(prototypes) if prototypes is not None else 0)
        chances = rows[:, start:stop] * (rows[:, 4:5] if options.objectness else 1)
        scores, labels = chances.max(1)
        keep = torch.nonzero(scores > options.threshold)[:, 0]
        boxes = box_convert(rows[keep, :4], 'cxcywh', 'xyxy')
        best = batched_nms(boxes, scores[keep], labels[keep], options.iou)[: options.limit]
        keep, boxes = keep[best], boxes[best]
        scores, labels, factors = scores[keep], labels[keep], rows[keep, stop:]
    boxes = place.boxes_to_image(boxes)
    if not options.masks:
        return detections(boxes, scores, labels)
    if prototypes is None:
        raise ValueError('The ONNX file has no prototypes of masks as second output, so it does det, not ins.')
    maps = torch.einsum('nm,mhw->nhw', factors, prototypes)
    return _with_masks(maps, place, 0.0, boxes, scores, labels, cut=True)


def detr(outputs: dict, place: Placement, options: LayoutOptions) -> DetectionPrediction:
    """Read queries: logits (1, Q, K), boxes (1, Q, 4) and perhaps logits of masks (1, Q, h, w).

    Boxes are centre x and y, width and height in shares of the input. With ``softmax`` the last class means no object,
    and each query gives its best class; with ``sigmoid`` the best pairs of query and class are taken.
    """
    logits = _tensor(outputs[options.names['logits']])[0]
    if options.activation == 'softmax':
        scores, labels = logits.softmax(1)[:, :-1].max(1)
        queries = torch.arange(len(scores))
    else:
        scores, places = logits.sigmoid().flatten().topk(min(options.limit, logits.numel()))
        queries, labels = places // logits.shape[1], places % logits.shape[1]
    keep = _best(scores, options)
    queries = queries[keep]
    boxes = box_convert(_tensor(outputs[options.names['boxes']])[0, queries], 'cxcywh', 'xyxy')
    boxes = _as_pixels(boxes, place, 'relative')
    if not options.masks:
        return detections(boxes, scores[keep], labels[keep])
    maps = _tensor(outputs[options.names['masks']])[0, queries]
    return _with_masks(maps, place, 0.0, boxes, scores[keep], labels[keep])


#: Layout -> its function, and the usual names of its outputs.
LAYOUTS = {
    'boxes_scores_labels': (boxes_scores_labels, {name: name for name in ('boxes', 'scores', 'labels', 'masks')}),
    'yolo': (yolo, {}),
    'detr': (detr, {'logits': 'logits', 'boxes': 'pred_boxes', 'masks': 'pred_masks'}),
}


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))


def _best(scores: torch.Tensor, options: LayoutOptions) -> torch.Tensor:
    order = scores.argsort(descending=True, stable=True)
    return order[scores[order] > options.threshold][: options.limit]


def _as_pixels(boxes: torch.Tensor, place: Placement, coordinates: str) -> torch.Tensor:
    if coordinates == 'image':
        return boxes
    if coordinates == 'relative':
        height, width = place.canvas
        boxes = boxes * boxes.new_tensor([width, height, width, height])
    return place.boxes_to_image(boxes)


def _yolo_rows(outputs: dict, options: LayoutOptions) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return rows (A, C), one for each place, and the prototypes (M, h, w) or None."""
    arrays = [_tensor(value) for value in outputs.values()]
    heads = [value[0] for value in arrays if value.ndim == 3]
    prototypes = next((value[0] for value in arrays if value.ndim == 4), None)
    if len(heads) != 1:
        shapes = ', '.join(f'{name} {value.shape}' for name, value in outputs.items())
        raise ValueError(f'A YOLO head is one output of three axes; this file has: {shapes}. Another layout?')
    rows = heads[0]
    columns = None
    masks = len(prototypes) if prototypes is not None else 0
    if options.end_to_end:
        columns = 6 + masks
    elif options.classes is not None:
        columns = 4 + options.objectness + options.classes + masks
    if rows.shape[0] == rows.shape[1]:
        # As many places as values: YOLOv8 and later put the values first, heads with objectness the places.
        turned = not (options.objectness or options.end_to_end)
    elif columns in rows.shape:
        turned = rows.shape[1] != columns
    else:
        turned = rows.shape[0] < rows.shape[1]  # places are usually far more than values
    rows = rows.T if turned else rows
    if columns is not None and rows.shape[1] != columns:
        raise ValueError(
            f'The YOLO head is {tuple(heads[0].shape)}, but {options} would make {columns} values for each place. '
            f'Correct classes=, or objectness= or end_to_end= in layout_options.'
        )
    return rows, prototypes


def _with_masks(maps, place: Placement, threshold: float, boxes, scores, labels, cut: bool = False):
    """Return the detections whose masks are not empty."""
    masks, seen = place.masks_to_image(maps, threshold, boxes if cut else None)
    return detections(boxes[seen], scores[seen], labels[seen], masks)
