"""Output layouts of exported detectors: from a network's arrays to boxes, scores, labels and masks.

A layout is a function of the outputs by name, where the image lies in the input, and the options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch

from miqa.taxonomy import check_choice

from .answers import detections
from .base import DetectionPrediction
from .masks import boxes_of_masks
from .onnx_places import BOX_FORMATS, CELL_FORMATS, CELL_POINTS, class_scores, decoded_boxes, rows_of
from .onnx_preparation import Placement, masks_in_boxes

COORDINATES = ('input', 'relative', 'image')
ACTIVATIONS = ('softmax', 'sigmoid', 'none')
CORNERS = ('xyxy', 'yxyx')
BACKGROUNDS = ('none', 'first', 'last')
PARTS = ('boxes', 'objectness', 'scores')
MASK_AREAS = ('input', 'box', 'image')

COLUMNS = ('left', 'top', 'right', 'bottom', 'score', 'label', 'unread')  # What a column of ``rows`` may be

#: At most so many pairs of place and class go into the suppression, the best, as with Ultralytics.
_MOST_CANDIDATES = 30_000


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
            ``places``: what makes scores of the network's numbers; ``none`` where they are scores.
        corners: ``boxes_scores_labels``: order in a box; ``yxyx`` (top, left, bottom, right) for TensorFlow's.
        box_format: what four values of a box mean, see :data:`miqa.machines.onnx_places.BOX_FORMATS`; None for the
            layout's usual: ``xyxy``, or ``cxcywh`` for ``yolo``, ``detr`` and ``places``.
        strides: ``places``: pixels of the input for a cell of each grid, for the box formats of cells.
        point: ``places``: where a cell's point lies, see :data:`miqa.machines.onnx_places.CELL_POINTS`.
        background: ``places``: ``first`` or ``last`` where a class of that place means no object; ``detr`` with
            ``sigmoid``: the same, left out; cls: ``first`` leaves out class 0 (TensorFlow's 1,001 classes).
        powers: ``places``: exponents of objectness and class in the score.
        parts: ``places`` with all values of a place in one output: their order, such as ``('boxes', 'objectness',
            'scores')``.
        bins: ``places``: bins of one distance, for ``distribution``.
        unread: ``places``: values after these that are not read, such as key points.
        values_first: ``places``: the values are the first axis, where the shape does not say it.
        several_labels: ``places``: a place may give several classes, each above the threshold, not only its best.
        columns: ``rows``: what each column is, out of :data:`COLUMNS`.
        mask_area: ``boxes_scores_labels``, ``rows``: a mask covers the ``input``, its ``box`` alone, or the
            ``image`` in its pixels.
        suppress: ``boxes_scores_labels``, ``rows``: the detections are those of every place, before any suppression.
    """

    names: dict[str, str | Sequence[str]]
    masks: bool = False
    threshold: float = 0.01
    limit: int = 300
    coordinates: str = 'input'
    objectness: bool = False
    classes: int | None = None
    end_to_end: bool = False
    iou: float = 0.7
    activation: str = 'softmax'
    # What came later is no part of the representation, so that the fingerprints of older configs stay; see `further`.
    corners: str = field(default='xyxy', repr=False)
    box_format: str | None = field(default=None, repr=False)
    strides: Sequence[int] = field(default=(), repr=False)
    point: str = field(default='middle', repr=False)
    background: str = field(default='none', repr=False)
    powers: Sequence[float] = field(default=(1.0, 1.0), repr=False)
    parts: Sequence[str] = field(default=('boxes', 'scores'), repr=False)
    bins: int = field(default=1, repr=False)
    unread: int = field(default=0, repr=False)
    values_first: bool | None = field(default=None, repr=False)
    several_labels: bool = field(default=False, repr=False)
    columns: Sequence[str] = field(default=('left', 'top', 'right', 'bottom', 'score', 'label'), repr=False)
    suppress: bool = field(default=False, repr=False)
    mask_area: str = field(default='input', repr=False)

    def __post_init__(self):
        if self.box_format is not None:
            check_choice(self.box_format, BOX_FORMATS, 'format of boxes')
        check_choice(self.point, CELL_POINTS, 'point of a cell')
        check_choice(self.background, BACKGROUNDS, 'place of the background')
        for part in self.parts:
            check_choice(part, PARTS, 'part of a place')
        for column in self.columns:
            check_choice(column, COLUMNS, 'column')
        check_choice(self.coordinates, COORDINATES, 'kind of coordinates')
        check_choice(self.activation, ACTIVATIONS, 'activation')
        check_choice(self.corners, CORNERS, 'order of corners')
        check_choice(self.mask_area, MASK_AREAS, 'area of masks')
        if not 0 <= self.iou <= 1:
            raise ValueError(f'iou must lie in [0, 1], not {self.iou}.')

    def further(self) -> list[str]:
        """Return what the representation leaves out and is not the default, for fingerprints."""
        later = [item for item in fields(self) if not item.repr and item.name != 'corners']
        changed = {item.name: getattr(self, item.name) for item in later}
        defaults = {item.name: item.default for item in later}
        return [
            f'{name}={list(value) if isinstance(value, (list, tuple)) else value}'
            for name, value in changed.items()
            if (tuple(value) if isinstance(value, list) else value) != defaults[name]
        ]


