"""Possible readings of a detector's outputs, the most likely first."""

from __future__ import annotations

from collections import Counter

import numpy as np

from miqa.machines.onnx_places import grid_strides
from miqa.machines.value_checks import is_share, is_whole

from .finished import finished_rows, tensorflow_names, triples
from .grids import stride_of
from .joined_heads import single_heads
from .part_heads import part_heads
from .readings import Observed, Reading, UnclearLayout, has_word
from .segmenters import masks_of_queries

#: What is said of rotated boxes.
ROTATED = (
    'They look like rotated boxes (OBB), which no task here compares. Export a model of task detect, or turn its boxes '
    'into upright ones inside the network.'
)
_MOST_READINGS = 6  # More readings than these are not tried on pictures


def detector_readings(observed: Observed) -> list[Reading]:
    """Return the possible readings of the outputs of a detector.

    Raises:
        UnclearLayout: none is; the message says what the outputs are and what to give.
    """
    for find in (tensorflow_names, triples, finished_rows, part_heads, single_heads):
        readings = find(observed)
        if readings:
            return readings[:_MOST_READINGS]
    classes = '' if observed.classes is None else f' of {observed.classes} classes'
    raise UnclearLayout(
        f'{observed.network.file}: no known detector{classes} has these outputs: {observed.shapes()}. '
        f'{_what_it_may_be(observed)} Read are: YOLOv5 to YOLO26 with their boxes decoded (1, 4 + classes, places) or '
        'finished (1, 300, 6), YOLOX, NanoDet, FastestDet, boxes with the scores of every class, DETR and RT-DETR '
        '(logits and boxes), and finished boxes with scores and labels. Which layout is it? --machine-options '
        'layout=yolo, places, detr, boxes_scores_labels or rows; a config with the names of the outputs says more, see '
        'docs/your_own_models.md. Another number of classes? --classes FILE. Instance or semantic segmenter, or '
        'classifier? --task.'
    )


def _what_it_may_be(observed: Observed) -> str:
    """Return sentences about outputs that are not read: what they look like and which export helps."""
    if masks_of_queries(observed):
        return 'They are classes and masks of queries without boxes (MaskFormer, Mask2Former): --task seg or ins.'
    shapes = [list(observed.samples[0][name].shape) for name in observed.names]
    maps = [shape for shape in shapes if len(shape) >= 4]
    several = [anchors for anchors in (3, 5) if all(_of_anchors(shape, anchors) for shape in maps)]
    if maps and several and len(maps) == len(shapes):
        return (
            f'They look like raw heads of YOLOv2 to v7, {several[0]} anchors in each cell, whose sizes the file does '
            'not tell. Export the network with its decoding inside: YOLOv5 "export.py --include onnx" without --train, '
            'YOLOv7 "export.py --grid", Darknet by a converter that decodes.'
        )
    if _is_rotated(observed):
        return ROTATED
    if len(maps) == len(shapes) > 1 and _is_of_centres(maps, observed):
        return (
            'They look like CenterNet: a heat map of centres beside sizes and offsets, whose peaks its own code '
            'takes. Export it with its decoding inside, as boxes, scores and labels.'
        )
    widths = [shape[-1] for shape in shapes]
    named = any(has_word(name, 'loc', 'box', 'reg') for name in observed.names)
    counts = Counter(tuple(shape) for shape in shapes if len(shape) == 3 and grid_strides(max(shape), observed.size))
    if not named and max(counts.values(), default=0) > 1:
        return 'Several outputs are heads of all places: export one alone, or name it in a config (rows_name=...).'
    has_boxes = named or any(width in (4, 8, 14, 16, 18) for width in widths)
    if has_boxes and len(shapes) > 1:
        return (
            'They look like boxes relative to anchors, which the file does not tell (SSD, RetinaNet, RetinaFace, '
            'BlazeFace, SCRFD). Export the network with its decoding inside, after the anchors are applied and best '
            'after the suppression.'
        )
    if len(maps) == len(shapes) and not any(shape[-1] < 4 for shape in shapes):
        return (
            'They look like maps with numbers for each pixel: a segmenter (--task seg), or heat maps of key points, '
            'depth, features or pictures, which have no boxes.'
        )
    if all(len([side for side in shape if side > 1]) < 2 for shape in shapes):
        return 'They look like one vector: a classifier (--task cls), or an embedding, which no task here compares.'
    points = [name for name in observed.names if has_word(name, 'simcc', 'keyp', 'kps', 'landm')]
    if points or any(width in (2, 3, 56) for width in widths):
        return 'They look like key points, which no task here compares, without boxes that are read beside them.'
    return 'Boxes relative to anchors: export the network with its decoding inside.'


def _of_anchors(shape: list[int], anchors: int) -> bool:
    """Return True if a shape is that of a square or wide grid with several anchors in each cell."""
    if len(shape) == 5:
        return shape[1] == anchors and shape[-1] > 5
    cells = [shape[1:3], shape[2:]]
    channels = [shape[3], shape[1]]
    return any(
        width % anchors == 0 and width > 5 * anchors and max(grid) < 4 * min(grid)
        for grid, width in zip(cells, channels, strict=True)
    )


def _is_rotated(observed: Observed) -> bool:
    """Return True for boxes that end with an angle: of all places after their scores, or of finished rows."""
    for name in observed.names:
        shape = [side for side in observed.samples[0][name].shape if side != 1]
        if len(shape) != 2 or not max(shape) > min(shape) > 5:
            continue
        tables = [array.reshape(shape) for array in observed.raw(name)]
        table = np.concatenate([table.T if shape[0] < shape[1] else table for table in tables])
        angles, shares = table[:, -1], [is_share(column) for column in table.T]
        if is_whole(angles) or shares[-1] or np.abs(angles).max() > np.pi + 0.1 or np.ptp(angles) < 0.1:
            continue
        finished = table.shape[1] == 7 and shares[4] and is_whole(table[:, 5])
        if finished or (all(shares[4:-1]) and not any(shares[:4])):
            return True
    return False


def _is_of_centres(maps: list[list[int]], observed: Observed) -> bool:
    """Return True for maps of one grid at a quarter of the input, some with two or four values."""
    grids = {(tuple(shape[2:]), stride_of(shape[2:], observed.size)) for shape in maps}
    return len(grids) == 1 and grids.pop()[1] == 4 and any(shape[1] in (2, 4) for shape in maps)
