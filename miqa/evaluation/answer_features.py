"""Numeric features of a machine's answer, for any machine, without its network.

Pure functions of predictions as :mod:`miqa.machines.base` defines them, by attribute only, so that nothing of a machine
is imported. The names of the numbers are part of every gate made from them (:mod:`miqa.apis.gate_model`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from miqa.taxonomy import DATABASE_TASKS, check_choice

#: Detections with less count as not found: MMDetection's default for drawing a box, and that of the labels.
KEPT_SCORE = 0.3
#: Detections from which on overlaps, classes and sizes are counted: half of what a detector finds is below 0.3 in a
#: damaged picture, and says that it is in doubt.
DOUBTFUL_SCORE = 0.1
#: COCO's limits of small and medium objects, as sides in pixels of a picture whose longer side is 640.
SMALL, MEDIUM, LONGER_SIDE = 32.0, 96.0, 640.0

_COUNTED = (0.1, 0.3, 0.5, 0.7)
_SORTED = 10
_SIZES = ('small', 'medium', 'large')
_MOST_BOXES = 100

#: The machine's own confidence in its answer, which a gate must beat: a name among the features of each task.
OWN_CONFIDENCE = {'cls': 'max_probability', 'det': 'mean_score', 'ins': 'mean_score', 'seg': 'largest_share'}


class AnswerFeatures:
    """Turns the answers of a machine for one task into numbers.

    Attributes:
        names: of the numbers, in their order.
        own_confidence: position of the machine's own confidence among them.
    """

    def __init__(self, task: str):
        check_choice(task, DATABASE_TASKS, 'task')
        self.task = task
        self._measure: Callable[[Any, tuple[int, int]], dict[str, float]] = {
            'cls': _of_classes,
            'det': _of_detections,
            'ins': _of_detections,
            'seg': _of_map,
        }[task]
        self.names = tuple(self._measure(_EMPTY[task], (1, 1)))
        self.own_confidence = self.names.index(OWN_CONFIDENCE[task])

    def __call__(self, answer: Any, size: tuple[int, int]) -> np.ndarray:
        """Return the numbers of an answer to a picture of ``size`` (height, width): float64 (len(names),), finite.

        Raises:
            TypeError: it is an answer for another task.
        """
        attributes = _ATTRIBUTES[self.task]
        if not all(hasattr(answer, name) for name in attributes):
            raise TypeError(
                f'An answer for {self.task} has {", ".join(attributes)}; a {type(answer).__name__} is for another task.'
            )
        return np.nan_to_num(np.array(list(self._measure(answer, size).values()), np.float64))


_ATTRIBUTES = {
    'cls': ('probabilities',),
    'det': ('boxes', 'scores', 'labels'),
    'ins': ('boxes', 'scores', 'labels'),
    'seg': ('labels',),
}


class _Nothing:
    """An answer that says nothing: its features have the names of all."""

    probabilities = np.ones(1)
    boxes, scores = np.zeros((0, 4)), np.zeros(0)
    labels = np.zeros(0, np.int64)


class _NoMap:
    labels = np.zeros((1, 1), np.uint8)


_EMPTY: dict[str, Any] = {'cls': _Nothing, 'det': _Nothing, 'ins': _Nothing, 'seg': _NoMap}


def _entropy(weights: np.ndarray) -> float:
    """Return the entropy in nats of weights (K,) taken as shares; 0 where all are 0."""
    total = weights.sum()
    shares = weights[weights > 0] / total if total > 0 else weights[:0]
    return float(-(shares * np.log(shares)).sum())


def _of_classes(answer: Any, size: tuple[int, int]) -> dict[str, float]:
    p = np.asarray(answer.probabilities, np.float64)
    best = np.zeros(5)
    best[: min(5, len(p))] = np.sort(p)[::-1][:5]
    features = {f'probability_{place + 1}': value for place, value in enumerate(best)}
    del features['probability_1']
    return {
        'max_probability': best[0],
        'margin': best[0] - best[1],
        'log_odds': float(np.log(best[0] + 1e-6) - np.log(1 - best[0] + 1e-6)),
        'entropy': _entropy(p),
        'sum_of_squares': float((p**2).sum()),
        'classes_above_1_percent': float(np.log1p((p > 0.01).sum())),
        'logsumexp': float(getattr(answer, 'logsumexp', np.nan)),
        **features,
    }


def _of_detections(answer: Any, size: tuple[int, int]) -> dict[str, float]:
    order = np.argsort(-np.asarray(answer.scores), kind='stable')[:_MOST_BOXES]
    scores = np.asarray(answer.scores, np.float64)[order]
    boxes = np.asarray(answer.boxes, np.float64)[order]
    labels = np.asarray(answer.labels)[order]
    scale = LONGER_SIDE / max(size)
    sides = np.sqrt(np.clip((boxes[:, 2:] - boxes[:, :2]) * scale, 0, None).prod(1)) if len(boxes) else np.zeros(0)
    confident, doubtful = scores >= KEPT_SCORE, scores >= DOUBTFUL_SCORE
    unsure = doubtful & ~confident
    best = np.zeros(_SORTED)
    best[: min(_SORTED, len(scores))] = scores[:_SORTED]
    features = {f'score_{place + 1}': float(value) for place, value in enumerate(best)}
    features |= {
        'mean_score': _mean(scores[confident]),
        'least_kept_score': float(scores[confident].min()) if confident.any() else 0.0,
        'mean_score_of_doubtful': _mean(scores[doubtful]),
        'sum_of_scores': float(np.log1p(scores.sum())),
        'sum_of_unsure': float(np.log1p(scores[unsure].sum())),
        'share_of_unsure': float(scores[unsure].sum() / max(scores[doubtful].sum(), 1e-6)),
        'spread_of_scores': float(scores[doubtful].std()) if doubtful.any() else 0.0,
        'doubt': _mean(4 * scores[doubtful] * (1 - scores[doubtful])),
    }
    features |= {f'boxes_above_{limit:g}': float(np.log1p((scores >= limit).sum())) for limit in _COUNTED}
    bands = (sides < SMALL, (sides >= SMALL) & (sides < MEDIUM), sides >= MEDIUM)
    for name, band in zip(_SIZES, bands, strict=True):
        features[f'{name}_kept'] = float(np.log1p((band & confident).sum()))
        features[f'{name}_unsure'] = float(np.log1p((band & unsure).sum()))
        features[f'mean_score_{name}'] = _mean(scores[band & doubtful])
    overlap = _overlaps(boxes[doubtful])
    classes, inverse = np.unique(labels[doubtful], return_inverse=True)
    weights = np.bincount(inverse, scores[doubtful]) if len(classes) else np.zeros(0)
    return features | {
        'mean_side': float(np.log1p(_mean(sides[confident]))),
        'mean_side_of_unsure': float(np.log1p(_mean(sides[unsure]))),
        'mean_overlap': _mean(overlap),
        'crowded': _mean((overlap > 0.3).astype(float)),  # noqa: PLR2004  boxes that suppression nearly took for one
        'classes': float(np.log1p(len(np.unique(labels[confident])))),
        'class_entropy': _entropy(weights),
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _overlaps(boxes: np.ndarray) -> np.ndarray:
    """Return the largest overlap (IoU) of each box (N, 4) with another: float (N,)."""
    if len(boxes) < 2:
        return np.zeros(len(boxes))
    corners = np.maximum(boxes[:, None, :2], boxes[None, :, :2]), np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    inner = np.clip(corners[1] - corners[0], 0, None).prod(2)
    areas = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1)
    shares = inner / np.maximum(areas[:, None] + areas[None, :] - inner, 1e-9)
    np.fill_diagonal(shares, 0)
    return shares.max(1)


def _of_map(answer: Any, size: tuple[int, int]) -> dict[str, float]:
    labels = np.asarray(answer.labels)
    shares = np.sort(np.bincount(labels.ravel()) / labels.size)[::-1]
    best = np.zeros(5)
    best[: min(5, len(shares))] = shares[:5]
    edges = [_mean((labels[1:] != labels[:-1]).ravel()), _mean((labels[:, 1:] != labels[:, :-1]).ravel())]
    return {
        'largest_share': best[0],
        'classes': float(np.log1p((shares > 0.001).sum())),
        'class_entropy': _entropy(shares),
        'edges': float(np.mean(edges)),
        **{f'share_{place + 1}': best[place] for place in range(1, 5)},
    }