def boxes_scores_labels(outputs: dict, place: Placement, options: LayoutOptions) -> DetectionPrediction:
    """Read finished detections: boxes (N, 4) xyxy, scores (N,), labels (N,), and soft masks (N, h, w) of the input.

    Each may have leading axes of length 1. Torchvision's exports, RT-DETR's own and many with suppression inside. Boxes
    (N, 5) end with their score, as MMDeploy's do; then no other output of scores is read. Masks may cover their boxes
    alone (``mask_area``). With '' as the name of the boxes they are those around the masks (SOLO, SparseInst).

    Raises:
        ValueError: the outputs are of other shapes, or do not agree in N.
    """
    if not options.names['boxes']:
        scores, labels = (_tensor(outputs[options.names[role]]).reshape(-1) for role in ('scores', 'labels'))
        keep = _best(scores, options)
        maps = _maps(outputs, options)[keep]
        return _around_masks(maps, place, 0.5, scores[keep], labels[keep].long(), options)
    rows = _tensor(outputs[options.names['boxes']])
    if rows.shape[-1] not in (4, 5):
        raise ValueError(
            f'Output {options.names["boxes"]} is {tuple(rows.shape)}; finished boxes have four values, or five with '
            'their score. Another layout?'
        )
    with_scores = rows.shape[-1] == 5
    rows = rows.reshape(-1, rows.shape[-1])
    boxes = decoded_boxes(rows[:, :4], options.box_format or options.corners, place.canvas, ())
    scores = rows[:, 4] if with_scores else _tensor(outputs[options.names['scores']]).reshape(-1)
    if options.names['labels']:
        labels = torch.from_numpy(outputs[options.names['labels']].astype(np.int64)).reshape(-1)
    else:
        labels = torch.zeros(len(scores), dtype=torch.int64)
    if not len(boxes) == len(scores) == len(labels):
        raise ValueError(
            f'The outputs have {len(boxes)} boxes, {len(scores)} scores and {len(labels)} labels. Scores of every '
            'class for each box are not finished detections: export the file with its suppression.'
        )
    scores = torch.where(labels >= 0, scores, -1.0)  # rows that fill up a fixed number
    keep = _suppressed(boxes, scores, labels, options)
    return _finished(outputs, place, options, keep, boxes, scores, labels)


def yolo(outputs: dict, place: Placement, options: LayoutOptions) -> DetectionPrediction:
    """Read a YOLO head: (1, C, A) or (1, A, C) for A places and C values.

    The values are centre x and y, width, height (pixels of the input), perhaps objectness, K classes, and perhaps
    coefficients of masks, whose prototypes (1, M, h, w) are another output. A score is the class' (times objectness);
    each place gives its best class; boxes of one class suppress each other. With ``end_to_end`` the values are left,
    top, right, bottom, score, label and perhaps coefficients, and nothing is suppressed here.
    """
    from torchvision.ops import box_convert  # torchvision takes seconds to import

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
        best = _best_apart(boxes, scores[keep], labels[keep], options)
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
    from torchvision.ops import box_convert

    logits = _tensor(outputs[options.names['logits']])[0]
    if options.activation == 'softmax':
        scores, labels = logits.softmax(1)[:, :-1].max(1)
        queries = torch.arange(len(scores))
    else:
        unused = options.background
        logits = logits[:, 1:] if unused == 'first' else logits[:, :-1] if unused == 'last' else logits
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


