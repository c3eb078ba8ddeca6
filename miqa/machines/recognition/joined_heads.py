"""Dense heads whose values of a place lie together: one matrix, or one output per grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from miqa.machines.onnx_places import STRIDES, grid_strides, rows_of
from miqa.machines.value_checks import is_share

from .conventions import CONVENTIONS
from .fits import COCO_CLASSES, PARTS, ranked_readings
from .grids import BINS, MOST_QUERIES, box_formats, is_prototype, levels_of, stride_of, values_last
from .readings import FEATURE_WIDTHS, Observed, Reading, box_unit

_FEWEST = 64  # Places or queries of a detector: fewer rows are poses (MoveNet) or something else
_ALIKE = 0.8  # Columns of different anchors correlate at least so much


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
        features = observed.classes is None and values.tables[0].shape[1] in FEATURE_WIDTHS
        few = values.strides is None and len(values.tables[0]) < _FEWEST
        if features or few or all(map(_is_text, values.tables)) or _repeats(values.tables):
            continue
        readings += _of_values(values, observed)
        fitting_grids |= values.strides is not None
    ranked = ranked_readings(readings, observed)
    if ranked or not fitting_grids or any(sample[name].any() for sample in observed.samples for name in observed.names):
        return ranked
    # Nothing was found in any sample, so that the usual one of those that the shapes allow is taken.
    return [reading for reading in readings if reading.classes == COCO_CLASSES] or readings[:1]


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
    names = _decoded_matrix(names, observed) or names
    if len(names) > 1:
        levels = levels_of(names, observed)
        if levels and len({width for _, _, width in levels}) == 1 and len({s for s, _, _ in levels}) == len(levels):
            ordered = sorted(levels)
            first = values_last(names, observed).get('values_first')
            width = ordered[0][2]
            tables = [
                np.concatenate([rows_of(sample[name], width, first).numpy() for _, name, _ in ordered])
                for sample in observed.samples
            ]
            last = values_last(names, observed)
            yield _Values(tables, [name for _, name, _ in ordered], tuple(s for s, _, _ in ordered), last, False)
        return
    shape = [side for side in observed.samples[0][names[0]].shape if side != 1]
    if any(list(shape) == [side // stride for side in observed.size] for stride in (1, 2, 4)):
        return  # one number for each pixel: a map, no matrix
    if len(shape) == 3:
        for width, grid, first in ((shape[0], shape[1:], True), (shape[-1], shape[:-1], False)):
            stride = stride_of(grid, observed.size)
            if stride and stride > STRIDES[0]:  # one fine grid alone are heat maps
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


def _decoded_matrix(names: Sequence[str], observed: Observed) -> list[str]:
    """Return the one matrix of decoded places beside which all other outputs are raw maps of the same grids."""
    shapes = {name: [side for side in observed.samples[0][name].shape if side != 1] for name in names}
    matrices = [name for name in names if len(shapes[name]) == 2]
    others = [name for name in names if name not in matrices]
    raw = all(
        any(stride_of(grid, observed.size) for grid in (shapes[name][1:3], shapes[name][:2], shapes[name][-2:]))
        for name in others
    )
    if len(matrices) != 1 or len(others) < 2 or not raw:
        return []
    counts = [side // anchors for side in shapes[matrices[0]] for anchors in (1, 3) if side % anchors == 0]
    return matrices if any(grid_strides(count, observed.size) for count in counts) else []


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
    layouts += [(parts, bins, 'distribution') for bins in BINS for parts in ('scores_first', 'boxes')]
    for parts, bins, kind in layouts:
        order = PARTS[parts]
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
        if not finished and sum(scored) > 0.2 * len(scored) and len(scored) > 1:
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
    formats = box_formats(boxes, len(values.tables[0]))
    cells = []
    if values.strides is not None:
        cells.append('offsets')
        if boxes.min() >= 0 and len(values.names) > 1:
            cells += ['distances', 'distance_pixels']
    queries = len(values.tables[0]) <= MOST_QUERIES and values.strides is None
    for box_format in formats:
        options = base | {'coordinates': unit, 'iou': 1.0 if queries and unit == 'relative' else 0.7}
        options |= {} if box_format == 'cxcywh' else {'box_format': box_format}
        # PaddleDetection stretches pictures and tells the network the scale.
        stretched = (queries and unit == 'relative') or 'scale_factor' in observed.network.extra_inputs
        convention = CONVENTIONS['rtdetr' if stretched else 'yolo']
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
