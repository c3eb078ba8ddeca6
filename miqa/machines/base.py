"""The interface of machines: uint8 pictures in, predictions out."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from miqa.taxonomy import DATABASE_TASKS, check_choice


@dataclass(frozen=True)
class ClassPrediction:
    """A classifier's answer to one image.

    Attributes:
        probabilities: float32 (K,), each in [0, 1], summing to 1; index = class index.
        logsumexp: natural log of the sum of the exponentials of the logits, the negative of the free energy of
            Liu et al. ("Energy-based Out-of-distribution Detection", NeurIPS 2020); NaN where a machine gives
            only probabilities.
    """

    probabilities: np.ndarray
    logsumexp: float = float('nan')

    def __post_init__(self):
        values = self.probabilities
        if values.ndim != 1 or not len(values):
            raise ValueError(f'Class probabilities must have the shape (K,), not {values.shape}.')
        if not np.isfinite(values).all():
            raise ValueError('Class probabilities must be finite numbers: the outputs hold NaN or infinity.')
        if values.min() < -1e-4 or abs(float(values.sum()) - 1) > 1e-2:
            raise ValueError(
                f'Class probabilities must lie in [0, 1] and sum to 1; these sum to {float(values.sum()):.4f}, with a '
                f'minimum of {float(values.min()):.4f}. Does the machine return logits? Then apply a softmax.'
            )


@dataclass(frozen=True)
class DetectionPrediction:
    """A detector's or an instance segmenter's answer to one image, in pixels of the image it was given.

    Attributes:
        boxes: float32 (N, 4), left, top, right, bottom (xyxy).
        scores: float32 (N,), confidence in [0, 1].
        labels: int64 (N,), index into the machine's ``classes``.
        masks: N masks in COCO's run-length encoding (dicts ``size`` [H, W] and ``counts`` bytes), or None.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: list[dict] | None = None

    def __post_init__(self):
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.labels.shape != (count,):
            raise ValueError(
                f'Boxes (N, 4), scores (N,) and labels (N,) must agree in N; '
                f'got {self.boxes.shape}, {self.scores.shape} and {self.labels.shape}.'
            )
        if self.masks is not None and len(self.masks) != count:
            raise ValueError(f'There are {len(self.masks)} masks for {count} detections.')
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise ValueError('Boxes and scores must be finite numbers.')

    def above(self, score: float, limit: int | None = None) -> DetectionPrediction:
        """Return the detections with at least ``score``, best first, at most ``limit`` of them."""
        order = np.argsort(-self.scores, kind='stable')
        keep = order[self.scores[order] >= score][:limit]
        masks = None if self.masks is None else [self.masks[i] for i in keep]
        return DetectionPrediction(self.boxes[keep], self.scores[keep], self.labels[keep], masks)


@dataclass(frozen=True)
class SegmentationPrediction:
    """A semantic segmenter's answer to one image.

    Attributes:
        labels: uint8 or uint16 (H, W), index into the machine's ``classes`` of each pixel of the image it was given.
    """

    labels: np.ndarray

    def __post_init__(self):
        if self.labels.ndim != 2 or self.labels.dtype not in (np.uint8, np.uint16):
            raise ValueError(
                f'A map of classes must be uint8 or uint16 (H, W), not {self.labels.dtype} {self.labels.shape}.'
            )


Prediction = ClassPrediction | DetectionPrediction | SegmentationPrediction


def unchanged(image: np.ndarray) -> np.ndarray:
    """Prepare nothing: the default of :attr:`Machine.prepare`."""
    return image


class Machine(ABC):
    """A vision model whose behaviour is labelled: uint8 RGB images in, one prediction per image out.

    Decoding and ``prepare`` (resizing, normalising) run in worker processes; ``predict_prepared`` runs the network
    on a batch of what they return. :meth:`predict` does both, for callers with a few images.

    Args:
        name: what responses and labels call the machine; also a folder name.
        task: ``cls``, ``det``, ``ins`` or ``seg``.
        weight: share of the machine in weighted labels (any positive scale), such as its published accuracy.
        classes: class names for ``labels`` of detections and of pixels, or None.
    """

    #: Picklable function from one uint8 RGB array (H, W, 3) to whatever ``predict_prepared`` wants.
    prepare: Callable[[np.ndarray], Any] = staticmethod(unchanged)

    #: Number of classes of a machine without class names, if known.
    class_count: int | None = None

    #: Where the network computes; a subclass that computes elsewhere says so.
    device: Any = 'cpu'

    def __init__(self, name: str, task: str, weight: float = 1.0, classes: Sequence[str] | None = None):
        check_choice(task, DATABASE_TASKS, 'task')
        if not name or any(sign in name for sign in '/\\') or name.startswith('.'):
            raise ValueError(f'{name!r} cannot name a machine: it must be usable as the name of a folder.')
        if not weight > 0:
            raise ValueError(f'The weight of {name} is {weight}; it must be positive.')
        self.name, self.task, self.weight = name, task, float(weight)
        if classes is not None and (isinstance(classes, str) or not len(classes)):
            raise ValueError(f'classes of {name} must be a list of names, not {classes!r}.')
        self.classes = tuple(map(str, classes)) if classes is not None else None

    @abstractmethod
    def predict_prepared(self, batch: list) -> Sequence[Prediction]:
        """Return one prediction for each prepared image of ``batch``."""

    def predict(self, images: list[np.ndarray]) -> Sequence[Prediction]:
        """Return one prediction for each image, a uint8 RGB array (H, W, 3) of any size."""
        return self.predict_prepared([self.prepare(image) for image in images])

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """64 hexadecimal digits that change when the weights or the preparation of images change."""

    def describe(self) -> dict:
        """Return what a manifest should say about the machine, as JSON values."""
        return {
            'name': self.name,
            'type': type(self).__name__,
            'task': self.task,
            'weight': self.weight,
            'fingerprint': self.fingerprint,
            'classes': list(self.classes) if self.classes else None,
        }


def name_of_model(model: str | os.PathLike) -> str:
    """Return what a machine is called after its model: a library's name, a folder's, or one of a hub or a function.

    Slashes and colons, which names of folders cannot have everywhere, become dashes and dots.
    """
    if model and Path(model).is_dir():
        return Path(model).resolve().name
    return str(model).replace('/', '-').replace(':', '.')
