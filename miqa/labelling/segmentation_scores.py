"""Scores of one semantic segmenter for each distorted image, from its stored responses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from miqa.annotations.formats.class_map import IGNORED, class_names
from miqa.machines.responses import read_segmentation

from .class_maps import class_map_path, known_maps, read_class_map
from .ground_truth import check_sources_known
from .mean_iou import mean_iou
from .scores import CLEAN_UNREADABLE, NO_OBJECTS, UNKNOWN_CLASSES, UNREADABLE, Scorer


def segmentation_scorers(truth: Path | None, sources: list[str]) -> Callable[[dict], Scorer]:
    """Check the ground truth, and return a function from a machine's manifest to the scorer of its parts.

    Raises:
        FileNotFoundError: there is no folder of ground truth.
        ValueError: it lacks a source.
    """
    if truth is not None:
        check_sources_known(sources, known_maps(truth), truth)

    def scorer_for(manifest: dict) -> Scorer:
        names = class_names(truth) if truth is not None else None
        mapping = map_classes(manifest['machine'], names, truth)
        return partial(score_segments, truth=truth, mapping=mapping, classes=len(names) if names else None)

    return scorer_for


def map_classes(machine: dict, names: tuple[str, ...] | None, truth: Path | None) -> list[int] | None:
    """Return the annotation's index of each of a machine's classes, matched by name; -1 without a match.

    Returns:
        The indices, or None if one of the two names no classes: then the indices mean the same.

    Raises:
        ValueError: not one name is the same.
    """
    if names is None or machine['classes'] is None:
        return None
    mapping = [names.index(name) if name in names else -1 for name in machine['classes']]
    if max(mapping) < 0:
        raise ValueError(
            f'No class of {machine["name"]} ({", ".join(machine["classes"][:5])}, ...) is among the classes of {truth} '
            f'({", ".join(names[:5])}, ...): names must be written alike.'
        )
    return mapping


def score_segments(
    table: pa.Table, clean: dict[str, dict], truth: Path | None, mapping: list[int] | None, classes: int | None
) -> dict[str, list]:
    """Score the distorted rows of one part of a machine's responses; return columns of the scores.

    accuracy: mean intersection over union with the annotation, over the classes that both know; pixels of other
    annotated classes do not count for this machine. consistency: the same with its own answer to the clean image.

    Args:
        table: distorted rows of the part.
        clean: source -> the same machine's row of the clean image.
        truth: folder of maps, or None for consistency alone.
        mapping: see :func:`map_classes`.
        classes: number of classes of the annotation, or None if it names none.

    Raises:
        ValueError: a map does not have the pixels of its image.
    """
    columns = {name: np.full(table.num_rows, np.nan) for name in ('consistency', 'accuracy')}
    notes: list[str | None] = []
    reference: tuple[str | None, np.ndarray] = (None, np.empty(0))
    for i, row in enumerate(table.to_pylist()):
        source = row['source']
        if row['error'] is not None or clean[source]['error'] is not None:
            notes.append(UNREADABLE if row['error'] is not None else CLEAN_UNREADABLE)
            continue
        if reference[0] != source:
            reference = (source, read_segmentation(clean[source]).labels)
        labels, note = read_segmentation(row).labels, None
        if labels.shape != reference[1].shape:
            raise ValueError(f'{row["filename"]} has {labels.shape} pixels, its clean image {reference[1].shape}.')
        top = int(max(labels.max(), reference[1].max())) + 1
        columns['consistency'][i] = mean_iou(labels, reference[1], top, ignored=None)
        if truth is not None:
            value, note = _accuracy(labels, class_map_path(truth, source), mapping, classes)
            columns['accuracy'][i] = np.nan if value is None else value
        notes.append(note)
    names = {name: table[name].to_pylist() for name in ('source', 'filename')}
    return {**names, **columns, 'note': notes}


def _accuracy(predicted: np.ndarray, path: Path, mapping: list[int] | None, classes: int | None):
    truth = read_class_map(path)
    if truth.shape != predicted.shape:
        raise ValueError(f'{path} has {truth.shape} pixels, but the image {predicted.shape}.')
    if classes is None:
        inside = truth[truth != IGNORED]
        classes = int(max(inside.max(initial=0), predicted.max())) + 1
    if mapping is not None:
        # Classes that the annotation does not have become one that it cannot have.
        if predicted.max() >= len(mapping):
            raise ValueError(
                f'A prediction has class {int(predicted.max())}, but its machine names {len(mapping)} classes: correct '
                'classes= in its config, then run the machine again.'
            )
        predicted = np.array([index if index >= 0 else classes for index in mapping])[predicted]
        unknown = np.setdiff1d(np.arange(classes), mapping)
        if (truth == IGNORED).all():
            return None, NO_OBJECTS
        truth = np.where(np.isin(truth, unknown), IGNORED, truth)
        if (truth == IGNORED).all():
            return None, UNKNOWN_CLASSES
    value = mean_iou(predicted, truth, classes)
    return value, NO_OBJECTS if value is None else None
