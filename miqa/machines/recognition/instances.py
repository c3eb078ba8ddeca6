"""Recognise instance segmenters: which readings of a detector have masks beside their boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from miqa.machines.exported_networks import SIZE_INPUTS
from miqa.machines.value_checks import is_share

from .conventions import CONVENTIONS
from .finished import finished_convention, labels_and_scores
from .grids import is_prototype
from .readings import Observed, Reading, UnclearLayout
from .segmenters import masks_of_queries

_LARGEST_OF_BOX = 112  # Sides of masks that cover their box alone: 14, 28, 33 or 56


def mask_readings(observed: Observed) -> list[Reading]:
    """Read instance segmenters that give masks and no boxes."""
    if (queries := masks_of_queries(observed)) is not None:
        count = observed.samples[0][queries.name].shape[2] - 1
        roles = {'logits': queries.name, 'masks': str(queries.masks)}
        return [Reading('mask_queries', queries.words, CONVENTIONS['detr'], {}, roles, count)]
    for name in observed.names:
        counts = [math.prod(values.shape[:-2]) for values in observed.raw(name)]
        vectors = [one for one in observed.names if [values.size for values in observed.raw(one)] == counts]
        labels, scores = labels_and_scores(vectors, observed)
        if any(counts) and labels and scores and (area := _area(name, observed)) in ('input', 'image'):
            words = f'labels, scores and masks of the {area} (SOLO, SparseInst)'
            roles = {'boxes': '', 'labels': labels, 'scores': scores, 'masks': name}
            convention = finished_convention(observed, 'input', mmdet=True)
            return [Reading('boxes_scores_labels', words, convention, {'mask_area': area}, roles)]
    return []


def readings_with_masks(readings: Sequence[Reading], observed: Observed) -> list[Reading]:
    """Return those of the readings of a detector whose layout reads masks, too, with their output.

    Raises:
        UnclearLayout: none has; the message says what is read.
    """
    masked = [reading for each in readings if (reading := _with_masks(each, observed)) is not None]
    if masked:
        return masked
    raise UnclearLayout(
        f'{observed.network.file}: its outputs {observed.shapes()} have no masks of instances that are read. Read are '
        'YOLO heads with prototypes (1, 32, h, w), before or after suppression, with boxes in pixels of the input; '
        'finished boxes, scores and labels with masks of the whole input, of each box (Mask R-CNN of torchvision, '
        'MMDeploy, TensorFlow) or of the picture (PaddleDetection), also without boxes (SOLO, SparseInst); and logits, '
        'masks and perhaps boxes of queries (RF-DETR, DETR, Mask2Former). Is it a detector? --task det. Otherwise use '
        'it by a function (CallableMachine, docs/your_own_models.md).'
    )


def _with_masks(reading: Reading, observed: Observed) -> Reading | None:
    if any(is_prototype(name, observed) for name in observed.names):
        return _of_prototypes(reading, observed)
    used = {name for names in reading.names.values() for name in ([names] if isinstance(names, str) else names)}
    maps = {name: values.shape for name, values in observed.samples[0].items() if name not in used and values.ndim > 2}
    if reading.layout == 'detr':
        queries = observed.samples[0][str(reading.names['boxes'])].shape[1]
        fitting = [name for name, shape in maps.items() if len(shape) == 4 and shape[1] == queries]
        return _named(reading, fitting[0], 'masks of the input') if len(fitting) == 1 else None
    if reading.layout not in ('boxes_scores_labels', 'rows'):
        return None
    boxes = str(reading.names['boxes' if reading.layout == 'boxes_scores_labels' else 'rows'])
    fitting = [
        name for name in maps
        if all(math.prod(s[name].shape[:-2]) == math.prod(s[boxes].shape[:-1]) for s in observed.samples)
    ]  # fmt: skip
    if len(fitting) != 1 or (area := _area(fitting[0], observed)) is None:
        return None
    height, width = maps[fitting[0]][-2:]
    if area == 'box':
        return _named(reading, fitting[0], f'masks of {height}x{width} in each box', mask_area='box')
    return _named(reading, fitting[0], f'masks of the {area}', **({'mask_area': area} if area == 'image' else {}))


def _area(name: str, observed: Observed) -> str | None:
    """Return what masks cover: the ``input``, at a fraction of its resolution, the ``image``, or their ``box``."""
    arrays = observed.raw(name)
    if not is_share(np.concatenate([values.reshape(-1) for values in arrays])):
        return None
    sizes = [values.shape[-2:] for values in arrays]
    if SIZE_INPUTS & set(observed.network.extra_inputs) and sizes == list(observed.pictures):
        return 'image'
    if len({*sizes}) > 1:
        return None
    height, width = sizes[0]
    if (height, width) in {tuple(side // part for side in observed.size) for part in (1, 2, 4)}:
        return 'input'
    return 'box' if height == width <= _LARGEST_OF_BOX else None


def _named(reading: Reading, name: str, words: str, **options: str) -> Reading:
    return replace(
        reading, words=f'{reading.words}, {words}', names={**reading.names, 'masks': name},
        options={**reading.options, **options},
    )  # fmt: skip


def _of_prototypes(reading: Reading, observed: Observed) -> Reading | None:
    """Return a YOLO head with prototypes of masks, in the layout that reads them."""
    options = reading.options
    unread = options.get('unread') or 'unread' in options.get('columns', ())
    if not unread or options.get('coordinates') != 'input':
        return None
    words = f'{reading.words}, with prototypes of masks'
    if reading.layout == 'rows' and 'box_format' not in options:
        ordered = tuple(options['columns'])[:6] == ('left', 'top', 'right', 'bottom', 'score', 'label')
        return Reading('yolo', words, reading.convention, {'end_to_end': True}) if ordered else None
    if reading.layout != 'places' or options['activation'] != 'none' or 'box_format' in options:
        return None
    objectness = 'objectness' in options['parts']
    return Reading('yolo', words, reading.convention, {'objectness': objectness}, {}, reading.classes)
