"""Convert pictures in any form to the pixels that a model takes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
from PIL import Image

from miqa.pictures import UnreadableImage, read_image
from miqa.pictures.reading import picture_to_rgb, read_preview, read_resized
from miqa.pictures.resizing import central_corner, cut_planes, resize_rgb, resized_size
from miqa.pictures.value_range import ValueRange, check_range, to_bytes
from miqa.taxonomy import check_choice

from .spec import ModelSpec

if TYPE_CHECKING:
    import torch

#: One picture in any of the accepted forms.
Picture: TypeAlias = 'str | os.PathLike | bytes | Image.Image | np.ndarray | torch.Tensor'

#: Several of them; an array or tensor with one more dimension in front will do, too.
Pictures: TypeAlias = 'list[Any] | tuple[Any, ...]'

#: A resized picture may have so many pixels. At a short side of 288 that is a ratio of sides of 771.
MAX_RESIZED_PIXELS = 64_000_000
#: How files are decoded: ``exact`` is the authors' way to the bit; ``fast`` decodes JPEG at a fraction of its size.
DECODING = ('exact', 'fast')
#: What of a picture counts: the central square, as in the paper, or overlapping squares that cover all of it.
COVERAGES = ('center', 'whole')
MAX_VIEWS = 256  # Squares of one picture; more than this is too elongated
#: Largest distance between neighbouring squares, as a share of their side: an eighth at least is seen twice.
VIEW_STEP = 7 / 8


_FILES = (str, os.PathLike, bytes, bytearray, memoryview)


def to_rgb(picture: Picture, name: str | None = None, value_range: ValueRange = None) -> np.ndarray:
    """Turn a picture into uint8 RGB of shape (H, W, 3).

    - Path or bytes of a file: decoded by :func:`miqa.pictures.read_image`.
    - Pillow picture: as the same file would be.
    - numpy array: **BGR as OpenCV gives it**, (H, W, 3); grey (H, W) or (H, W, 1); BGRA (H, W, 4), whose alpha is
      dropped.
    - PyTorch tensor: **RGB as torchvision gives it**, (3, H, W), or grey (1, H, W).

    Arrays and tensors are uint8; or uint16, of which the high byte counts; or floating point in [0, 1], rounded to
    the nearest of 256 values; as in files of these types, see :mod:`miqa.pictures.value_range`.

    Args:
        picture: the picture.
        name: what to call it in an error; the path where there is one.
        value_range: the value of white, such as 4095, or those of black and white, where numbers of more than 8 bits
            mean something else. Integers of other types need it.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableImage: the file is damaged or no picture.
        TypeError: the object is none of the above, or has numbers of another type.
        ValueError: the shape or the values are none of the above.
    """
    if isinstance(picture, (str, os.PathLike)):
        return read_image(picture, name, value_range=value_range)
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return read_image(bytes(picture), name, value_range=value_range)
    name = name or 'the picture'
    if isinstance(picture, Image.Image):
        return picture_to_rgb(picture, name, value_range)
    if _is_tensor(picture):
        if picture.ndim != 3 or picture.shape[0] not in (1, 3):
            raise ValueError(
                f'A tensor must be RGB of shape (3, H, W), or grey (1, H, W); {name} has shape {tuple(picture.shape)}.'
            )
        tensor = picture.detach().cpu()
        # numpy has no bfloat16.
        array = (tensor.float() if str(tensor.dtype) == 'torch.bfloat16' else tensor).permute(1, 2, 0).numpy()
    elif isinstance(picture, np.ndarray):
        array = np.asarray(picture)  # a matrix has two dimensions whatever is done to it
        array = array[:, :, None] if array.ndim == 2 else array
        if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
            raise ValueError(
                f'An array must be BGR (H, W, 3), grey (H, W) or BGRA (H, W, 4); {name} has shape {picture.shape}.'
            )
        array = array[:, :, 2::-1] if array.shape[2] >= 3 else array
    elif picture is None:
        raise TypeError(f'{name} is None: cv2.imread returns None for a file that it cannot read. Check the path.')
    else:
        kind = type(picture).__name__
        hint = ' Pass its bytes: file.read().' if hasattr(picture, 'read') else ''
        raise TypeError(
            f'{name} is of type {kind}, not a path, bytes, Pillow picture, BGR array, RGB tensor or list of these.'
            f'{hint}'
        )
    if 0 in array.shape:
        raise ValueError(f'{name} has no pixels: its shape is {tuple(picture.shape)}.')
    array = _to_bytes(array, name, check_range(value_range))
    return np.ascontiguousarray(np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array)


def _to_bytes(array: np.ndarray, name: str, value_range: tuple[float, float] | None) -> np.ndarray:
    is_supported = array.dtype.newbyteorder('=') in (np.uint8, np.uint16) or array.dtype.kind == 'f'
    if not is_supported and not (value_range and array.dtype.kind in 'ui'):
        raise TypeError(
            f'Pixels must be uint8, uint16 or float in [0, 1]; {name} has {array.dtype}: state its white value, such '
            'as value_range=65535.'
        )
    return to_bytes(array, name, value_range)


class Preparation:
    """The test pipeline of a model from the decoded picture on: one resize, one cut, whatever views it has.

    Args:
        spec: the model's.
        decode: None for ``fast`` where the model takes the whole picture in one view, else ``exact``. ``exact`` for the
            authors' pixels, bit for bit (of pictures up to
            :data:`miqa.pictures.reading.EXACT_PIXELS`), or ``fast``, which decodes JPEG files at a fraction of their
            size wherever twice the pixels that are needed remain along each side.
        value_range: as for :func:`to_rgb`.
        coverage: one of :data:`COVERAGES`.
    """

    def __init__(
        self, spec: ModelSpec, decode: str | None = None, value_range: ValueRange = None, coverage: str = 'center'
    ):
        self._usual_decode = 'fast' if spec.fit == 'stretch' else 'exact'
        decode = decode or self._usual_decode
        check_choice(decode, DECODING, 'way of decoding')
        check_choice(coverage, COVERAGES, 'coverage')
        check_range(value_range)
        self.short_side, self.interpolation, self.fit = spec.short_side, spec.interpolation, spec.fit
        self.view, self.size = spec.view, spec.view_size
        self.decode, self.value_range = decode, value_range
        # One view that holds the whole picture is both.
        self.coverage = 'center' if self.fit == 'stretch' else coverage

    @property
    def note(self) -> str:
        """The options that change scores, for names of results: scores of different options are not mixed."""
        text = '' if self.decode == self._usual_decode else f' decode={self.decode}'
        text += '' if self.coverage == 'center' else f' coverage={self.coverage}'
        return text if self.value_range is None else f'{text} value_range={self.value_range}'

    def __call__(self, picture: Picture, name: str | None = None) -> np.ndarray:
        """Return the pixels of the central square: uint8 RGB of shape (3, size, size).

        Raises:
            UnreadableImage: the picture is too elongated; and what :func:`to_rgb` raises.
        """
        return self._cut(self._resized(picture, name))

    def views(self, picture: Picture, name: str | None = None) -> np.ndarray:
        """Return the squares that count by :attr:`coverage`, uint8 RGB of shape (rows, columns, 3, size, size).

        One square for ``center``, and for models that see the whole picture in one. Else for ``whole`` as few as
        cover the resized picture, evenly spread, each overlapping its neighbours by an eighth of its side or more.

        Raises:
            UnreadableImage: as for calling; or it would take more than :data:`MAX_VIEWS` squares.
        """
        resized = self._resized(picture, name)
        if self.coverage == 'center':
            return self._cut(resized)[None, None]
        tops, lefts = (self._corners(length) for length in resized.shape[:2])
        count = len(tops) * len(lefts)
        if count > MAX_VIEWS:
            raise UnreadableImage(
                f'{name or "The picture"} is too elongated: {count} squares are needed, at most {MAX_VIEWS} are taken. '
                "Cut it into shorter parts, or use coverage='center'."
            )
        return np.stack([np.stack([cut_planes(resized, top, left, self.size) for left in lefts]) for top in tops])

    def _corners(self, length: int) -> list[int]:
        steps = int(np.ceil((length - self.size) / (VIEW_STEP * self.size)))
        return np.linspace(0, length - self.size, steps + 1).round().astype(int).tolist()

    def _resized(self, picture: Picture, name: str | None) -> np.ndarray:
        name = name or (str(picture) if isinstance(picture, (str, os.PathLike)) else 'the picture')
        if not isinstance(picture, _FILES):
            rgb = to_rgb(picture, name, self.value_range)
            return self._resize(rgb, name)
        return read_resized(
            _file(picture),
            self._size_for(name),
            name,
            value_range=self.value_range,
            fast=self.decode == 'fast',
            interpolation=self.interpolation,
        )[0]

    def from_rgb(self, rgb: np.ndarray, name: str = 'the picture') -> np.ndarray:
        """Return the central square of decoded pixels, uint8 RGB (H, W, 3)."""
        return self._cut(self._resize(rgb, name))

    def _resize(self, rgb: np.ndarray, name: str) -> np.ndarray:
        return resize_rgb(rgb, self._size_for(name)(*rgb.shape[1::-1]), interpolation=self.interpolation)

    def _cut(self, resized: np.ndarray) -> np.ndarray:
        height, width = resized.shape[:2]
        return cut_planes(resized, *central_corner(height, width, self.size), self.size)

    def _size_for(self, name: str) -> Callable[[int, int], tuple[int, int]]:
        def size_of(width: int, height: int) -> tuple[int, int]:
            if self.fit == 'stretch':
                return self.size, self.size
            resized = resized_size(width, height, self.short_side)
            if resized[0] * resized[1] > MAX_RESIZED_PIXELS:
                raise UnreadableImage(
                    f'{name} is too elongated: {width} x {height} pixels would become {resized[0]} x {resized[1]}. Cut '
                    'it into shorter parts.'
                )
            return resized

        return size_of

    def seen_box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return the part of a picture that the model takes: left, top, right, bottom in the picture's own pixels."""
        if self.fit == 'stretch':
            return 0.0, 0.0, float(width), float(height)
        resized = resized_size(width, height, self.short_side)
        left, top = central_corner(*resized, self.size)
        across, down = width / resized[0], height / resized[1]
        return left * across, top * down, (left + self.size) * across, (top + self.size) * down


