"""Recognise semantic segmenters: which output is the map of classes."""

from __future__ import annotations

from .readings import Observed, UnclearLayout, has_word, is_whole

_LEAST_SIDE = 32  # A map of classes has at least one place for so many pixels of the input


def map_of_classes(observed: Observed) -> tuple[str, str]:
    """Return the name of the output that is a map of classes, and what it is, in words.

    Raises:
        UnclearLayout: none is, or several are; the message says what the outputs are and what to give.
    """
    found = {name: words for name in observed.names if (words := _words(name, observed))}
    main = {name: words for name, words in found.items() if not has_word(name, 'aux')} or found
    largest = max((observed.samples[0][name].size for name in main), default=0)
    # Auxiliary heads are coarser, where they have no such name.
    finest = {name: words for name, words in main.items() if observed.samples[0][name].size == largest}
    chosen = finest if len(set(main.values())) == 1 else main
    if len(chosen) == 1:
        return next(iter(chosen.items()))
    if chosen:
        raise UnclearLayout(
            f'{observed.network.file}: several outputs can be the map of classes: {observed.shapes()}. Which one? Say '
            'logits_name=... in a config, see docs/your_own_models.md, or export that output alone.'
        )
    classes = 'two or more' if observed.classes is None else str(observed.classes)
    raise UnclearLayout(
        f'{observed.network.file}: none of its outputs is a map of classes: {observed.shapes()}. Expected are scores '
        f'of {classes} classes for each pixel, (1, classes, h, w), or whole numbers (1, h, w), the class of each '
        'pixel. Export a map of one channel (foreground alone) with its threshold inside, as whole numbers 0 and 1. Is '
        'it a detector? --task det. Other classes? --classes FILE.'
    )


def _words(name: str, observed: Observed) -> str | None:
    shape = observed.samples[0][name].shape
    last = observed.network.input.channels_last
    if len(shape) not in (3, 4) or shape[0] != 1:
        return None
    channels = 1 if len(shape) == 3 else shape[-1 if last else 1]
    one = len(shape) == 3 or (shape[1] == 1)
    grid = shape[1:3] if len(shape) == 4 and last and not one else shape[-2:]
    if any(side * _LEAST_SIDE < whole for side, whole in zip(grid, observed.size, strict=True)):
        return None
    # Places of detectors are one long axis: a map has the proportions of the picture.
    if abs(grid[0] * observed.size[1] / (grid[1] * observed.size[0]) - 1) > 0.25:
        return None
    if one:
        whole = all(is_whole(values) and values.min() >= 0 for values in observed.raw(name))
        return 'the class of each pixel' if whole else None
    if channels < 2 or (observed.classes is not None and channels != observed.classes):
        return None
    return f'scores of {channels} classes'
