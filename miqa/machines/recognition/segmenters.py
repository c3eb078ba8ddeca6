"""Recognise semantic segmenters: which output is the map of classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from miqa.machines.onnx_preparation import map_of_pixels
from miqa.machines.value_checks import is_share, is_whole

from .readings import Observed, UnclearLayout, has_word

_LEAST_SIDE = 32  # A map of classes has at least one place for so many pixels of the input


class MapOutput(NamedTuple):
    """An output that is a map of classes: its name, what it is, in words, and ``outputs`` of the machine."""

    name: str
    words: str
    outputs: str = 'logits'


def map_of_classes(observed: Observed) -> MapOutput:
    """Return the output that is a map of classes.

    Raises:
        UnclearLayout: none is, or several are; the message says what the outputs are and what to give.
    """
    maps = [output for name in observed.names if (output := _read(name, observed))]
    main = [output for output in maps if not has_word(output.name, 'aux')] or maps
    largest = max((observed.samples[0][output.name].size for output in main), default=0)
    # Auxiliary heads are coarser, where they have no such name.
    finest = [output for output in main if observed.samples[0][output.name].size == largest]
    chosen = finest if len({output.words for output in main}) == 1 else main
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        raise UnclearLayout(
            f'{observed.network.file}: several outputs can be the map of classes: {observed.shapes()}. Which one? Say '
            'logits_name=... in a config, see docs/your_own_models.md, or export that output alone.'
        )
    classes = 'two or more' if observed.classes is None else str(observed.classes)
    raise UnclearLayout(
        f'{observed.network.file}: none of its outputs is a map of classes: {observed.shapes()}. Expected are scores '
        f'of {classes} classes for each pixel, (1, classes, h, w), whole numbers (1, h, w), the class of each pixel, '
        'or one channel, the logit or probability of the object. Is it a detector? --task det. Other classes? '
        '--classes FILE.'
    )


def _read(name: str, observed: Observed) -> MapOutput | None:
    last = observed.network.input.channels_last
    outputs = observed.raw(name)
    maps = [array for values in outputs if (array := map_of_pixels(values, observed.size, last)) is not None]
    if len(maps) < len(outputs) or len({len(array) for array in maps}) > 1:
        return None
    height, width = maps[0].shape[1:]
    # Places of detectors are one long axis: a map has the proportions of the picture.
    if abs(height * observed.size[1] / (width * observed.size[0]) - 1) > 0.25 or any(
        side * _LEAST_SIDE < whole for side, whole in zip((height, width), observed.size, strict=True)
    ):
        return None
    channels = len(maps[0])
    if channels > 1:
        return MapOutput(name, f'scores of {channels} classes') if observed.classes in (None, channels) else None
    values = np.concatenate([array.ravel() for array in maps])
    if is_whole(values):
        largest = values.max()
        if largest == 255 and not ((values > 0) & (values < 255)).any() and observed.classes in (None, 1, 2):
            raise UnclearLayout(
                f'{observed.network.file}: output {name} gives 0 and 255 alone. A map of classes holds their numbers: '
                'export it divided by 255, as 0 and 1.'
            )
        if values.min() < 0 or (observed.classes is not None and largest >= max(2, observed.classes)):
            return None
        return MapOutput(name, 'the class of each pixel')
    if observed.classes not in (None, 1, 2):
        return None
    if is_share(values):
        return MapOutput(name, 'the probability of the object (1) before the background (0) in each pixel', 'scores')
    if values.min() < 0:
        return MapOutput(name, 'the logit of the object (1) before the background (0) in each pixel')
    return None
