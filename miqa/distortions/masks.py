"""Foreground masks: from COCO's instances, from a folder, or by saliency where there is neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from miqa.annotations.coco_shapes import packed
from miqa.annotations.objects import Annotations
from miqa.errors import MIQAError
from miqa.layout import mask_name
from miqa.pictures import read_image
from miqa.running import require

from .saliency import SALIENCY_METHOD, salient_foreground


class UnfitMask(MIQAError, ValueError):
    """A mask or annotation that does not belong to its picture."""


class MaskRecipe(NamedTuple):
    """How the mask of one source comes about: small enough to be sent to a worker process."""

    #: 'coco', 'folder' or 'saliency'.
    kind: str
    #: coco: ((width, height) or None, segmentations); folder: the path of the mask; saliency: None.
    payload: Any = None


def coco_recipe(annotations: Annotations, key: int | str) -> MaskRecipe:
    """The union of all instances of an image (crowds too); saliency without one."""
    shapes = [instance.segmentation for instance in annotations.objects[key] if instance.segmentation is not None]
    return MaskRecipe('coco', (annotations.images[key].size, shapes)) if shapes else MaskRecipe('saliency')


def folder_recipe(folder: str | Path, names: tuple[str, ...]) -> MaskRecipe:
    """Find the mask of a source, ``{name}_binary_mask.png`` or ``{name}.png`` for any of its names.

    Raises:
        FileNotFoundError: the file is missing.
    """
    tried = [Path(folder) / file for name in names for file in (mask_name(name), f'{name}.png')]
    for path in tried:
        if path.is_file():
            return MaskRecipe('folder', str(path))
    raise FileNotFoundError(f'There is no mask for {names[0]}: none of {", ".join(map(str, tried))} exists.')


def make_mask(recipe: MaskRecipe, image: np.ndarray) -> tuple[np.ndarray, str]:
    """Make the mask of a picture, uint8 RGB (H, W, 3): uint8 (H, W), 0 or 255 (foreground), and the name of the method.

    Raises:
        UnfitMask: the annotation or mask has another size than the picture.
    """
    size = image.shape[:2]
    if recipe.kind == 'saliency':
        return salient_foreground(image), SALIENCY_METHOD
    if recipe.kind == 'folder':
        mask = read_image(recipe.payload)[:, :, 0]
        if mask.shape != size:
            raise UnfitMask(
                f'The mask {recipe.payload} is {mask.shape[1]} x {mask.shape[0]}, '
                f'but its picture is {size[1]} x {size[0]} pixels.'
            )
        # Masks are stored with 255 or with 1 for the foreground.
        threshold = 0 if mask.max() == 1 else 127
        return np.where(mask > threshold, 255, 0).astype(np.uint8), 'mask folder'
    annotated, shapes = recipe.payload
    if annotated is not None and annotated != (size[1], size[0]):
        raise UnfitMask(
            f'COCO annotates a picture of {annotated[0]} x {annotated[1]} pixels, '
            f'but the file has {size[1]} x {size[0]}.'
        )
    return _draw_instances(shapes, size[0], size[1]), 'COCO instances'


def _draw_instances(shapes: list, height: int, width: int) -> np.ndarray:
    decode = require('pycocotools.mask', 'Drawing COCO instances').decode
    mask = np.zeros((height, width), np.uint8)
    for shape in shapes:
        drawn = decode(packed(shape, (width, height)))
        if drawn.shape != mask.shape:
            raise UnfitMask(
                f'COCO gives a shape for {drawn.shape[1]} x {drawn.shape[0]} pixels, '
                f'but the file has {width} x {height}.'
            )
        mask |= drawn
    return mask * np.uint8(255)
