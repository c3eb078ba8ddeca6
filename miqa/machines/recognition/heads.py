"""Dense outputs on grids: as one matrix, one output per grid, or one per part."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from miqa.machines.onnx_layouts import LayoutOptions, parts_of
from miqa.machines.onnx_places import (
    CELL_FORMATS,
    COARSEST,
    STRIDES,
    cell_corners,
    class_scores,
    decoded_boxes,
    grid_strides,
    rows_of,
)

from .conventions import CONVENTIONS
from .readings import Observed, Reading, box_unit, corner_share, has_word, is_share

_BINS = (16, 8, 17)  # Bins of a distance: YOLOv8 to 12 have 16, NanoDet 8, YOLOv6 and PP-YOLOE 17, GFL and YOLO-NAS 17
_MOST_QUERIES = 1000  # More queries no transformer has; more places need suppression
_COCO = 80
_UNREAD = ('landm', 'kps', 'keyp', 'hidden', 'embed', 'reference')  # What outputs are called that are no scores
_SCORES = ('logit', 'score', 'prob', 'conf', 'cls', 'class')  # What outputs of scores are called

#: What stands where in the values of a place, and as which kind of box; the first that can be is the usual one.
_PARTS = {
    'boxes': ('boxes', 'scores'),
    'boxes_objectness': ('boxes', 'objectness', 'scores'),
    'objectness_first': ('objectness', 'boxes', 'scores'),
    'scores_first': ('scores', 'boxes'),
}
_BEST = 40  # The best places of each sample, by which boxes are judged
_ALIKE = 0.8  # Columns of different anchors correlate at least so much
_BOTH = 0.7  # A head of objectness has this share of its best places with a good class as well


class _Values(NamedTuple):
    """The values of all places in every sample, float32 (A, C) each; their outputs; and what is fixed about them."""

    tables: list[np.ndarray]
    names: list[str]
    strides: tuple[int, ...] | None
    options: dict[str, Any]
    values_first: bool


def single_heads(observed: Observed) -> list[Reading]:
    """Read heads whose values of a place lie together: in one matrix (A, C) or (C, A), or in one output a grid."""
    readings: list[Reading] = []
    fitting_grids = False
    for values in _matrices(observed):
        if all(map(_is_text, values.tables)) or _repeats(values.tables):
            continue
        readings += _of_values(values, observed)
        fitting_grids |= values.strides is not None
    ranked = _ranked(readings, observed)
    if ranked or not fitting_grids or any(sample[name].any() for sample in observed.samples for name in observed.names):
        return ranked
    # Nothing was found in any sample, so that the usual one of those that the shapes allow is taken.
    return [reading for reading in readings if reading.classes == _COCO] or readings[:1]


def _is_text(table: np.ndarray) -> bool:
    """Return True for probabilities that sum to 1 at each step, as readers of text give them: no box among them."""
    return table.size > 0 and table.min() >= 0 and any(np.abs(table.sum(axis) - 1).max() < 1e-2 for axis in (0, 1))


def _repeats(tables: Sequence[np.ndarray]) -> bool:
    """Return True where three or five anchors share the values of a place: the means of their columns are alike."""
    means = np.concatenate(tables).mean(0)
    for anchors in (3, 5):
        if len(means) % anchors == 0 and len(means) > 5 * anchors:
            columns = means.reshape(anchors, -1)
            if (np.ptp(columns, 1) > 0).all() and np.corrcoef(columns).min() > _ALIKE:
                return True
    return False


def _matrices(observed: Observed) -> Iterator[_Values]:
    names = [name for name in observed.names if not is_prototype(name, observed)]
    if len(names) > 1:
        levels = _levels(names, observed)
        if levels and len({width for _, _, width in levels}) == 1 and len({s for s, _, _ in levels}) == len(levels):
            ordered = sorted(levels)
            first = _values_last(names, observed).get('values_first')
            width = ordered[0][2]
            tables = [
                np.concatenate([rows_of(sample[name], width, first).numpy() for _, name, _ in ordered])
                for sample in observed.samples
            ]
            last = _values_last(names, observed)
            yield _Values(tables, [name for _, name, _ in ordered], tuple(s for s, _, _ in ordered), last, False)
        return
    shape = [side for side in observed.samples[0][names[0]].shape if side != 1]
    if any(list(shape) == [side // stride for side in observed.size] for stride in (1, 2, 4)):
        return  # one number for each pixel: a map, no matrix
    if len(shape) == 3:
        for width, grid, first in ((shape[0], shape[1:], True), (shape[-1], shape[:-1], False)):
            stride = _stride_of(grid, observed.size)
            if stride:
                tables = [rows_of(sample[names[0]], width, first).numpy() for sample in observed.samples]
                yield _Values(tables, names, (stride,), {'values_first': True} if first else {}, first)
        return
    if len(shape) != 2:
        return
    for first in _orders(shape, observed):
        count = shape[1] if first else shape[0]
        width = shape[0] if first else shape[1]
        ambiguous = {'values_first': first} if shape[0] == shape[1] else {}
        tables = [rows_of(sample[names[0]], width, first).numpy() for sample in observed.samples]
        yield _Values(tables, names, grid_strides(count, observed.size), ambiguous, first)


def _orders(shape: Sequence[int], observed: Observed) -> list[bool]:
    """Return whether the values are the first axis of a matrix: as the grids say, else there are more places."""
    fitting = [
        bool(axis)
        for axis in (1, 0)
        if any(shape[axis] % n == 0 and grid_strides(shape[axis] // n, observed.size) for n in (1, 3))
    ]
    if len(fitting) == 1 and shape[0 if fitting[0] else 1] > 4:
        return fitting
    return [shape[0] < shape[1]] if shape[0] != shape[1] else [True, False]


def _stride_of(grid: Sequence[int], size: tuple[int, int]) -> int | None:
    for stride in STRIDES:
        if list(grid) == [math.ceil(size[0] / stride), math.ceil(size[1] / stride)]:
            return stride
    return None


def _levels(names: Sequence[str], observed: Observed) -> list[tuple[int, str, int]]:
    """Return (stride, name, width) of outputs that all cover one grid each, else nothing."""
    levels = []
    for name in names:
        shape = list(observed.samples[0][name].shape)[1:]
        if len(shape) == 3:
            readings = [
                (stride, name, width)
                for grid, width in ((shape[1:], shape[0]), (shape[:-1], shape[-1]))
                if (stride := _stride_of(grid, observed.size))
            ]
        elif len(shape) == 2:
            cells = {math.ceil(observed.size[0] / s) * math.ceil(observed.size[1] / s): s for s in STRIDES}
            readings = [
                (cells[count], name, width) for count, width in (shape, shape[::-1]) if count in cells and width > 0
            ]
        else:
            readings = []
        if not readings:
            return []
        levels.append(readings[0])
    # The finest grid of a detector is fine, and each next one half of it; else another number was taken for cells.
    strides = sorted({stride for stride, _, _ in levels})
    halving = all(coarse == 2 * fine for fine, coarse in itertools.pairwise(strides))
    return levels if strides and strides[0] <= COARSEST and halving else []


def _values_last(names: Sequence[str], observed: Observed) -> dict[str, bool]:
    """Return the option that maps have their values last, where some show it: as many classes as columns hide it."""
    shapes = [observed.samples[0][name].shape[1:] for name in names]
    maps = [
        (_stride_of(shape[1:], observed.size), _stride_of(shape[:-1], observed.size))
        for shape in shapes
        if len(shape) == 3
    ]
    return {'values_first': False} if any(last and not first for first, last in maps) else {}


def is_prototype(name: str, observed: Observed) -> bool:
    """Return True for prototypes of masks, (1, 32, h, w) at a quarter of the input."""
    shape = observed.samples[0][name].shape
    return (
        len(observed.names) > 1
        and len(shape) == 4
        and shape[1] == 32
        and _stride_of(shape[2:], observed.size) == 4
        and len(observed.names) == 2
    )


def _of_values(values: _Values, observed: Observed) -> Iterator[Reading]:
    """Yield what the columns of a matrix may mean."""
    width = values.tables[0].shape[1]
    everything = np.concatenate(values.tables)
    shares = [is_share(everything[:, column]) for column in range(width)]
    unread = observed.metadata.key_points or _key_points(shares)
    prototypes = any(is_prototype(name, observed) for name in observed.names)
    unread += 32 if prototypes else 0
    layouts: list[tuple[str, int, str]] = [('boxes', 1, 'boxes'), ('boxes_objectness', 1, 'boxes')]
    if len(values.names) > 1 or len(values.strides or ()) == 1:
        layouts.append(('objectness_first', 1, 'boxes'))
    layouts += [(parts, bins, 'distribution') for bins in _BINS for parts in ('scores_first', 'boxes')]
    for parts, bins, kind in layouts:
        order = _PARTS[parts]
        extra = 4 * bins + ('objectness' in order) + unread
        classes = width - extra
        if classes < 1 or (observed.classes is not None and classes != observed.classes):
            continue
        if kind == 'distribution' and values.strides is None:
            continue
        sizes = {'boxes': 4 * bins, 'objectness': 1, 'scores': classes}
        at: dict[str, slice] = {}
        start = 0
        for part in order:
            at[part] = slice(start, start + sizes[part])
            start += sizes[part]
        scored = [share for part in ('objectness', 'scores') if part in at for share in shares[at[part]]]
        finished = all(scored)
        if not finished and sum(scored) > 0.2 * len(scored) and len(scored) > 2:
            continue  # some columns are scores and some are not
        if not finished and kind == 'distribution' and not _lower(everything, at):
            continue
        if kind == 'distribution' and np.mean(shares[at['boxes']]) > 0.2:
            continue  # numbers before a softmax leave [0, 1]
        base = {
            **values.options,
            'parts': order,
            'activation': 'none' if finished else 'sigmoid',
            **({'bins': bins} if bins > 1 else {}),
            **({'unread': unread} if unread else {}),
        }
        yield from _with_boxes(values, observed, base, at, kind, classes, everything)


def _key_points(shares: Sequence[bool]) -> int:
    """Return how many columns at the end are key points: x, y in pixels and a visibility each, at least four."""
    count = 0
    while len(shares) - 3 * (count + 1) >= 5 and list(shares)[::-1][3 * count : 3 * count + 3] == [True, False, False]:
        count += 1
    return 3 * count if count >= 4 else 0


def _lower(everything: np.ndarray, at: Mapping[str, slice]) -> bool:
    """Return True if the logits of classes lie below those of distances: almost everywhere is no object."""
    return float(everything[:, at['scores']].mean()) < float(everything[:, at['boxes']].mean()) - 1


def _with_boxes(
    values: _Values, observed: Observed, base: dict, at: Mapping[str, slice], kind: str, classes: int,
    everything: np.ndarray,
) -> Iterator[Reading]:  # fmt: skip
    boxes = everything[:, at['boxes']]
    strides = {'strides': values.strides}
    names = {'rows': values.names[0] if len(values.names) == 1 else values.names}
    with_objectness = 'objectness' in at
    if kind == 'distribution':
        first = base['parts'][0] == 'scores'
        convention = CONVENTIONS['nanodet' if first else 'yolo']
        words = 'distributions of distances, scores first (NanoDet)' if first else 'distributions of distances (YOLOv8)'
        points = ('corner', 'pixel') if first else ('middle',)
        for point in points:
            options = base | strides | {'box_format': 'distribution', 'point': point}
            options |= {'iou': 0.6, 'several_labels': True} if first else {}
            yield Reading('places', words, convention, options, names, classes)
        return
    if base['parts'][0] == 'objectness':
        options = base | strides | {'box_format': 'tanh', 'iou': 0.45, 'powers': (0.6, 0.4)}
        yield Reading(
            'places', 'FastestDet: tanh and sigmoid in cells', CONVENTIONS['fastestdet'], options, names, classes
        )
        return
    title = 'box, objectness, classes' if with_objectness else 'box, classes'
    unit = box_unit(boxes, observed)
    formats = ['xyxy', 'cxcywh'] if corner_share(boxes) > 0.98 and unit != 'relative' else ['cxcywh']
    if unit == 'relative':
        formats = ['xyxy', 'cxcywh'] if corner_share(boxes) > 0.98 else ['cxcywh']
    cells = []
    if values.strides is not None:
        cells.append('offsets')
        if boxes.min() >= 0 and len(values.names) > 1:
            cells += ['distances', 'distance_pixels']
    queries = len(values.tables[0]) <= _MOST_QUERIES and values.strides is None
    for box_format in formats:
        options = base | {'coordinates': unit, 'iou': 1.0 if queries and unit == 'relative' else 0.7}
        options |= {} if box_format == 'cxcywh' else {'box_format': box_format}
        convention = CONVENTIONS['rtdetr' if queries and unit == 'relative' else 'yolo']
        family = 'YOLOv5, YOLOv7, YOLOX with grid' if with_objectness else 'YOLOv8 to YOLO12'
        words = f'{title} at each place, {box_format} in {"pixels" if unit == "input" else unit + " units"} ({family})'
        yield Reading('places', words, convention, options, names, classes)
    for box_format in cells:
        options = base | strides | {'box_format': box_format, 'iou': 0.65}
        words = {
            'offsets': f'{title} before grid and strides are applied (YOLOX)',
            'distances': f'{title}, distances in cells',
            'distance_pixels': f'{title}, distances in pixels',
        }[box_format]
        convention = CONVENTIONS['yolox' if box_format == 'offsets' else 'yolo']
        yield Reading('places', words, convention, options, names, classes)


def part_heads(observed: Observed) -> list[Reading]:
    """Read heads whose boxes, scores and perhaps objectness are outputs of their own, one each or one a grid each."""
    names = [name for name in observed.names if not is_prototype(name, observed)]
    if len(names) < 2:
        return []
    readings: list[Reading] = []
    for groups, strides in _groupings(names, observed):
        readings += _of_parts(groups, strides, observed)
    return _ranked(readings, observed)


def _groupings(
    names: Sequence[str], observed: Observed
) -> Iterator[tuple[dict[str, tuple[list[str], int]], tuple[int, ...] | None]]:
    """Yield which outputs are boxes, scores and objectness, each with the width of its values; and the strides."""
    levels = _levels(names, observed)
    by_stride: dict[int, list[tuple[str, int]]] = {}
    for stride, name, width in levels:
        by_stride.setdefault(stride, []).append((name, width))
    counts = {len(outputs) for outputs in by_stride.values()}
    if levels and counts <= {2} | {3}:
        strides = tuple(sorted(by_stride))
        count = counts.pop() if len(counts) == 1 else 0
        for roles in _roles([width for _, width in by_stride[strides[0]]]) if count else ():
            # Outputs of one role have one width everywhere, in whatever order the grids list them.
            channels = {role: by_stride[strides[0]][i][1] for role, i in roles.items()}
            groups: dict[str, tuple[list[str], int]] = {role: ([], width) for role, width in channels.items()}
            for stride in strides:
                remaining = list(by_stride[stride])
                for role, i in roles.items():
                    width = channels[role]
                    fitting = [item for item in remaining if item[1] == width]
                    same_place = by_stride[stride][i]
                    choice = same_place if same_place in fitting else fitting[0] if fitting else None
                    if choice is None:
                        groups = {}
                        break
                    remaining.remove(choice)
                    groups[role][0].append(choice[0])
                if not groups:
                    break
            if groups:
                yield groups, strides
        return
    yield from _pairs(names, observed)


def _roles(widths: Sequence[int]) -> Iterator[dict[str, int]]:
    """Yield which of the outputs of one grid is which part, by position."""
    for boxes in range(len(widths)):
        if widths[boxes] % 4:
            continue
        remaining = [i for i in range(len(widths)) if i != boxes]
        if len(widths) == 2:
            yield {'boxes': boxes, 'scores': remaining[0]}
        else:
            for scores, objectness in (remaining, remaining[::-1]):
                if widths[objectness] == 1:
                    yield {'boxes': boxes, 'scores': scores, 'objectness': objectness}


def _pairs(
    names: Sequence[str], observed: Observed
) -> Iterator[tuple[dict[str, tuple[list[str], int]], tuple[int, ...] | None]]:
    """Yield pairs of boxes (A, 4) and scores (A, K) in two outputs, either axis first."""
    shapes = {name: [side for side in observed.samples[0][name].shape if side != 1] for name in names}
    tables = [name for name in names if len(shapes[name]) == 2 and 4 in shapes[name]]
    # Reference points and hidden states of transformers have the shapes of boxes and scores, too.
    for boxes in [name for name in tables if has_word(name, 'box')] or tables:
        count = shapes[boxes][0] if shapes[boxes][1] == 4 else shapes[boxes][1]
        fitting = [
            (name, math.prod(shapes[name]) // count)
            for name in names
            if name != boxes and len(shapes[name]) in (1, 2) and count in shapes[name]
        ]
        strides = grid_strides(count, observed.size)
        # By chance, queries are as many as the cells of one grid.
        strides = None if strides is not None and len(strides) == 1 and count <= _MOST_QUERIES else strides
        wide = [item for item in fitting if item[1] > 1 and not has_word(item[0], *_UNREAD)]
        wide = [item for item in wide if has_word(item[0], *_SCORES)] or wide
        narrow = [item for item in fitting if item[1] == 1]
        for scores in wide or narrow[:1]:
            groups = {'boxes': ([boxes], 4), 'scores': ([scores[0]], scores[1])}
            if wide and len(narrow) == 1:
                yield groups | {'objectness': ([narrow[0][0]], 1)}, strides
            yield groups, strides


def _of_parts(
    groups: Mapping[str, tuple[list[str], int]], strides: tuple[int, ...] | None, observed: Observed
) -> Iterator[Reading]:
    last = _values_last([name for names, _ in groups.values() for name in names], observed)
    columns = {
        role: np.concatenate(
            [
                np.concatenate([rows_of(sample[name], width, last.get('values_first')).numpy() for name in names])
                for sample in observed.samples
            ]
        )
        for role, (names, width) in groups.items()
    }
    names = {role: outputs[0] if len(outputs) == 1 else outputs for role, (outputs, _) in groups.items()}
    width, bins = groups['scores'][1], groups['boxes'][1] // 4
    places = len(columns['boxes']) // len(observed.samples)
    scored = np.concatenate([columns[role].reshape(-1) for role in ('objectness', 'scores') if role in columns])
    # Other numbers of bins are a box and key points, or boxes of several anchors.
    if bins > 1 and (bins not in _BINS or strides is None or is_share(columns['boxes'])):
        return
    for activation, background in _activations(columns['scores'], is_share(scored)):
        classes = width - (background != 'none')
        if classes < 1 or (observed.classes is not None and classes != observed.classes):
            continue
        base: dict[str, Any] = {'activation': activation, **last}
        base |= {'background': background} if background != 'none' else {}
        if bins > 1:
            order = observed.names
            scores_first = order.index(groups['scores'][0][0]) < order.index(groups['boxes'][0][0])
            for family, point in (('nanodet', 'pixel'), ('yolo', 'middle'))[:: 1 if scores_first else -1]:
                more = {'iou': 0.6, 'several_labels': True} if family == 'nanodet' else {'iou': 0.7}
                options = base | more | {'box_format': 'distribution', 'bins': bins, 'strides': strides, 'point': point}
                words = f'class scores and distributions of {bins} bins at strides {_listed(strides)}'
                yield Reading('places', words, CONVENTIONS[family], options, names, classes)
            continue
        yield from _of_four(columns['boxes'], names, strides, observed, base, classes, places)


def _of_four(
    boxes: np.ndarray, names: Mapping, strides: tuple[int, ...] | None, observed: Observed, base: dict, classes: int,
    places: int,
) -> Iterator[Reading]:  # fmt: skip
    unit = box_unit(boxes, observed)
    queries = places <= _MOST_QUERIES and unit == 'relative' and strides is None
    corners = corner_share(boxes) > 0.98
    if queries and not corners and base['activation'] != 'none' and 'objectness' not in names:
        softmax = base['activation'] == 'softmax'
        options = {'activation': base['activation']}
        # The class for no object is the last, and not among those that are counted.
        words = f'queries: logits and boxes ({"DETR" if softmax else "RT-DETR"}, {base["activation"]})'
        roles = {'logits': names['scores'], 'boxes': names['boxes']}
        convention = CONVENTIONS['detr' if softmax else 'rtdetr']
        if base.get('background') != 'first':
            yield Reading('detr', words, convention, options, roles, classes)
        return
    formats = ['xyxy', 'cxcywh'] if corners else ['cxcywh']
    for box_format in formats:
        options = base | {'coordinates': unit, 'box_format': box_format, 'iou': 1.0 if queries else 0.7}
        convention = CONVENTIONS['yolo'] if unit == 'input' else CONVENTIONS['ssd' if places > 1000 else 'rtdetr']
        convention = CONVENTIONS['rtdetr'] if unit == 'image' else convention
        yield Reading(
            'places', f'boxes ({box_format}, {unit}) and scores of each class', convention, options, names, classes
        )
    if strides is not None:
        kinds = ['offsets'] if boxes.min() < -1e-3 else ['distance_pixels', 'distances', 'offsets']
        for kind in kinds:
            convention = CONVENTIONS['yolox' if kind == 'offsets' else 'mmdet']
            options = base | {'box_format': kind, 'strides': strides, 'iou': 0.65}
            words = f'boxes ({kind} of the cells of strides {_listed(strides)}) and scores of each class'
            for point in ('middle',) if kind == 'offsets' else ('corner', 'middle'):
                yield Reading('places', words, convention, options | {'point': point}, names, classes)


def _activations(scores: np.ndarray, finished: bool) -> list[tuple[str, str]]:
    """Return what makes scores of numbers (N, K), and where the class for no object is, the likeliest first."""
    winners = scores.argmax(1)
    often = {place: float((winners == index).mean()) for place, index in (('first', 0), ('last', scores.shape[1] - 1))}
    background = max(often, key=lambda place: often[place])
    if finished:
        sums = scores.sum(1)
        summing = scores.shape[1] > 1 and float(np.abs(sums - 1).max()) < 1e-2
        return [('none', background)] if summing and often[background] > 0.6 else [('none', 'none')]
    # Softmax with a class for no object: that one wins almost everywhere. By a sigmoid, nothing is likely there.
    quiet = float((scores.max(1) < 0).mean())
    if scores.shape[1] > 1 and often[background] > 0.6 and quiet < 0.6:
        return [('softmax', background)]
    if scores.shape[1] > 1 and often[background] > 0.6:
        return [('sigmoid', 'none'), ('softmax', background)]
    return [('sigmoid', 'none')]


def _listed(strides: Sequence[int] | None) -> str:
    return ', '.join(map(str, strides or ()))


def _ranked(readings: Sequence[Reading], observed: Observed) -> list[Reading]:
    """Put the readings in the order of how well the network's own numbers fit them; impossible ones are left out."""
    fits = [(_fit(reading, observed), -index, reading) for index, reading in enumerate(readings)]
    best = max((fit for fit, _, _ in fits), default=0.0)
    candidates = [item for item in fits if item[0] >= max(0.05, 0.5 * best)]
    # Where the numbers can be those of COCO's 80 classes, 79 or 81 are not thought of.
    usual = [item for item in candidates if item[2].classes == _COCO and item[0] > 0.8 * best]
    candidates = usual or candidates
    # Small differences do not change the usual order.
    return [reading for fit, index, reading in sorted(candidates, key=lambda item: (-round(item[0] * 5), -item[1]))]


