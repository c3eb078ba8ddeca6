"""Whatever a picture comes as, turned into the pixels that a model sees."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from miqa.datasets.transforms import PackViews, ResizeShortSide, resized_size
from miqa.utils import UnreadableImage, read_image
from miqa.utils.images import grey_to_8_bits, picture_to_rgb

from .spec import ModelSpec

#: One picture in any of the accepted forms.
Picture = str | os.PathLike | bytes | Image.Image | np.ndarray | torch.Tensor

#: A resized picture may have so many pixels. At a short side of 288 that is a ratio of sides of 771.
MAX_RESIZED_PIXELS = 64_000_000


def to_rgb(picture: Picture, name: str | None = None) -> np.ndarray:
    """Turn a picture into uint8 RGB of shape (H, W, 3).

    - Path or bytes of a file: decoded by :func:`miqa.utils.read_image`.
    - Pillow picture: as the same file would be.
    - numpy array: **BGR as OpenCV gives it**, (H, W, 3); grey (H, W) or (H, W, 1); BGRA (H, W, 4), whose alpha is
      dropped.
    - PyTorch tensor: **RGB as torchvision gives it**, (3, H, W), or grey (1, H, W).

    Arrays and tensors are uint8; or uint16, of which the high byte counts, as in a 16-bit file; or floating point
    in [0, 1], rounded to the nearest of 256 values.

    Args:
        picture: the picture.
        name: what to call it in an error; the path where there is one.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableImage: the file is damaged or no picture.
        TypeError: the object is none of the above, or has numbers of another type.
        ValueError: the shape or the values are none of the above.
    """
    if isinstance(picture, (str, os.PathLike)):
        return read_image(picture, name)
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return read_image(bytes(picture), name)
    name = name or 'the picture'
    if isinstance(picture, Image.Image):
        return picture_to_rgb(picture, name)
    if isinstance(picture, torch.Tensor):
        if picture.ndim != 3 or picture.shape[0] not in (1, 3):
            raise ValueError(
                f'A tensor must be RGB of shape (3, H, W), or grey (1, H, W); {name} has shape {tuple(picture.shape)}.'
            )
        array = picture.detach().cpu()
        array = (array.float() if array.dtype == torch.bfloat16 else array).permute(1, 2, 0).numpy()
    elif isinstance(picture, np.ndarray):
        array = picture[:, :, None] if picture.ndim == 2 else picture
        if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
            raise ValueError(
                'An array must be BGR of shape (H, W, 3), grey (H, W) or BGRA (H, W, 4), as OpenCV gives them; '
                f'{name} has shape {picture.shape}.'
            )
        array = array[:, :, 2::-1] if array.shape[2] >= 3 else array
    elif picture is None:
        raise TypeError(f'{name} is None: cv2.imread returns None for a file that it cannot read. Check the path.')
    else:
        raise TypeError(
            f'{name} is a {type(picture).__name__}; give a path, bytes, Pillow picture, BGR array or RGB tensor.'
        )
    if 0 in array.shape:
        raise ValueError(f'{name} has no pixels: its shape is {tuple(picture.shape)}.')
    array = _to_bytes(array, name)
    return np.ascontiguousarray(np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array)


def _to_bytes(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return grey_to_8_bits(array) if array.shape[2] == 1 else (array >> 8).astype(np.uint8)
    if array.dtype.kind == 'f':
        # NaN fails this comparison too.
        if not (array.min() >= 0 and array.max() <= 1):
            raise ValueError(
                f'Floating-point pixels must lie in [0, 1]; those of {name} reach from {array.min():g} to '
                f'{array.max():g}. Divide by the largest possible value, or give uint8.'
            )
        return np.rint(array * 255).astype(np.uint8)
    raise TypeError(f'Pixels must be uint8, uint16 or floating point in [0, 1]; those of {name} are {array.dtype}.')


class Preparation:
    """The test pipeline of a model from the decoded picture on: one resize, one cut, whatever views it has.

    Args:
        spec: the model's.
    """

    def __init__(self, spec: ModelSpec):
        self.short_side = spec.short_side
        self.view, self.size = spec.view, spec.view_size
        self._resize = ResizeShortSide(spec.short_side)
        self._pack = PackViews(**{'image': None, 'region': None, self.view: self.size})

    def __call__(self, picture: Picture, name: str | None = None) -> torch.Tensor:
        """Return the pixels that the model sees: uint8 RGB of shape (3, size, size).

        Raises:
            UnreadableImage: the picture is too elongated; and what :func:`to_rgb` raises.
        """
        name = name or (str(picture) if isinstance(picture, (str, os.PathLike)) else 'the picture')
        return self.from_rgb(to_rgb(picture, name), name)

    def from_rgb(self, rgb: np.ndarray, name: str = 'the picture') -> torch.Tensor:
        """Do the same for decoded pixels, uint8 RGB (H, W, 3)."""
        height, width = rgb.shape[:2]
        resized = resized_size(width, height, self.short_side)
        if resized[0] * resized[1] > MAX_RESIZED_PIXELS:
            raise UnreadableImage(
                f'{name} has {width} x {height} pixels, which is too elongated: with a short side of {self.short_side} '
                f'it would have {resized[0]} x {resized[1]}. Cut it into parts that are less long.'
            )
        results = self._pack(self._resize({'picture': rgb, 'path': name}))
        return results['inputs'][self.view]

    def seen_box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return the part of a picture that the model sees: left, top, right, bottom in the picture's own pixels."""
        resized = resized_size(width, height, self.short_side)
        left, top = (round((side - self.size) / 2) for side in resized)
        across, down = width / resized[0], height / resized[1]
        return left * across, top * down, (left + self.size) * across, (top + self.size) * down


def is_list_of_pictures(pictures) -> bool:
    """Tell several pictures from one: a list or tuple, or an array or tensor with four dimensions."""
    if isinstance(pictures, (np.ndarray, torch.Tensor)):
        return pictures.ndim == 4
    return isinstance(pictures, Sequence) and not isinstance(pictures, (str, bytes, bytearray, memoryview))


def picture_name(picture: Picture, index: int) -> str:
    """Name a picture in a list of them, for errors."""
    return str(picture) if isinstance(picture, (str, Path, os.PathLike)) else f'picture {index}'
