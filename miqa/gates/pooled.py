"""Detections of many pictures against their objects, matched once by COCO's own code."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence

import numpy as np

from miqa.labelling.average_precision import Objects
from miqa.labelling.coco_objects import coco_objects
from miqa.labelling.detection_scores import category_ids
from miqa.layout import ground_truth_path, responses_folder
from miqa.machines.base import DetectionPrediction
from miqa.machines.responses import ResponseFolder, read_detections
from miqa.running import require

from .worth import PooledPrecision

OVERLAP = 0.5  # Overlap from which on a detection is right


def pooled_precision(
    root: str | os.PathLike, task: str, machine: str, names: Sequence[str], sources: Sequence[str]
) -> PooledPrecision:
    """Return the pooled average precision of a machine on versions, ``names`` and ``sources`` (N,), of a database."""
    truth = ground_truth_path(root, task)
    ground = coco_objects(str(truth), task == 'ins')
    folder = ResponseFolder(responses_folder(root, task) / machine)
    ids = category_ids(folder.manifest['machine'], truth, task)
    pictures, answers = set(names), {}
    for table in folder.tables():
        for row in table.to_pylist():
            if row['filename'] in pictures and row['error'] is None:
                answers[row['filename']] = read_detections(row, task)
    return PooledPrecision(
        [_matched(answers[name], ground.objects[source], ids) for name, source in zip(names, sources, strict=True)]
    )


def _matched(answer: DetectionPrediction, objects: Objects, ids: Sequence[int] | None) -> dict:
    """Return class -> (scores, right (1), wrong (0) or ignored (-1), number of objects)."""
    labels = answer.labels if ids is None else np.asarray(ids)[answer.labels] if len(answer.labels) else answer.labels
    categories = sorted({*map(int, labels[labels >= 0]), *map(int, objects.labels)})
    if ids is not None:
        categories = [number for number in categories if number in set(ids)]
    if not categories:
        return {}
    coco, evaluation = (require(f'pycocotools.{module}', 'Average precision') for module in ('coco', 'cocoeval'))
    with contextlib.redirect_stdout(io.StringIO()):
        truth, predictions = coco.COCO(), coco.COCO()
        boxes = np.asarray(objects.boxes, np.float64)
        truth.dataset = _dataset(boxes, objects.labels, categories, objects.masks, objects.crowd)
        predictions.dataset = _dataset(answer.boxes, labels, categories, answer.masks, scores=answer.scores)
        truth.createIndex()
        predictions.createIndex()
        run = evaluation.COCOeval(truth, predictions, 'bbox' if objects.masks is None else 'segm')
        run.params.catIds, run.params.imgIds, run.params.iouThrs = categories, [1], np.array([OVERLAP])
        run.params.areaRng, run.params.areaRngLbl, run.params.maxDets = [[0, 1e10]], ['all'], [100]
        run.evaluate()
    matched = {}
    for entry in filter(None, run.evalImgs):
        right = np.where(entry['dtIgnore'][0], -1, (entry['dtMatches'][0] > 0).astype(int))
        objects_seen = int((np.asarray(entry['gtIgnore']) == 0).sum())
        matched[entry['category_id']] = (np.asarray(entry['dtScores'], np.float64), right, objects_seen)
    return matched


def _dataset(boxes, labels, categories, masks, crowd=None, scores=None) -> dict:
    annotations = []
    for i, (left, top, right, bottom) in enumerate(np.asarray(boxes, np.float64).tolist()):
        if int(labels[i]) not in categories:
            continue
        width, height = right - left, bottom - top
        entry = {
            'id': i + 1, 'image_id': 1, 'category_id': int(labels[i]), 'bbox': [left, top, width, height],
            'area': width * height, 'iscrowd': 0 if crowd is None else int(crowd[i]),
        }  # fmt: skip
        if scores is not None:
            entry['score'] = float(scores[i])
        if masks is not None:
            entry['segmentation'] = masks[i]
        annotations.append(entry)
    size = masks[0]['size'] if masks else (0, 0)
    images = [{'id': 1, 'height': size[0], 'width': size[1]}]
    return {'images': images, 'annotations': annotations, 'categories': [{'id': number} for number in categories]}
