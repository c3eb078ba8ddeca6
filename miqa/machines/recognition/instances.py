"""Recognise instance segmenters: which readings of a detector have masks beside their boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from miqa.machines.value_checks import is_share

from .grids import is_prototype
from .readings import Observed, Reading, UnclearLayout

_LARGEST_OF_BOX = 112  # Sides of masks that cover their box alone: 14, 28, 33 or 56


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
        'finished boxes, scores and labels with masks of the whole input or of each box (Mask R-CNN of torchvision, '
        'MMDeploy, TensorFlow); and logits, boxes and masks of queries (RF-DETR, DETR). Is it a detector? --task det. '
        'Otherwise use it by a function (CallableMachine, docs/your_own_models.md).'
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
    if reading.layout != 'boxes_scores_labels':
        return None
    boxes = str(reading.names['boxes'])
    fitting = [
        name for name in maps
        if all(math.prod(s[name].shape[:-2]) == math.prod(s[boxes].shape[:-1]) for s in observed.samples)
    ]  # fmt: skip
    if len(fitting) != 1 or not is_share(np.concatenate([values.reshape(-1) for values in observed.raw(fitting[0])])):
        return None
    height, width = maps[fitting[0]][-2:]
    if (height, width) == tuple(observed.size):
        return _named(reading, fitting[0], 'masks of the input')
    if height != width or height > _LARGEST_OF_BOX:
        return None
    return _named(reading, fitting[0], f'masks of {height}x{width} in each box', mask_area='box')


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
