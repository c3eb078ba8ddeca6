"""Objects of the source images, from COCO annotations."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..utils import require
from .average_precision import Objects
from .ground_truth import read_coco


class CocoObjects(NamedTuple):
    """Ground truth of a database for det or ins.

    Attributes:
        objects: source -> its objects, labelled with COCO's category ids.
        sizes: source -> (width, height) by the annotations.
        categories: category name -> id.
    """

    objects: dict[str, Objects]
    sizes: dict[str, tuple[int, int]]
    categories: dict[str, int]


def coco_objects(path: str, with_masks: bool) -> CocoObjects:
    """Read the objects of every image from a COCO file, once per process.

    An image is known by the stem of its file name and by its COCO number filled to 12 digits.

    An annotation with ``iscrowd`` is a crowd region (see :class:`Objects`); one without area is left out, as it
    cannot be found. An image without annotations has no objects.

    Raises:
        ValueError: an annotation lacks what is needed, or belongs to no image.
    """
    stamp = Path(path).stat() if Path(path).is_file() else None
    return _read(path, with_masks, (stamp.st_mtime_ns, stamp.st_size) if stamp else None)


@lru_cache(maxsize=2)
def _read(path: str, with_masks: bool, stamp: tuple[int, int] | None) -> CocoObjects:
    """Read the file; ``stamp`` makes a changed file another entry of the cache."""
    content = read_coco(path)
    images = {image['id']: image for image in content['images']}
    grouped: dict[int, list[dict]] = {key: [] for key in images}
    for annotation in content['annotations']:
        if annotation['image_id'] not in grouped:
            raise ValueError(
                f'{path}: annotation {annotation.get("id")} belongs to image {annotation["image_id"]}, '
                f'which is not in "images".'
            )
        grouped[annotation['image_id']].append(annotation)
    objects, sizes = {}, {}
    for key, image in images.items():
        size = (int(image['width']), int(image['height']))
        things = _objects(grouped[key], size, with_masks, path)
        # MIQD calls a detection image by its COCO number; a file may also keep its own name.
        for name in {Path(image['file_name']).stem, f'{int(key):012d}'}:
            if name in objects:
                raise ValueError(f'{path} has two images that could be called {name}.')
            sizes[name], objects[name] = size, things
    return CocoObjects(objects, sizes, {item['name']: item['id'] for item in content['categories']})


def _objects(annotations: list[dict], size: tuple[int, int], with_masks: bool, path: str) -> Objects:
    annotations = [item for item in annotations if item['bbox'][2] > 0 and item['bbox'][3] > 0]
    boxes = np.array([item['bbox'] for item in annotations], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    masks = [_mask(item, size, path) for item in annotations] if with_masks else None
    labels = np.array([item['category_id'] for item in annotations], np.int64)
    return Objects(boxes, labels, np.array([bool(item.get('iscrowd', 0)) for item in annotations], bool), masks)


def _mask(annotation: dict, size: tuple[int, int], path: str) -> dict:
    """Return an annotation's mask in run-length encoding, of polygons or of either kind of encoding."""
    mask = require('pycocotools.mask', 'Masks of COCO annotations')
    shape = annotation.get('segmentation')
    if not shape:
        raise ValueError(f'{path}: annotation {annotation.get("id")} has no segmentation, which ins needs.')
    width, height = size
    if isinstance(shape, list):
        return mask.merge(mask.frPyObjects(shape, height, width))
    if isinstance(shape['counts'], list):
        return mask.frPyObjects(shape, height, width)
    counts = shape['counts']
    return {'size': shape['size'], 'counts': counts.encode() if isinstance(counts, str) else counts}