def _fit(reading: Reading, observed: Observed) -> float:
    """Return how well the numbers of the samples fit a reading, from 0 to 1.

    That is the mean of the best third of the samples: most ranges of values that were tried are not the network's.
    """
    fits = sorted((_sample_fit(reading, observed, sample) for sample in observed.samples), reverse=True)
    return float(np.mean(fits[: math.ceil(len(fits) / 3)]))


def _sample_fit(reading: Reading, observed: Observed, sample: Mapping) -> float:
    if reading.layout == 'detr':
        return _query_fit(reading, observed, sample)
    boxes, scores, chances = _decoded(reading, observed, sample)
    fit = _sound(boxes, scores, observed, reading.options.get('coordinates', 'input') == 'relative')
    fit *= _near_cells(boxes, reading, observed)
    if reading.options.get('parts') in (_PARTS['boxes'], _PARTS['boxes_objectness']):
        fit *= _objectness_fit(reading, chances)
    return fit


def _query_fit(reading: Reading, observed: Observed, sample: Mapping) -> float:
    logits, boxes = (sample[str(reading.names[role])] for role in ('logits', 'boxes'))
    if logits.ndim != 3 or boxes.ndim != 3 or boxes.shape[2] != 4 or boxes.shape[:2] != logits.shape[:2]:
        return 0.0
    softmax = reading.options['activation'] == 'softmax'
    values = torch.from_numpy(np.asarray(logits[0], np.float32))
    scores = values.softmax(1)[:, :-1] if softmax else values.sigmoid()
    corners = decoded_boxes(torch.from_numpy(np.asarray(boxes[0], np.float32)), 'cxcywh', observed.size, ())
    return _sound(corners.numpy(), scores.max(1).values.numpy(), observed, relative=True)


