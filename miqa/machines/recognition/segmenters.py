"""Recognise semantic segmenters: which output is the map of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from miqa.annotations.class_names import plain_name
from miqa.annotations.formats.class_map import IGNORED
from miqa.machines.onnx_machine import OnnxMachine
from miqa.machines.onnx_preparation import map_of_pixels
from miqa.machines.value_checks import is_share, is_whole

from .conventions import Convention
from .readings import FEATURE_WIDTHS, Observed, UnclearLayout, has_word
from .trials import ROUNDS, Evidence, TrialPicture

_LEAST_SIDE = 32  # A map of classes has at least one place for so many pixels of the input
#: What maps of pixels are called that are no classes.
_NO_CLASSES = ('depth', 'dispar', 'embed', 'feature', 'hidden', 'heatmap', 'keypoint', 'paf', 'flow', 'normal')
_DECIDED = 0.5  # In so much of a picture a segmenter of one object is sure: below 10 or above 90 %
_GREY_VALUES = 32  # A grey map has at least so many values, and
_MOST_CLASSES = 182  # one above the classes of any usual set (COCO-Stuff)
_ALIKE = 0.5  # Sides and auxiliary heads agree so far with the main one, see `_agreement`
_OBJECT = 'of the object (1) before the background (0) in each pixel'


class MapOutput(NamedTuple):
    """An output that is a map of classes.

    Attributes:
        name: of the output.
        words: what it is.
        outputs: argument of the machine.
        seen: of each pixel in each sample its class, or how much it is the object, (N, h, w).
        masks: the output of masks, where ``name`` has the classes of queries.
        note: what is to be said of others.
    """

    name: str
    words: str
    outputs: str
    seen: np.ndarray
    masks: str | None = None
    note: str = ''

    @property
    def one_object(self) -> bool:
        """It is one channel, of one object."""
        return _OBJECT in self.words


def map_of_classes(observed: Observed, stated: str | None = None) -> MapOutput:
    """Return the output that is a map of classes, or the one of the name ``stated`` by the user.

    Raises:
        UnclearLayout: none is, or several are; the message says what the outputs are and what to give.
    """
    if stated is None and (queries := masks_of_queries(observed)):
        return queries
    names = [stated] if stated else [name for name in observed.names if not has_word(name, *_NO_CLASSES)]
    maps = [output for name in names if (output := _read(name, observed, stated is not None))]
    main = [output for output in maps if not has_word(output.name, 'aux')] or maps
    # Auxiliary heads are coarser, where they have no such name.
    largest = max((output.seen.size for output in main), default=0)
    finest = [output for output in main if output.seen.size == largest]
    chosen = finest if len({output.words for output in main}) == 1 else main
    # How sure a network is lies beside its classes.
    numbered = [output for output in chosen if not output.one_object and output.seen.max() > 1]
    chosen = numbered or chosen
    if len(chosen) > 1 and all(_agreement(chosen[0], other) >= _ALIKE for other in chosen[1:]):
        others = ', '.join(output.name for output in chosen[1:])
        note = (
            f'Its output {chosen[0].name} is read, the first; {others} show the same (sides, as of U2-Net, or heads).'
        )
        chosen = [chosen[0]._replace(note=f'{note} --machine-options output={chosen[1].name} reads another.')]
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        choices = ' or '.join(f'output={output.name}' for output in chosen)
        raise UnclearLayout(
            f'{observed.network.file}: several outputs can be the map of classes: {observed.shapes()}. Which one? '
            f'--machine-options {choices}'
        )
    classes = 'two or more' if observed.classes is None else str(observed.classes)
    raise UnclearLayout(
        f'{observed.network.file}: none of its outputs is a map of classes: {observed.shapes()}. Expected are scores '
        f'of {classes} classes for each pixel, (1, classes, h, w), whole numbers (1, h, w), the class of each pixel, '
        'or one channel, the logit or probability of the object; and no picture (denoising), depth, features (SAM) or '
        'heat maps of key points. Is it a detector? --task det. Other classes? --classes FILE. Is an output such a map '
        'nevertheless? --machine-options output=NAME.'
    )


def masks_of_queries(observed: Observed) -> MapOutput | None:
    """Return MaskFormer's and Mask2Former's classes of queries (1, Q, K + 1) and masks (1, Q, h, w), if they are there.

    Each other output is a hidden state; the last class is no object, and of most queries it is the likeliest.
    """
    shapes = {name: observed.samples[0][name].shape for name in observed.names}
    pairs = [
        (classes, masks)
        for classes, logits in shapes.items()
        for masks, maps in shapes.items()
        if len(logits) == 3 and len(maps) == 4 and logits[:2] == maps[:2] and logits[1] > 1 and logits[2] > 1
        and not has_word(classes, 'hidden') and observed.classes in (None, logits[2] - 1)
    ]  # fmt: skip
    pairs = [pair for pair in pairs if has_word(pair[0], 'logit', 'class', 'cls')] or pairs
    if len(pairs) > 1:
        raise UnclearLayout(
            f'{observed.network.file}: its outputs {observed.shapes()} are boxes, classes and masks of queries, as of '
            'an instance segmenter (RF-DETR): --task ins, or det for its boxes.'
        )
    if not pairs:
        return None
    classes, masks = pairs[0]
    empty = np.mean([(sample[classes][0].argmax(1) == shapes[classes][2] - 1).mean() for sample in observed.samples])
    if not has_word(masks, 'mask') and empty < 0.5:
        return None
    words = f'classes of {shapes[classes][1]} queries and their masks ({masks}; MaskFormer, Mask2Former)'
    return MapOutput(classes, words, 'logits', np.zeros((0, 0, 0)), masks)


def _agreement(first: MapOutput, second: MapOutput) -> float:
    """Return how far two maps agree: the share of pixels of one class, but for the usual one, or the correlation."""
    if first.seen.shape != second.seen.shape:
        return 0.0
    if first.one_object and second.one_object:
        pairs = np.stack([first.seen.ravel(), second.seen.ravel()]).astype(np.float64)
        return float(np.corrcoef(pairs)[0, 1]) if np.ptp(pairs, axis=1).all() else 0.0
    usual = np.bincount(first.seen.ravel().astype(np.int64)).argmax()
    changed = (first.seen != usual) | (second.seen != usual)
    return float((first.seen == second.seen)[changed].mean()) if changed.any() else 1.0


def _read(name: str, observed: Observed, stated: bool) -> MapOutput | None:
    """Return the output as a map of classes; None where its shape, or unless it is stated its numbers, are of none."""
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
        classes = np.stack([array.argmax(0) for array in maps])
        fits = observed.classes in (None, channels) and (stated or not _is_no_class(maps, observed))
        return MapOutput(name, f'scores of {channels} classes', 'logits', classes) if fits else None
    values = np.concatenate(maps)
    one_object = observed.classes in (None, 1, 2)
    if one_object and _is_grey(values):
        return MapOutput(name, f'grey from 0 to 255, the probability {_OBJECT}', 'grey', values)
    if is_whole(values):
        if values.min() < 0 or (observed.classes is not None and values.max() >= max(2, observed.classes)):
            return None
        return MapOutput(name, 'the class of each pixel', 'logits', values)
    if not one_object:
        return None
    logits = not is_share(values)
    limits = (-2.2, 2.2) if logits else (0.1, 0.9)
    decided = [float(((array < limits[0]) | (array > limits[1])).mean()) for array in maps]
    if not stated and np.median(decided) < _DECIDED:
        return None
    if not logits:
        return MapOutput(name, f'the probability {_OBJECT}', 'scores', values)
    if values.min() < 0:
        return MapOutput(name, f'the logit {_OBJECT}', 'logits', values)
    return None


def _is_no_class(maps: Sequence[np.ndarray], observed: Observed) -> bool:
    """Return True for several channels (K, h, w) that are features, heat maps, vectors or the colours of a picture."""
    count = len(maps[0])
    values = np.stack([array.reshape(count, -1) for array in maps]).astype(np.float64)
    top, best = values.max(), values.max(1)
    # Heat maps have peaks at few places; of classes one is the likeliest everywhere.
    peaks = values.min() > -0.1 * top and float((best > 0.2 * top).mean()) < 0.05
    vectors = values.min() < 0 and float(np.abs(np.linalg.norm(values, axis=1) - 1).max()) < 1e-2
    # Colours of a picture go together, scores of classes against each other.
    varied = [array for array in values if count == 3 and np.ptp(array, 1).all()]
    alike = [np.corrcoef(array)[np.triu_indices(3, 1)].mean() for array in varied]
    colours = bool(alike) and (np.median(alike) > 0.6 or (values.min() >= 0 and 2 < top < 256))
    return (count in FEATURE_WIDTHS and observed.classes is None) or peaks or vectors or bool(colours)


def _is_grey(values: np.ndarray) -> bool:
    """Return True for numbers from 0 to 255 that say how likely the object is, and are no classes."""
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 255:
        return False
    if is_whole(values):
        grey_values, steps = np.unique(values), np.abs(np.diff(values.astype(np.int64)))
        # Grey has almost every value up to its highest, and changes by little from pixel to pixel.
        every = len(grey_values) >= max(_GREY_VALUES, 0.8 * high)
        gradual = every and float((steps[steps > 0] <= 2).mean()) > 0.5
        if gradual or high <= _MOST_CLASSES:
            return gradual
        return len(grey_values) >= _GREY_VALUES or set(grey_values.tolist()) <= {0, 255}
    # Depth and other quantities are not near both ends almost everywhere.
    return high > 250 and float(((values < 25.5) | (values > 229.5)).mean()) > 0.5


def best_on_maps(
    machine: OnnxMachine,
    conventions: Sequence[Convention],
    size: tuple[int, int],
    pictures: Sequence[TrialPicture],
    categories: Sequence[str] | None,
) -> tuple[Convention, float]:
    """Return the convention whose maps agree best with annotated ones, and their mean intersection over union.

    The usual convention comes first: another must be better by more than chance. The machine's preparation is changed;
    the names of annotated classes are matched with those of the machine where both are known.
    """

    def evidence(convention: Convention, count: int) -> Evidence:
        machine.prepare = convention.preparation(size)
        return Evidence([_agreement_with(machine, picture, categories) for picture in pictures[:count]])

    few, many = ROUNDS[0][0], ROUNDS[1][0]
    best = max(conventions, key=lambda convention: evidence(convention, few).value())
    usual, best_evidence = evidence(conventions[0], many), evidence(best, many)
    return (best, best_evidence.value()) if best_evidence.better_than(usual) else (conventions[0], usual.value())


def _agreement_with(machine: OnnxMachine, picture: TrialPicture, categories: Sequence[str] | None) -> float:
    """Return the mean intersection over union of the annotated classes of a picture."""
    truth, pixels = np.asarray(picture.class_map), picture.pixels()
    try:
        (answer,) = machine.predict([pixels])
    except Exception:  # noqa: BLE001  of any runtime: numbers of a range that is not the network's
        return 0.0
    labels = answer.labels  # type: ignore[union-attr]
    counted, overlaps = truth != IGNORED, []
    for index in np.unique(truth[counted]):
        place = int(index)
        if machine.classes and categories:
            called = [plain_name(name) for name in machine.classes]
            name = plain_name(categories[place]) if place < len(categories) else ''
            place = called.index(name) if name in called else -1
        own, true = (labels == place) & counted, truth == index
        overlaps.append(float((own & true).sum() / (own | true).sum()))
    return float(np.mean(overlaps)) if overlaps else 0.0
