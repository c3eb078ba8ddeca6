"""Foreground masks: from COCO's instances, from a folder, or by saliency where there is neither."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..utils import read_image, require
from .saliency import SALIENCY_METHOD, salient_foreground


class UnfitMask(ValueError):
    """A mask or annotation that does not belong to its picture."""


class MaskRecipe(NamedTuple):
    """How the mask of one source comes about: small enough to be sent to a worker process."""

    #: 'coco', 'folder' or 'saliency'.
    kind: str
    #: coco: (width, height, segmentations); folder: the path of the mask; saliency: None.
    payload: Any = None


class CocoInstances:
    """The instances of a COCO annotation file, by the image's file name.

    Raises:
        ValueError: the file is not COCO's format, or two of its images have the same name.
    """

    def __init__(self, annotation_file: str | Path):
        self.path = Path(annotation_file)
        data = json.loads(self.path.read_text(encoding='utf-8'))
        if not isinstance(data, dict) or 'images' not in data:
            raise ValueError(f'{self.path} is not a COCO annotation file: it has no list of images.')
        self._images = {}
        for image in data['images']:
            name = Path(image['file_name']).name
            if name in self._images:
                raise ValueError(f'{self.path} lists two images with the file name {name}; names have to be unique.')
            self._images[name] = image
        self._segmentations = defaultdict(list)
        for annotation in data.get('annotations', []):
            if annotation.get('segmentation'):
                self._segmentations[annotation['image_id']].append(annotation['segmentation'])

    def image_id(self, file_name: str) -> int:
        """Return COCO's number of an image; KeyError with a sentence where the file does not list it."""
        return self._entry(file_name)['id']

    def recipe(self, file_name: str) -> MaskRecipe:
        """The union of all instances of an image (crowds too); saliency where there is none."""
        entry = self._entry(file_name)
        segmentations = self._segmentations.get(entry['id'])
        if not segmentations:
            return MaskRecipe('saliency')
        return MaskRecipe('coco', (entry['width'], entry['height'], segmentations))

    def _entry(self, file_name: str) -> dict:
        if file_name not in self._images:
            raise KeyError(f'{self.path} lists no image with the file name {file_name}.')
        return self._images[file_name]


def folder_recipe(folder: str | Path, names: tuple[str, ...]) -> MaskRecipe:
    """Find the mask of a source, ``{name}_binary_mask.png`` or ``{name}.png`` for any of its names.

    Raises:
        FileNotFoundError: there is none.
    """
    tried = [Path(folder) / f'{name}{tail}' for name in names for tail in ('_binary_mask.png', '.png')]
    for path in tried:
        if path.is_file():
            return MaskRecipe('folder', str(path))
    raise FileNotFoundError(f'There is no mask for {names[0]}: none of {", ".join(map(str, tried))} exists.')


def make_mask(recipe: MaskRecipe, image: np.ndarray) -> tuple[np.ndarray, str]:
    """Make the mask of a picture.

    Args:
        recipe: where it comes from.
        image: uint8 RGB (H, W, 3), the source.

    Returns:
        uint8 (H, W), 0 for the background and 255 for the foreground, and the name of the method for the records.

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
    width, height, segmentations = recipe.payload
    if (height, width) != size:
        raise UnfitMask(
            f'COCO annotates a picture of {width} x {height} pixels, but the file has {size[1]} x {size[0]}.'
        )
    return _draw_instances(segmentations, height, width), 'COCO instances'


def _draw_instances(segmentations: list, height: int, width: int) -> np.ndarray:
    rle = require('pycocotools.mask', 'Drawing COCO instances')
    mask = np.zeros((height, width), np.uint8)
    for segmentation in segmentations:
        if isinstance(segmentation, list):
            parts = rle.frPyObjects(segmentation, height, width)
            code = rle.merge(parts)
        elif isinstance(segmentation['counts'], list):
            code = rle.frPyObjects(segmentation, height, width)
        else:
            code = segmentation
        mask |= rle.decode(code)
    return mask * np.uint8(255)
