"""Preprocessing of exported networks: stretching or letterboxing, normalisation, and the inverse mapping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from miqa.taxonomy import check_choice

from .masks import encode_masks

#: ``stretch`` changes proportions; ``letterbox`` keeps them, with the picture in the middle, ``corner`` with the
#: picture at the top left; ``crop`` keeps them and takes the middle of the picture (classifiers), ``cover`` as much
#: of it as fits (Ultralytics' classifiers).
RESIZES = ('stretch', 'letterbox', 'corner', 'crop', 'cover')
CHANNELS = ('rgb', 'bgr', 'grey')

#: Share of the shorter side that ``crop`` keeps: 224 of 256 pixels, the usual evaluation of ImageNet classifiers.
CROP_SHARE = 224 / 256

BORDER = 114  # Grey of the borders of a letterbox, as YOLO networks are trained


class Placement(NamedTuple):
    """Where an image lies in the input of a network."""

    image: tuple[int, int]  # (height, width) of the image
    canvas: tuple[int, int]  # (height, width) of the input
    content: tuple[int, int]  # (height, width) of the part of the input that shows the image
    corner: tuple[int, int]  # (top, left) of that part
    scale: tuple[float, float]  # (vertical, horizontal) pixels of the input for one of the image

    def boxes_to_image(self, boxes: torch.Tensor) -> torch.Tensor:
        """Turn boxes, (N, 4) xyxy in pixels of the input, into pixels of the image, cut at its border."""
        (top, left), (y, x), (height, width) = self.corner, self.scale, self.image
        moved = (boxes - boxes.new_tensor([left, top, left, top])) / boxes.new_tensor([x, y, x, y])
        return moved.clamp(boxes.new_zeros(4), boxes.new_tensor([width, height, width, height]))

    def maps_to_image(self, maps: torch.Tensor, mode: str = 'bilinear') -> torch.Tensor:
        """Turn maps (N, h, w) that cover the input, at any resolution, into maps (N, H, W) of the image.

        Args:
            maps: float.
            mode: of :func:`torch.nn.functional.interpolate`; ``nearest-exact`` for indices of classes.
        """
        if self.content != self.canvas:
            # Borders end between pixels of a coarse map, so it is enlarged before they are cut off.
            maps = self.maps_of_input(maps, mode)
            (top, left), (height, width) = self.corner, self.content
            maps = maps[:, top : top + height, left : left + width]
        return _resize(maps, self.image, mode)

    def maps_of_input(self, maps: torch.Tensor, mode: str = 'bilinear') -> torch.Tensor:
        """Turn maps (N, h, w) that cover the input into maps of its pixels."""
        return _resize(maps, self.canvas, mode)

    def masks_to_image(
        self, maps: torch.Tensor, threshold: float, boxes: torch.Tensor | None = None
    ) -> tuple[list[dict], torch.Tensor]:
        """Turn maps (N, h, w) that cover the input into masks of the image where they exceed ``threshold``.

        One at a time, because a hundred masks of a large image would not fit into memory. The maps have any resolution;
        each mask is cut at its box of ``boxes``, (N, 4) in pixels of the image.

        Returns:
            The masks that are not empty, run-length encoded, and bool (N,): which these are.
        """
        encoded, non_empty = [], torch.zeros(len(maps), dtype=torch.bool)
        for i in range(len(maps)):
            mask = self.maps_to_image(maps[i : i + 1])[0] > threshold
            if boxes is not None:
                rows, columns = torch.arange(mask.shape[0])[:, None], torch.arange(mask.shape[1])[None]
                left, top, right, bottom = boxes[i]
                mask &= (columns >= left) & (columns < right) & (rows >= top) & (rows < bottom)
            if mask.any():
                non_empty[i] = True
                encoded += encode_masks(mask[None].numpy())
        return encoded, non_empty


def masks_in_boxes(
    maps: torch.Tensor, boxes: torch.Tensor, size: tuple[int, int], threshold: float
) -> tuple[list[dict], torch.Tensor]:
    """Turn maps (N, h, w) that cover their boxes into masks of an image where they exceed ``threshold``.

    A pixel's centre takes the bilinear value of the map at its place in the box, 0 beyond it (as Detectron2 and
    MMDetection paste masks). ``boxes``, (N, 4), are in pixels of the image of ``size`` (height, width); the result is
    that of :meth:`Placement.masks_to_image`.
    """
    encoded, non_empty = [], torch.zeros(len(maps), dtype=torch.bool)
    for i, (map_, box) in enumerate(zip(maps, boxes, strict=True)):
        left, top, right, bottom = box.tolist()
        rows = torch.arange(max(0, int(top)), min(size[0], int(bottom) + 1))
        columns = torch.arange(max(0, int(left)), min(size[1], int(right) + 1))
        if not (right > left and bottom > top and len(rows) and len(columns)):
            continue
        y, x = 2 * (rows + 0.5 - top) / (bottom - top) - 1, 2 * (columns + 0.5 - left) / (right - left) - 1
        grid = torch.stack(torch.meshgrid(y, x, indexing='ij')[::-1], 2)
        part = functional.grid_sample(map_[None, None], grid[None], align_corners=False)[0, 0] > threshold
        if part.any():
            mask = np.zeros(size, bool)
            mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = part.numpy()
            non_empty[i] = True
            encoded += encode_masks(mask[None])
    return encoded, non_empty


def _resize(maps: torch.Tensor, size: tuple[int, int], mode: str) -> torch.Tensor:
    if tuple(maps.shape[1:]) == tuple(size) or not len(maps):
        return maps.reshape(-1, *size)
    return functional.interpolate(
        maps[None], tuple(size), mode=mode, align_corners=False if mode == 'bilinear' else None
    )[0]


class OnnxPreparation:
    """Resize an image for a network with a fixed input, and normalise it, as a picklable function.

    Args:
        size: (height, width) of the input, or None to keep the image's.
        mean: per channel, on values in [0, 1].
        std: per channel, on values in [0, 1].
        resize: one of :data:`RESIZES`: ``stretch`` (Pillow's antialiased bilinear filter), ``letterbox`` (OpenCV's
            bilinear filter and borders on both sides, as Ultralytics), ``corner`` (the same with the picture at the top
            left, as YOLOX), ``crop`` (the middle of the picture, as most classifiers) or ``cover`` (all of its shorter
            side, as Ultralytics' classifiers).
        channels: order in which the network takes the channels, ``rgb`` or ``bgr``, or ``grey`` for one, the luma of
            ITU-R BT.601; mean and std are always those of red, green, blue, for grey their means count.
        border: value of the borders of a letterbox, 0 to 255.

    Raises:
        ValueError: mean or std are not a number for each channel, or std is not positive.
    """

    #: Set on an object only where they differ, so that the fingerprints of older preparations stay.
    channels, border = 'rgb', BORDER

    def __init__(
        self,
        size: tuple[int, int] | None,
        mean: Sequence[float],
        std: Sequence[float],
        resize: str = 'stretch',
        channels: str = 'rgb',
        border: int = BORDER,
    ):
        check_choice(resize, RESIZES, 'way to resize')
        check_choice(channels, CHANNELS, 'order of channels')
        if len(mean) != 3 or len(std) != 3 or not min(std) > 0:
            raise ValueError(f'mean and std must be three numbers each, std above 0; they are {mean} and {std}.')
        if not 0 <= border <= 255:
            raise ValueError(f'border must lie in [0, 255], not {border}.')
        self.size, self.mean, self.std, self.resize = size, tuple(mean), tuple(std), resize
        if channels != 'rgb':
            self.channels = channels
        if border != BORDER:
            self.border = border

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, Placement]:
        """Return float32 (3, h, w), or grey (1, h, w), in the network's order, and where the image lies in it."""
        shape = image.shape[:2]
        if self.size is None:
            placement = Placement(shape, shape, shape, (0, 0), (1.0, 1.0))
        elif self.resize == 'stretch':
            image = np.asarray(Image.fromarray(image).resize(self.size[::-1], Image.Resampling.BILINEAR))
            scale = (self.size[0] / shape[0], self.size[1] / shape[1])
            placement = Placement(shape, self.size, self.size, (0, 0), scale)
        elif self.resize in ('crop', 'cover'):
            image, placement = crop(image, self.size, CROP_SHARE if self.resize == 'crop' else 1.0)
        else:
            image, placement = letterbox(image, self.size, self.border, self.resize == 'corner')
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        if self.channels == 'grey':
            image, mean, std = np.asarray(Image.fromarray(image).convert('L'))[..., None], mean.mean(), std.mean()
        values = (image.astype(np.float32) / 255 - mean) / std
        if self.channels == 'bgr':
            values = values[..., ::-1]
        return np.ascontiguousarray(values.transpose(2, 0, 1), np.float32), placement


def letterbox(
    image: np.ndarray, size: tuple[int, int], border: int = BORDER, corner: bool = False
) -> tuple[np.ndarray, Placement]:
    """Fit an image, uint8 (H, W, 3), into ``size`` (h, w) with its proportions; borders fill the rest.

    Args:
        image: the picture.
        size: (height, width) of the input.
        border: value of the borders, 0 to 255.
        corner: put the picture at the top left, with whole pixels as YOLOX counts them; else in the middle.
    """
    height, width = image.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    whole = int if corner else round
    content = (max(1, whole(height * scale)), max(1, whole(width * scale)))
    if content != (height, width):
        image = cv2.resize(image, content[::-1], interpolation=cv2.INTER_LINEAR)
    # Halves go to the bottom and the right, as with Ultralytics.
    middle = (round((whole - part) / 2 - 0.1) for whole, part in zip(size, content, strict=True))
    top, left = (0, 0) if corner else middle
    canvas = np.full((*size, 3), border, np.uint8)
    canvas[top : top + content[0], left : left + content[1]] = image
    # Each side is rounded to whole pixels by itself, so that the two scales differ a little (Ultralytics from 8.4 on).
    scales = (content[0] / height, content[1] / width)
    return canvas, Placement((height, width), (size[0], size[1]), content, (top, left), scales)


def crop(image: np.ndarray, size: tuple[int, int], share: float) -> tuple[np.ndarray, Placement]:
    """Take the middle of an image, uint8 (H, W, 3).

    The picture is resized (Pillow's antialiased bilinear filter) until ``size`` (h, w) is a ``share`` of what it covers
    on its shorter side.
    """
    height, width = image.shape[:2]
    scale = max(size[0] / height, size[1] / width) / share
    resized = (max(size[0], round(height * scale)), max(size[1], round(width * scale)))
    image = np.asarray(Image.fromarray(image).resize(resized[::-1], Image.Resampling.BILINEAR))
    top, left = (resized[0] - size[0]) // 2, (resized[1] - size[1]) // 2
    cut = image[top : top + size[0], left : left + size[1]]
    scales = (resized[0] / height, resized[1] / width)
    return cut, Placement((height, width), (size[0], size[1]), (size[0], size[1]), (-top, -left), scales)


def map_of_pixels(output: np.ndarray, canvas: tuple[int, int], channels_last: bool) -> np.ndarray | None:
    """Return an output as (K, h, w), its channels first, or None if it has other axes.

    Args:
        output: (K, h, w), (h, w, K) or (h, w), with or without a batch axis of 1.
        canvas: (height, width) of the input.
        channels_last: which axis holds the channels where both can.
    """
    values = output[0] if output.ndim > 2 and len(output) == 1 else output
    values = values[None] if values.ndim == 2 else values
    if values.ndim != 3 or 0 in values.shape:
        return None

    def error(axis: int) -> float:
        height, width = (side for number, side in enumerate(values.shape) if number != axis)
        return abs(height * canvas[1] / (width * canvas[0]) - 1)

    return np.moveaxis(values, min((2, 0) if channels_last else (0, 2), key=error), 0)
