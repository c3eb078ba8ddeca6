"""Scores of one detector or instance segmenter for each distorted image, from its stored responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from miqa.machines.base import DetectionPrediction
from miqa.machines.responses import read_detections

from .average_precision import Objects, average_precision
from .coco_objects import CocoObjects, coco_objects
from .ground_truth import check_sources_known
from .scores import CLEAN_UNREADABLE, NO_CLEAN_DETECTIONS, NO_OBJECTS, UNKNOWN_CLASSES, UNREADABLE, ScoreOptions, Scorer


def detection_scorers(
    task: str, truth: Path | None, sources: list[str], options: ScoreOptions
) -> Callable[[dict], Scorer]:
    """Check the ground truth, and return a function from a machine's manifest to the scorer of its parts.

    Raises:
        ValueError: the ground truth lacks a source.
    """
    if truth is not None:
        check_sources_known(sources, coco_objects(str(truth), task == 'ins').objects, truth)

    def scorer_for(manifest: dict) -> Scorer:
        category_of = None if truth is None else category_ids(manifest['machine'], truth, task)
        path = None if truth is None else str(truth)
        return partial(score_detections, task=task, truth=path, category_of=category_of, options=options)

    return scorer_for


def category_ids(machine: dict, truth: Path, task: str) -> list[int] | None:
    """Return the COCO category id of each of a machine's classes, matched by name; -1 without a match.

    Returns:
        The ids, or None if the machine names no classes: then its labels are category ids.

    Raises:
        ValueError: not one name is among the annotations' categories.
    """
    if machine['classes'] is None:
        return None
    return match_categories(machine, coco_objects(str(truth), task == 'ins').categories, truth)


def match_categories(machine: dict, categories: Mapping[str, int], truth: Path) -> list[int]:
    """Return the id of each of a machine's classes among categories (name -> id); -1 without a match.

    Raises:
        ValueError: not one name is among them.
    """
    ids = [categories.get(name, -1) for name in machine['classes']]
    if all(value < 0 for value in ids):
        raise ValueError(
            f'No class of {machine["name"]} ({", ".join(machine["classes"][:5])}, ...) is among the categories of '
            f'{truth} ({", ".join(list(categories)[:5])}, ...): names must be written alike.'
        )
    return ids


def score_detections(
    table: pa.Table,
    clean: dict[str, dict],
    task: str,
    truth: str | None,
    category_of: list[int] | None,
    options: ScoreOptions,
) -> dict[str, list]:
    """Score one part of a machine's responses.

    accuracy: average precision of the detections on the distorted image against the ground truth, over the categories
    that both the machine and the annotations know. It is not defined, and the machine abstains, where the image has
    no object of such a category apart from crowds.

    consistency: average precision of the detections on the distorted image against the same machine's detections on
    the clean image with a score of at least ``options.confidence``. The machine abstains where there are none: nothing
    that it could be consistent with was seen.

    Args:
        table: distorted rows of the part.
        clean: source -> the same machine's row of the clean image.
        task: det (boxes are compared) or ins (masks).
        truth: path of the COCO annotations, or None for consistency alone.
        category_of: see :func:`category_ids`.
        options: the confidence.

    Returns:
        Columns of the scores.

    Raises:
        ValueError: an image does not have the size of its clean image, or that which the annotations say.
    """
    ground = None if truth is None else coco_objects(truth, task == 'ins')
    columns = {name: np.full(table.num_rows, np.nan) for name in _COLUMNS}
    notes: list[str | None] = []
    references: dict[str, tuple[Objects, Objects | None]] = {}
    for i, row in enumerate(table.to_pylist()):
        source = row['source']
        if row['error'] is not None or clean[source]['error'] is not None:
            notes.append(UNREADABLE if row['error'] is not None else CLEAN_UNREADABLE)
            continue
        if (row['width'], row['height']) != (clean[source]['width'], clean[source]['height']):
            raise ValueError(
                f'{row["filename"]} has {row["width"]}x{row["height"]} pixels, its clean image '
                f'{clean[source]["width"]}x{clean[source]["height"]}: they must be equal.'
            )
        if ground is not None:
            _check_sizes(ground, source, str(truth), row, clean[source])
        if source not in references:
            references[source] = (
                clean_reference(read_detections(clean[source], task), options.confidence),
                None if ground is None else _known_objects(ground.objects[source], category_of),
            )
        clean_objects, ground_objects = references[source]
        predicted = read_detections(row, task)
        values = {'consistency': average_precision(predicted, clean_objects)}
        note = NO_CLEAN_DETECTIONS if values['consistency'] is None else None
        if ground is not None and ground_objects is not None:
            values['accuracy'] = average_precision(_with_ids(predicted, category_of), ground_objects)
            if values['accuracy'] is None:
                note = UNKNOWN_CLASSES if ground.objects[source].categories else NO_OBJECTS
        for label, value in values.items():
            if value is not None:
                columns[label][i], columns[f'{label}_75'][i] = value
        notes.append(note)
    names = {name: table[name].to_pylist() for name in ('source', 'filename')}
    return {**names, **columns, 'note': notes}


_COLUMNS = ('consistency', 'accuracy', 'consistency_75', 'accuracy_75')


def _check_sizes(ground: CocoObjects, source: str, truth: str, *rows: dict) -> None:
    size = ground.sizes[source]
    for row in rows:
        if size is not None and size != (row['width'], row['height']):
            raise ValueError(
                f'{row["filename"]} has {row["width"]}x{row["height"]} pixels, but {truth} says {size[0]}x{size[1]} '
                f'for {source}.'
            )


def clean_reference(detections: DetectionPrediction, confidence: float) -> Objects:
    """Turn a machine's detections on the clean image with at least ``confidence`` into objects to compare with."""
    confident = detections.above(confidence)
    return Objects(confident.boxes, confident.labels, np.zeros(len(confident.scores), bool), confident.masks)


def _known_objects(objects: Objects, category_of: list[int] | None) -> Objects:
    if category_of is None:
        return objects
    keep = np.isin(objects.labels, category_of)
    masks = None if objects.masks is None else [objects.masks[i] for i in np.flatnonzero(keep)]
    return Objects(objects.boxes[keep], objects.labels[keep], objects.crowd[keep], masks)


def _with_ids(detections: DetectionPrediction, category_of: list[int] | None) -> DetectionPrediction:
    if category_of is None or not len(detections.labels):
        return detections
    if detections.labels.min() < 0 or detections.labels.max() >= len(category_of):
        raise ValueError(
            f'A prediction has class {int(detections.labels.max())}, but its machine names {len(category_of)} classes: '
            'correct classes= in its config, then run the machine again.'
        )
    return DetectionPrediction(
        detections.boxes, detections.scores, np.asarray(category_of)[detections.labels], detections.masks
    )