def mask_queries(outputs: dict, place: Placement, options: LayoutOptions) -> DetectionPrediction:
    """Read queries without boxes: logits (1, Q, K + 1), the last of no object, and logits of masks (1, Q, h, w).

    The score of a pair of query and class is its probability times the mean probability of the pixels in its mask
    (Mask2Former, ``instance_inference``; transformers, ``post_process_instance_segmentation``).
    """
    chances = _tensor(outputs[options.names['logits']])[0].softmax(1)[:, :-1]
    scores, pairs = chances.flatten().topk(min(options.limit, len(chances)))
    keep = scores > options.threshold
    scores, labels = scores[keep], pairs[keep] % chances.shape[1]
    maps = _tensor(outputs[options.names['masks']])[0, pairs[keep] // chances.shape[1]]
    for i, one in enumerate(maps):
        mask = place.maps_of_input(one[None])
        scores[i] *= mask[mask > 0].sigmoid().mean() if (mask > 0).any() else 0.0
    keep = _best(scores, options)
    return _around_masks(maps[keep], place, 0.0, scores[keep], labels[keep], options)


def places(outputs: dict, place: Placement, options: LayoutOptions) -> DetectionPrediction:
    """Read a head with outputs at every place of its grids, see :mod:`miqa.machines.onnx_places`.

    The names ``boxes``, ``scores`` and perhaps ``objectness`` are one output each, or one for each grid, the finest
    first; or ``rows`` alone, whose outputs hold all values of a place in the order of ``parts``. Overlapping boxes of
    one class are suppressed.

    Raises:
        ValueError: the outputs are of other shapes.
    """
    values, objectness, chances = parts_of(outputs, options)
    kind = options.box_format or 'cxcywh'
    boxes = decoded_boxes(values, kind, place.canvas, options.strides, options.point)
    scores = class_scores(
        chances, objectness, options.activation, options.background, (options.powers[0], options.powers[1])
    )
    if len(scores) != len(boxes):
        raise ValueError(f'The outputs have {len(boxes)} boxes, but scores of {len(scores)} places.')
    if options.several_labels:
        keep, labels = torch.nonzero(scores > options.threshold).T
        chosen = scores[keep, labels]
    else:
        best, classes = scores.max(1)
        keep = torch.nonzero(best > options.threshold)[:, 0]
        chosen, labels = best[keep], classes[keep]
    if len(chosen) > _MOST_CANDIDATES:
        chosen, order = chosen.topk(_MOST_CANDIDATES)
        keep, labels = keep[order], labels[order]
    coordinates = 'input' if kind in CELL_FORMATS else options.coordinates
    kept_boxes = boxes[keep]
    best = _best_apart(kept_boxes, chosen, labels, options)
    return detections(_as_pixels(kept_boxes[best], place, coordinates), chosen[best], labels[best])


def parts_of(outputs: dict, options: LayoutOptions) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """Return the values of boxes (A, 4 * bins), the objectness (A, 1) or None, and those of classes (A, K)."""
    if options.classes is None:
        raise ValueError('Layout places needs the number of classes: classes= in layout_options, or their names.')
    widths = {'boxes': 4 * options.bins, 'objectness': 1, 'scores': options.classes + (options.background != 'none')}
    names = {role: [name] if isinstance(name, str) else list(name) for role, name in options.names.items()}
    if 'boxes' in names:
        parts = {
            role: torch.cat([rows_of(outputs[name], widths[role], options.values_first) for name in names[role]])
            for role in PARTS
            if role in names
        }
    else:
        together = names.get('rows') or list(outputs)[:1]
        width = sum(widths[part] for part in options.parts) + options.unread
        rows = torch.cat([rows_of(outputs[name], width, options.values_first) for name in together])
        pieces = rows.split([*(widths[part] for part in options.parts), options.unread], dim=1)
        parts = dict(zip(options.parts, pieces, strict=False))
    return parts['boxes'], parts.get('objectness'), parts['scores']


def rows(outputs: dict, place: Placement, options: LayoutOptions) -> DetectionPrediction:
    """Read finished detections that are rows of one output, (N, C) with any leading axes of length 1.

    Examples are YOLOv7's export with suppression (number of the picture, box, label, score), PaddleDetection's (label,
    score, box) and the DetectionOutput of Caffe and OpenVINO (number, label, score, box as shares). Labels below 0
    mean that a row is empty.

    Raises:
        ValueError: the output has another number of columns than ``columns`` names.
    """
    names = options.names.get('rows') or list(outputs)[:1]
    table = _tensor(outputs[names if isinstance(names, str) else names[0]])
    if table.shape[-1] != len(options.columns):
        raise ValueError(f'The output is {tuple(table.shape)}, but {len(options.columns)} columns are named.')
    table = table.reshape(-1, table.shape[-1])
    place_of = {name: options.columns.index(name) for name in COLUMNS if name in options.columns}
    boxes = table[:, [place_of[side] for side in COLUMNS[:4]]]
    boxes = decoded_boxes(boxes, options.box_format or 'xyxy', place.canvas, ())
    labels = table[:, place_of['label']].long() if 'label' in place_of else torch.zeros(len(table), dtype=torch.int64)
    scores = torch.where(labels >= 0, table[:, place_of['score']], -1.0)
    keep = _suppressed(boxes, scores, labels, options)
    return _finished(outputs, place, options, keep, boxes, scores, labels)


#: Layout -> its function, and the usual names of its outputs.
LAYOUTS = {
    'boxes_scores_labels': (boxes_scores_labels, {name: name for name in ('boxes', 'scores', 'labels', 'masks')}),
    'yolo': (yolo, {}),
    'detr': (detr, {'logits': 'logits', 'boxes': 'pred_boxes', 'masks': 'pred_masks'}),
    'mask_queries': (mask_queries, {'logits': 'class_queries_logits', 'masks': 'masks_queries_logits'}),
    'places': (places, {}),
    'rows': (rows, {}),
}


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))