def preview(picture: Picture, most_pixels: int, name: str | None = None, value_range: ValueRange = None) -> np.ndarray:
    """Return a picture for display, uint8 RGB (H, W, 3): whole, or made smaller to ``most_pixels``.

    Raises:
        What :func:`to_rgb` raises.
    """
    if isinstance(picture, _FILES):
        return read_preview(_file(picture), most_pixels, name, value_range=value_range)
    rgb = to_rgb(picture, name, value_range)
    height, width = rgb.shape[:2]
    scale = min(1.0, (most_pixels / (width * height)) ** 0.5)
    return rgb if scale == 1 else resize_rgb(rgb, (max(1, int(width * scale)), max(1, int(height * scale))))


def _file(picture: str | os.PathLike | bytes | bytearray | memoryview) -> str | os.PathLike | bytes:
    return picture if isinstance(picture, (str, os.PathLike)) else bytes(picture)


def _is_tensor(picture) -> TypeGuard[torch.Tensor]:
    """Return True for a PyTorch tensor, without importing PyTorch."""
    torch = sys.modules.get('torch')
    return torch is not None and isinstance(picture, torch.Tensor)


def is_list_of_pictures(pictures) -> bool:
    """Return True for several pictures: a list or tuple, or an array or tensor of four dimensions."""
    if isinstance(pictures, np.ndarray) or _is_tensor(pictures):
        return pictures.ndim == 4
    return isinstance(pictures, Sequence) and not isinstance(pictures, (str, bytes, bytearray, memoryview))


def picture_name(picture: Picture, index: int) -> str:
    """Name a picture in a list of them, for errors."""
    return str(picture) if isinstance(picture, (str, Path, os.PathLike)) else f'picture {index}'
