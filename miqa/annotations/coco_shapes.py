"""Shapes of objects in COCO's formats, checked before C code gets them: polygons and run-length encodings."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from miqa.running.requirements import require

#: Coordinates may lie this many times the picture's longer side away from it; where its size is not known, pixels.
_REACH, _FARTHEST = 2, 100_000


def is_number(value: object) -> bool:
    """Return True if a value of a JSON file is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15 and value == value


def checked_shape(shape: object, size: tuple[int, int] | None) -> list[list[float]] | dict | None:
    """Return a segmentation, as read from JSON, whose every part is as COCO defines it; None where it is empty.

    ``size`` is width and height of the picture, or None where they are not known.

    Raises:
        ValueError: it is neither polygons nor a run-length encoding of that size; the message says what is wrong.
    """
    if shape is None or shape == [] or shape == {}:
        return None
    if isinstance(shape, Mapping):
        return _checked_runs(shape, size)
    if not isinstance(shape, list):
        raise ValueError('must be a list of polygons, or a run-length encoding with size and counts')
    if all(is_number(value) for value in shape):
        shape = [shape]  # one polygon without the list around it
    polygons = [_checked_polygon(polygon, size) for polygon in shape if polygon != []]
    return polygons or None


def _checked_polygon(polygon: object, size: tuple[int, int] | None) -> list[float]:
    if not isinstance(polygon, list) or not all(is_number(value) for value in polygon):
        raise ValueError('must be polygons, each a list of numbers x1, y1, x2, y2, ...')
    if len(polygon) % 2 or len(polygon) < 6:
        raise ValueError(f'has a polygon of {len(polygon)} numbers; at least three points are needed, of two each')
    reach = _REACH * max(size) if size else _FARTHEST
    if max(map(abs, polygon)) > reach:
        raise ValueError('has a polygon that lies far outside the picture')
    return polygon


def _checked_runs(shape: Mapping, size: tuple[int, int] | None) -> dict:
    stated, counts = shape.get('size'), shape.get('counts')
    sides = [side for side in stated if type(side) is int and side > 0] if isinstance(stated, list) else []
    if len(sides) != 2 or sides != stated or sides[0] * sides[1] > 2**31:
        raise ValueError('is a run-length encoding, whose size must be [height, width]')
    height, width = sides
    if size is not None and (height, width) != (size[1], size[0]):
        raise ValueError(f'has the size {sides}; size must be [height, width], here [{size[1]}, {size[0]}]')
    if isinstance(counts, str):
        lengths = _decoded(counts)
    elif isinstance(counts, list) and all(type(count) is int for count in counts):
        lengths = np.array([min(max(count, -1), 2**33) for count in counts], np.int64)
    else:
        raise ValueError('is a run-length encoding, whose counts must be a text or a list of whole numbers')
    if (lengths < 0).any() or lengths.sum() != height * width:
        raise ValueError(
            f'is a damaged run-length encoding of {int(lengths.sum())} pixels, not {width}x{height} = {height * width}'
        )
    return {'size': sides, 'counts': counts.encode('ascii') if isinstance(counts, str) else list(counts)}


def _decoded(text: str) -> np.ndarray:
    """Lengths of the runs of a compressed encoding.

    COCO writes each number in groups of five bits, lowest first, as characters from '0' on; 32 says that another group
    follows, and the highest bit of the last group is the sign. From the fourth number on, what is written is the
    difference to the number before the previous one (pycocotools, common/maskApi.c).
    """
    codes = np.frombuffer(text.encode('ascii', 'replace'), np.uint8).astype(np.int64) - 48
    if not len(codes) or (codes < 0).any() or (codes > 63).any() or codes[-1] & 32:
        raise ValueError('is a damaged run-length encoding: its counts hold characters that it never has')
    ends = np.flatnonzero(codes < 32)
    starts = np.concatenate(([0], ends[:-1] + 1))
    groups = ends - starts + 1
    if groups.max() > 8:
        raise ValueError('is a damaged run-length encoding: it holds a number beyond all pictures')
    place = np.arange(len(codes)) - np.repeat(starts, groups)
    values = np.add.reduceat((codes & 31) << (5 * place), starts)
    values = values - np.where(codes[ends] & 16, 1 << (5 * groups), 0)
    # values[i] += result[i - 2] for i > 2: sums over every other number, from 1 on and from 2 on.
    for first in (1, 2):
        values[first::2] = np.cumsum(values[first::2])
    return values


def box_of(shape: list[list[float]] | dict) -> tuple[float, float, float, float]:
    """Return left, top, width and height of a checked segmentation."""
    if isinstance(shape, dict):
        left, top, width, height = require('pycocotools.mask', 'Run-length encodings of COCO').toBbox(packed(shape))
        return float(left), float(top), float(width), float(height)
    points = np.concatenate([np.asarray(polygon, np.float64).reshape(-1, 2) for polygon in shape])
    (left, top), (right, bottom) = points.min(0), points.max(0)
    return float(left), float(top), float(right - left), float(bottom - top)


def packed(shape: list[list[float]] | dict, size: tuple[int, int] | None = None) -> dict:
    """Return a checked segmentation in the compressed run-length encoding.

    Args:
        shape: polygons or an encoding.
        size: width and height of the picture; polygons need it.
    """
    coder = require('pycocotools.mask', 'Shapes of COCO annotations')
    if isinstance(shape, dict):
        return coder.frPyObjects(shape, *shape['size']) if isinstance(shape['counts'], list) else shape
    if size is None:
        raise ValueError('Polygons become pixels only for a picture of known size.')
    return coder.merge(coder.frPyObjects(shape, size[1], size[0]))


def finite_box(box: object) -> tuple[float, float, float, float] | None:
    """Return a bounding box of COCO as four numbers; None where it is empty.

    Raises:
        ValueError: it is something else, or its width or height is negative.
    """
    if box is None or box == []:
        return None
    if not isinstance(box, list) or len(box) != 4 or not all(is_number(value) for value in box):
        raise ValueError('must be four numbers: left, top, width, height')
    if box[2] < 0 or box[3] < 0:
        raise ValueError(f'has the width {box[2]:g} and the height {box[3]:g}; neither can be negative')
    left, top, width, height = map(float, box)
    return (left, top, width, height) if all(map(math.isfinite, box)) else None
