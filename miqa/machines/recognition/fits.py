"""Rank readings of dense heads by how well the numbers of the network fit them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from miqa.machines.onnx_layouts import LayoutOptions, parts_of
from miqa.machines.onnx_places import CELL_FORMATS, cell_corners, class_scores, decoded_boxes, grid_strides

from .readings import Observed, Reading

COCO_CLASSES = 80
#: What stands where in the values of a place, and as which kind of box; the first that can be is the usual one.
PARTS = {
    'boxes': ('boxes', 'scores'),
    'boxes_objectness': ('boxes', 'objectness', 'scores'),
    'objectness_first': ('objectness', 'boxes', 'scores'),
    'scores_first': ('scores', 'boxes'),
}
_SOUND = 0.4  # Of a head's best boxes at least so many, by score, can be boxes of a picture
_BEST = 40  # The best places of each sample, by which boxes are judged
_BOTH = 0.7  # A head of objectness has this share of its best places with a good class as well


def ranked_readings(readings: Sequence[Reading], observed: Observed) -> list[Reading]:
    """Put the readings in the order of how well the network's own numbers fit them; impossible ones are left out."""
    fits = [(_fit(reading, observed), -index, reading) for index, reading in enumerate(readings)]
    best = max((fit for fit, _, _ in fits), default=0.0)
    candidates = [item for item in fits if item[0] >= max(0.05, 0.5 * best)]
    # Where the numbers can be those of COCO's 80 classes, 79 or 81 are not thought of.
    usual = [item for item in candidates if item[2].classes == COCO_CLASSES and item[0] > 0.8 * best]
    candidates = usual or candidates
    # Small differences do not change the usual order.
    return [reading for fit, index, reading in sorted(candidates, key=lambda item: (-round(item[0] * 5), -item[1]))]


def _fit(reading: Reading, observed: Observed) -> float:
    """Return how well the numbers of the samples fit a reading, from 0 to 1.

    That is the mean of the best third of the samples: most ranges of values that were tried are not the network's.
    """
    fits = sorted((_sample_fit(reading, observed, sample) for sample in observed.samples), reverse=True)
    return float(np.mean(fits[: math.ceil(len(fits) / 3)]))


def _sample_fit(reading: Reading, observed: Observed, sample: Mapping) -> float:
    if reading.layout == 'detr':
        return _query_fit(reading, observed, sample)
    boxes, scores, chances = _decoded(reading, observed, sample)
    fit = _sound(boxes, scores, observed, reading.options.get('coordinates', 'input'))
    fit *= _near_cells(boxes, reading, observed)
    if reading.options.get('parts') in (PARTS['boxes'], PARTS['boxes_objectness']):
        fit *= _objectness_fit(reading, chances)
    return fit


def _query_fit(reading: Reading, observed: Observed, sample: Mapping) -> float:
    logits, boxes = (sample[str(reading.names[role])] for role in ('logits', 'boxes'))
    if logits.ndim != 3 or boxes.ndim != 3 or boxes.shape[2] != 4 or boxes.shape[:2] != logits.shape[:2]:
        return 0.0
    softmax = reading.options['activation'] == 'softmax'
    values = torch.from_numpy(np.asarray(logits[0], np.float32))
    scores = values.softmax(1)[:, :-1] if softmax else values.sigmoid()
    corners = decoded_boxes(torch.from_numpy(np.asarray(boxes[0], np.float32)), 'cxcywh', observed.size, ())
    return _sound(corners.numpy(), scores.max(1).values.numpy(), observed, 'relative')


def _decoded(reading: Reading, observed: Observed, sample: Mapping) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return boxes (A, 4) in the reading's unit, scores (A,), and probabilities of all columns but the box (A, C)."""
    options = LayoutOptions(dict(reading.names), **{'classes': reading.classes, **reading.options})
    raw, objectness, chances = parts_of(dict(sample), options)
    kind = options.box_format or 'cxcywh'
    boxes = decoded_boxes(raw, kind, observed.size, options.strides, options.point).numpy()
    scores = class_scores(
        chances, objectness, options.activation, options.background, (options.powers[0], options.powers[1])
    )
    both = torch.cat([objectness, chances], 1) if objectness is not None else chances
    both = both.sigmoid() if options.activation == 'sigmoid' else both
    return boxes, scores.max(1).values.numpy(), both.numpy()


def _sound(boxes: np.ndarray, scores: np.ndarray, observed: Observed, unit: str) -> float:
    """Return the share of the best boxes, by score, that can be boxes in a picture."""
    order = np.argsort(-scores, kind='stable')[:_BEST]
    order = order[scores[order] > 0.5 * scores[order[:5]].mean()]
    height, width = (1.0, 1.0) if unit == 'relative' else observed.size
    if unit == 'image':  # of a size that is not kept
        width, height = np.abs(boxes[order]).reshape(-1, 2).max(0)
    sides = boxes[order, 2:] - boxes[order, :2]
    centres = (boxes[order, 2:] + boxes[order, :2]) / 2
    limit = np.array([width, height])
    # Detectors cut their boxes at the border or not; nothing they find is smaller than a pixel or two of the input.
    good = (sides > 0.004 * limit).all(1) & (sides < 1.6 * limit).all(1)
    good &= (centres > -0.1 * limit).all(1) & (centres < 1.1 * limit).all(1)
    weights = scores[order]
    share = float((good * weights).sum() / max(1e-9, weights.sum()))
    return share if share >= _SOUND else 0.0  # boxes relative to anchors hardly ever can


def _near_cells(boxes: np.ndarray, reading: Reading, observed: Observed) -> float:
    """Return how far finished coordinates follow the cells of their places: those of networks do, almost everywhere."""
    strides = grid_strides(len(boxes), observed.size)
    if (
        strides is None
        or reading.options.get('box_format') in CELL_FORMATS
        or len(np.unique(boxes, axis=0)) < 0.5 * len(boxes)
    ):
        return 1.0
    corners = cell_corners(observed.size, strides).numpy()
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    follows = [float(np.corrcoef(centres[:, axis], corners[:, axis])[0, 1]) for axis in (0, 1)]
    return 1.0 if min(follows) > 0.5 else 0.2


def _objectness_fit(reading: Reading, everything: np.ndarray) -> float:
    """Return how well the first column after the box fits objectness, or, for readings without it, a class.

    Where a head of objectness is sure of an object, one of its classes is likely, too; two classes of a head without
    objectness are hardly likely at one place.
    """
    if everything.shape[1] < 2:
        return 1.0
    first, maxima = everything[:, 0], everything[:, 1:].max(1)
    firing = first > max(0.2, 0.5 * float(first.max(initial=0)))
    both = float((maxima[firing] > 0.2).mean()) if firing.any() else None
    with_objectness = 'objectness' in reading.options['parts']
    coco = reading.classes == COCO_CLASSES
    if both is None or not firing.any():
        # Nothing was found in the samples, or only other classes: scores without objectness then are low everywhere.
        alone = float((maxima > 0.2).mean()) > 0
        return 1.0 if coco else 0.6 if with_objectness == alone and not with_objectness else 0.7
    fits = both >= _BOTH if with_objectness else both < _BOTH
    return 1.0 if fits or coco else 0.3
