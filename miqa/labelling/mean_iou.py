"""Mean intersection over union of two maps of classes: a pure function of arrays."""

from __future__ import annotations

import numpy as np

from miqa.annotations.formats.class_map import IGNORED


def mean_iou(predicted: np.ndarray, truth: np.ndarray, classes: int, ignored: int | None = IGNORED) -> float | None:
    """Compare the classes of pixels.

    Formula, over the classes c that occur in one of the maps (N_ab: pixels of a in ``truth`` and b in ``found``)::

        mIoU = mean_c N_cc / (sum_b N_cb + sum_a N_ac - N_cc)

    which is MMSegmentation's ``IoUMetric`` and torchmetrics' ``MeanIoU`` for a data set of this one image.

    Args:
        predicted: int (H, W), class indices; indices from ``classes`` on are of no class that the annotation has.
        truth: int (H, W), class indices below ``classes``, or ``ignored``.
        classes: number of classes K.
        ignored: index in ``truth`` of pixels that do not count; None: all count.

    Returns:
        A value in [0, 1], or None where no pixel counts.

    Raises:
        ValueError: the maps have different shapes, or ``truth`` has an index from ``classes`` on besides ``ignored``.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f'The maps have {predicted.shape} and {truth.shape} pixels.')
    truth, predicted = truth.astype(np.int64).ravel(), predicted.astype(np.int64).ravel()
    if ignored is not None:
        counts = truth != ignored
        truth, predicted = truth[counts], predicted[counts]
    if not truth.size:
        return None
    if truth.max() >= classes:
        raise ValueError(f'The annotation has class {truth.max()}, but there are only {classes} classes.')
    pairs = np.bincount(truth * (classes + 1) + np.minimum(predicted, classes), minlength=classes * (classes + 1))
    pairs = pairs.reshape(classes, classes + 1)
    both = np.diagonal(pairs).astype(np.float64)
    either = pairs.sum(1) + pairs.sum(0)[:classes] - both
    present = either > 0
    return float((both[present] / either[present]).mean()) if present.any() else None
