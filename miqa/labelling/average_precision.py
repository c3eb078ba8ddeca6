"""Average precision of one image, by COCO's own evaluation code."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from miqa.machines.base import DetectionPrediction
from miqa.running import require

IOU_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())  # COCO's ten thresholds of intersection over union


@dataclass(frozen=True)
class Objects:
    """The objects of one image that detections are compared with.

    Attributes:
        boxes: float (M, 4), left, top, right, bottom in pixels.
        labels: int (M,), category.
        crowd: bool (M,): a crowd region, in which detections count neither for nor against a machine.
        masks: M masks in COCO's run-length encoding, or None.
    """

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    masks: list[dict] | None = None

    @property
    def categories(self) -> list[int]:
        """Categories with at least one object that is not a crowd, sorted: those that have an average precision."""
        return sorted({int(label) for label in self.labels[~self.crowd]})


class AveragePrecision(NamedTuple):
    """Average precision in [0, 1]: over the IoU thresholds .50, .55, ..., .95, and at 0.75 alone."""

    ap: float
    ap_75: float


def average_precision(detections: DetectionPrediction, objects: Objects) -> AveragePrecision | None:
    """Compare a machine's detections in one image with its objects.

    This is what ``pycocotools`` computes for a data set of this one image (area: all, at most 100 detections)::

        AP = mean over categories c in the image, IoU thresholds t and recalls r in {0, .01, ..., 1}
             of max { precision_ct(r') : recall r' >= r }

    Detections of categories that the image does not contain have no average precision, as in COCO; they do not count.
    Masks are compared where ``objects`` has masks, else boxes.

    Returns:
        The average precision; 0 where nothing was found; None where there is no object apart from crowds, for
        then it is not defined.

    Raises:
        ImportError: pycocotools is not installed.
    """
    categories = objects.categories
    if not categories:
        return None
    coco, evaluation = (require(f'pycocotools.{module}', 'Average precision') for module in ('coco', 'cocoeval'))
    with contextlib.redirect_stdout(io.StringIO()):
        truth, answer = coco.COCO(), coco.COCO()
        size = objects.masks[0]['size'] if objects.masks else (0, 0)  # the size matters to masks alone
        truth.dataset = _dataset(_annotations(objects, objects.crowd), categories, size)
        keep = np.isin(detections.labels, categories)
        masks = None if objects.masks is None else [detections.masks[i] for i in np.flatnonzero(keep)]  # type: ignore[index]
        relevant = DetectionPrediction(detections.boxes[keep], detections.scores[keep], detections.labels[keep], masks)
        answer.dataset = _dataset(_annotations(relevant, np.zeros(keep.sum(), bool)), categories, size)
        for annotation, score in zip(answer.dataset['annotations'], relevant.scores.tolist(), strict=True):
            annotation['score'] = score
        truth.createIndex()
        answer.createIndex()
        run = evaluation.COCOeval(truth, answer, 'bbox' if objects.masks is None else 'segm')
        run.params.catIds, run.params.imgIds = categories, [1]
        run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ['all']
        run.params.maxDets = [100]
        run.evaluate()
        run.accumulate()
    precision = run.eval['precision'][:, :, :, 0, 0]
    return AveragePrecision(float(precision.mean()), float(precision[IOU_THRESHOLDS.index(0.75)].mean()))


def _dataset(annotations: list[dict], categories: list[int], size: tuple[int, int]) -> dict:
    image = {'id': 1, 'height': size[0], 'width': size[1]}
    return {'images': [image], 'annotations': annotations, 'categories': [{'id': c} for c in categories]}


def _annotations(instances: Objects | DetectionPrediction, crowd: np.ndarray) -> list[dict]:
    boxes = np.asarray(instances.boxes, np.float64).copy()
    boxes[:, 2:] -= boxes[:, :2]
    annotations = []
    for i, box in enumerate(boxes.tolist()):
        annotation = {
            'id': i + 1,
            'image_id': 1,
            'category_id': int(instances.labels[i]),
            'bbox': box,
            'area': box[2] * box[3],
            'iscrowd': int(crowd[i]),
        }
        if instances.masks is not None:
            annotation['segmentation'] = instances.masks[i]
        annotations.append(annotation)
    return annotations