def _decoded(reading: Reading, observed: Observed, sample: Mapping) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return boxes (A, 4) in the reading's unit, scores (A,), and probabilities of all columns but the box (A, C)."""
    options = LayoutOptions(dict(reading.names), **{'classes': reading.classes, **reading.options})
    raw, objectness, chances = parts_of(dict(sample), options)
    kind = options.box_format or 'cxcywh'
    boxes = decoded_boxes(raw, kind, observed.size, options.strides, options.point).numpy()
    scores = class_scores(
        chances, objectness, options.activation, options.background, (options.powers[0], options.powers[1])
    )
    both = torch.cat([objectness, chances], 1) if objectness is not None else chances
    both = both.sigmoid() if options.activation == 'sigmoid' else both
    return boxes, scores.max(1).values.numpy(), both.numpy()


def _sound(boxes: np.ndarray, scores: np.ndarray, observed: Observed, relative: bool) -> float:
    """Return the share of the best boxes, by score, that can be boxes in a picture."""
    order = np.argsort(-scores, kind='stable')[:_BEST]
    order = order[scores[order] > 0.5 * scores[order[:5]].mean()]
    height, width = (1.0, 1.0) if relative else observed.size
    sides = boxes[order, 2:] - boxes[order, :2]
    centres = (boxes[order, 2:] + boxes[order, :2]) / 2
    limit = np.array([width, height])
    # Detectors cut their boxes at the border or not; nothing they find is smaller than a pixel or two of the input.
    good = (sides > 0.004 * limit).all(1) & (sides < 1.6 * limit).all(1)
    good &= (centres > -0.1 * limit).all(1) & (centres < 1.1 * limit).all(1)
    weights = scores[order]
    return float((good * weights).sum() / max(1e-9, weights.sum()))


