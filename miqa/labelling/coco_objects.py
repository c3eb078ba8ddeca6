"""Objects of the source images, from their annotations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from miqa.annotations.coco import read_coco
from miqa.annotations.coco_shapes import packed
from miqa.annotations.objects import AnnotatedObject, AnnotationError, Annotations
from miqa.keeping.files import state_of_file

from .average_precision import Objects


class CocoObjects(NamedTuple):
    """Ground truth of a database for det or ins."""

    objects: dict[str, Objects]  # source -> its objects, labelled with COCO's category ids
    sizes: dict[str, tuple[int, int] | None]  # source -> (width, height) by the annotations; None where they do not say
    categories: dict[str, int]  # category name -> id


def coco_objects(path: str, with_masks: bool) -> CocoObjects:
    """Read the objects of every image from a COCO file, once per process.

    For the names of an image see :meth:`miqa.annotations.objects.Annotations.names`. An annotation with ``iscrowd``
    is a crowd region (see :class:`Objects`); one without area is skipped, as it cannot be found. An image without
    annotations has no objects.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not as it must be; see :func:`miqa.annotations.coco.read_coco`.
    """
    return _read(path, with_masks, state_of_file(path))


def remember(annotations: Annotations) -> None:
    """Keep what was read of a file for this process, so that :func:`coco_objects` need not read it as well."""
    _remembered.clear()
    _remembered[annotations.path, state_of_file(annotations.path)] = annotations


_remembered: dict[tuple, Annotations] = {}


@lru_cache(maxsize=2)
def _read(path: str, with_masks: bool, stamp: tuple | None) -> CocoObjects:
    """Read the file; ``stamp`` makes a changed file another entry of the cache."""
    return objects_of(_remembered.get((path, stamp)) or read_coco(path), with_masks)


def objects_of(annotations: Annotations, with_masks: bool) -> CocoObjects:
    """Turn annotations into what detections are compared with.

    Raises:
        AnnotationError: two images have one name; or masks are wanted, and an object has no shape or its image no
            size.
    """
    objects = {key: _objects(annotations, key, instances, with_masks) for key, instances in annotations.objects.items()}
    names = annotations.names()
    return CocoObjects(
        {name: objects[key] for name, key in names.items()},
        {name: annotations.images[key].size for name, key in names.items()},
        dict(annotations.categories),
    )


def _objects(
    annotations: Annotations, key: int | str, instances: Sequence[AnnotatedObject], with_masks: bool
) -> Objects:
    boxes = np.array([instance.box for instance in instances], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    masks = [_mask(annotations, key, instance) for instance in instances] if with_masks else None
    labels = np.array([instance.category for instance in instances], np.int64)
    return Objects(boxes, labels, np.array([instance.crowd for instance in instances], bool), masks)


def check_shapes(annotations: Annotations) -> None:
    """Raise an AnnotationError where an object has no shape, or its image no size: masks need both."""
    for key, instances in annotations.objects.items():
        for instance in instances:
            _check_shape(annotations, key, instance)


def _check_shape(annotations: Annotations, key: int | str, instance: AnnotatedObject) -> list | dict:
    image = annotations.images[key]
    if instance.segmentation is None:
        raise AnnotationError(
            f'{annotations.path}: an object of image {key} ({image.file_name}) has no segmentation, which ins needs: '
            'add it, or label for det.'
        )
    if isinstance(instance.segmentation, list) and image.size is None:
        raise AnnotationError(
            f'{annotations.path}: image {key} ({image.file_name}) has no width and height, which masks need.'
        )
    return instance.segmentation


def _mask(annotations: Annotations, key: int | str, instance: AnnotatedObject) -> dict:
    return packed(_check_shape(annotations, key, instance), annotations.images[key].size)
