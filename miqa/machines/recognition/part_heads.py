"""Dense heads whose boxes, scores and perhaps objectness are outputs of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from miqa.machines.onnx_places import grid_strides, rows_of
from miqa.machines.value_checks import is_share

from .conventions import CONVENTIONS
from .fits import ranked_readings
from .grids import BINS, MOST_QUERIES, box_formats, is_prototype, levels_of, values_last
from .readings import Observed, Reading, box_unit, has_word

_UNREAD = ('landm', 'kps', 'keyp', 'hidden', 'embed', 'reference')  # What outputs are called that are no scores
_SCORES = ('logit', 'score', 'prob', 'conf', 'cls', 'class')  # What outputs of scores are called


def part_heads(observed: Observed) -> list[Reading]:
    """Read heads whose boxes, scores and perhaps objectness are outputs of their own, one each or one a grid each."""
    names = [name for name in observed.names if not is_prototype(name, observed)]
    if len(names) > 3:  # maps of key points beside each grid (YuNet)
        names = [name for name in names if not has_word(name, *_UNREAD)]
    if len(names) < 2:
        return []
    readings: list[Reading] = []
    for groups, strides in _groupings(names, observed):
        readings += _of_parts(groups, strides, observed)
    return ranked_readings(readings, observed)


def _groupings(
    names: Sequence[str], observed: Observed
) -> Iterator[tuple[dict[str, tuple[list[str], int]], tuple[int, ...] | None]]:
    """Yield which outputs are boxes, scores and objectness, each with the width of its values; and the strides."""
    levels = levels_of(names, observed)
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
    if any(has_word(name, 'anchor', 'prior') for name in tables):
        return  # beside their anchors, boxes are relative to them
    # Reference points and hidden states of transformers have the shapes of boxes and scores, too.
    tables = [name for name in tables if has_word(name, 'box')] or tables
    if len({math.prod(shapes[name]) for name in tables}) > 1:
        return  # boxes of several grids, of which one alone would be read
    for boxes in tables:
        count = shapes[boxes][0] if shapes[boxes][1] == 4 else shapes[boxes][1]
        fitting = [
            (name, math.prod(shapes[name]) // count)
            for name in names
            if name != boxes and len(shapes[name]) in (1, 2) and count in shapes[name]
        ]
        strides = grid_strides(count, observed.size)
        # By chance, queries are as many as the cells of one grid.
        strides = None if strides is not None and len(strides) == 1 and count <= MOST_QUERIES else strides
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
    last = values_last([name for names, _ in groups.values() for name in names], observed)
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
    if bins > 1 and (bins not in BINS or strides is None or is_share(columns['boxes'])):
        return
    for activation, background in _activations(columns['scores'], is_share(scored)):
        classes = width - (background != 'none')
        unused = bins == 1 and activation == 'sigmoid' and observed.classes == classes - 1
        if classes < 1 or (observed.classes is not None and classes != observed.classes and not unused):
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
        yield from _of_four(columns['boxes'], columns['scores'], names, strides, observed, base, classes, places)


def _of_four(
    boxes: np.ndarray, scores: np.ndarray, names: Mapping, strides: tuple[int, ...] | None, observed: Observed,
    base: dict, classes: int, places: int,
) -> Iterator[Reading]:  # fmt: skip
    unit = box_unit(boxes, observed)
    queries = places <= MOST_QUERIES and unit == 'relative' and strides is None
    formats = box_formats(boxes, places)
    corners = formats[0] == 'xyxy'
    if queries and not corners and base['activation'] != 'none' and 'objectness' not in names:
        softmax = base['activation'] == 'softmax'
        options = {'activation': base['activation']}
        # The class for no object is the last, and not among those that are counted.
        roles = {'logits': names['scores'], 'boxes': names['boxes']}
        roboflow = (names['boxes'], names['scores']) == ('dets', 'labels')  # as RF-DETR's export names them
        family = 'DETR' if softmax else 'RF-DETR' if roboflow else 'RT-DETR'
        words = f'queries: logits and boxes ({family}, {base["activation"]})'
        convention = CONVENTIONS['detr' if softmax or roboflow else 'rtdetr']
        if observed.classes == classes - 1:  # RF-DETR has a class that is not used
            idle = scores.max(0)[[0, -1]]
            for unused in ('first', 'last') if idle[0] < idle[1] else ('last', 'first'):
                more = f'{words}, whose {unused} class is not used'
                yield Reading('detr', more, convention, options | {'background': unused}, roles, classes - 1)
        elif base.get('background') != 'first':
            yield Reading('detr', words, convention, options, roles, classes)
        return
    if observed.classes == classes - 1:
        return
    if corners and 'image_shape' in observed.network.extra_inputs:
        formats = ['yxyx']  # YOLOv3 of the ONNX zoo
    elif corners and unit == 'relative':
        formats = [*formats, 'yxyx']  # TensorFlow's
    for box_format in formats:
        options = base | {'coordinates': unit, 'box_format': box_format, 'iou': 1.0 if queries else 0.7}
        convention = CONVENTIONS['yolo'] if unit == 'input' else CONVENTIONS['ssd' if places > 1000 else 'rtdetr']
        told = unit == 'image' or 'scale_factor' in observed.network.extra_inputs
        convention = CONVENTIONS['yolo' if box_format == 'yxyx' else 'rtdetr'] if told else convention
        yield Reading(
            'places', f'boxes ({box_format}, {unit}) and scores of each class', convention, options, names, classes
        )
    if strides is not None:
        kinds = ['offsets'] if boxes.min() < -1e-3 else ['distance_pixels', 'distances', 'offsets']
        for kind in kinds:
            convention = CONVENTIONS['yolox' if kind == 'offsets' else 'mmdet']
            options = base | {'box_format': kind, 'strides': strides, 'iou': 0.65}
            words = f'boxes ({kind} of the cells of strides {_listed(strides)}) and scores of each class'
            if kind == 'offsets' and any(has_word(name, 'kps') for name in observed.names):
                options |= {'powers': (0.5, 0.5)}  # YuNet (OpenCV, FaceDetectorYN)
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