def _best(scores: torch.Tensor, options: LayoutOptions) -> torch.Tensor:
    order = scores.argsort(descending=True, stable=True)
    return order[scores[order] > options.threshold][: options.limit]


def _suppressed(boxes, scores, labels, options: LayoutOptions) -> torch.Tensor:
    """Return which finished detections are kept, the best first."""
    if not options.suppress:
        return _best(scores, options)
    keep = torch.nonzero(scores > options.threshold)[:, 0]
    return keep[_best_apart(boxes[keep], scores[keep], labels[keep], options)]


def _best_apart(boxes, scores, labels, options: LayoutOptions) -> torch.Tensor:
    """Return which boxes remain after suppression of the overlapping ones of a class, the best first."""
    from torchvision.ops import batched_nms

    return batched_nms(boxes, scores, labels, options.iou)[: options.limit]


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


def _maps(outputs: dict, options: LayoutOptions) -> torch.Tensor:
    if 'masks' not in options.names:
        raise ValueError('No output is named for the masks that ins needs: masks_name=...')
    maps = _tensor(outputs[str(options.names['masks'])])
    return maps.reshape(-1, *maps.shape[-2:])


def _finished(outputs, place: Placement, options: LayoutOptions, keep, boxes, scores, labels) -> DetectionPrediction:
    """Return those of finished detections that are kept, with their masks."""
    boxes, scores, labels = _as_pixels(boxes[keep], place, options.coordinates), scores[keep], labels[keep]
    if not options.masks:
        return detections(boxes, scores, labels)
    maps = _maps(outputs, options)[keep]
    if options.mask_area == 'box':
        masks, non_empty = masks_in_boxes(maps, boxes, place.image, 0.5)
        return detections(boxes[non_empty], scores[non_empty], labels[non_empty], masks)
    return _with_masks(maps, _area(place, options), 0.5, boxes, scores, labels)


def _area(place: Placement, options: LayoutOptions) -> Placement:
    """Return where the image lies in what masks cover."""
    size = place.image
    return Placement(size, size, size, (0, 0), (1.0, 1.0)) if options.mask_area == 'image' else place


def _around_masks(maps, place: Placement, threshold: float, scores, labels, options) -> DetectionPrediction:
    """Return the detections whose masks are not empty, with the boxes around these."""
    masks, non_empty = _area(place, options).masks_to_image(maps, threshold)
    boxes = torch.from_numpy(boxes_of_masks(masks))
    return detections(boxes, scores[non_empty], labels[non_empty], masks if options.masks else None)


def _with_masks(maps, place: Placement, threshold: float, boxes, scores, labels, cut: bool = False):
    """Return the detections whose masks are not empty."""
    masks, non_empty = place.masks_to_image(maps, threshold, boxes if cut else None)
    return detections(boxes[non_empty], scores[non_empty], labels[non_empty], masks)