def _near_cells(boxes: np.ndarray, reading: Reading, observed: Observed) -> float:
    """Return how far finished coordinates follow the cells of their places: those of networks do, almost everywhere."""
    strides = grid_strides(len(boxes), observed.size)
    if (
        strides is None
        or reading.options.get('box_format') in CELL_FORMATS
        or len(np.unique(boxes, axis=0)) < 0.5 * len(boxes)
    ):
        return 1.0
    corners = cell_corners(observed.size, strides).numpy()
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    follows = [float(np.corrcoef(centres[:, axis], corners[:, axis])[0, 1]) for axis in (0, 1)]
    return 1.0 if min(follows) > 0.5 else 0.2


def _objectness_fit(reading: Reading, everything: np.ndarray) -> float:
    """Return how well the first column after the box fits objectness, or, for readings without it, a class.

    Where a head of objectness is sure of an object, one of its classes is likely, too; two classes of a head without
    objectness are hardly likely at one place.
    """
    if everything.shape[1] < 2:
        return 1.0
    first, maxima = everything[:, 0], everything[:, 1:].max(1)
    firing = first > max(0.2, 0.5 * float(first.max(initial=0)))
    both = float((maxima[firing] > 0.2).mean()) if firing.any() else None
    with_objectness = 'objectness' in reading.options['parts']
    coco = reading.classes == _COCO
    if both is None or not firing.any():
        # Nothing was found in the samples, or only other classes: scores without objectness then are low everywhere.
        alone = float((maxima > 0.2).mean()) > 0
        return 1.0 if coco else 0.6 if with_objectness == alone and not with_objectness else 0.7
    fits = both >= _BOTH if with_objectness else both < _BOTH
    return 1.0 if fits or coco else 0.3
