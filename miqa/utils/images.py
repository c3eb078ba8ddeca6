"""The one place where a picture becomes an array."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


class UnreadableImage(ValueError):
    """A file that is not a whole picture. The message names the file and says what is wrong."""


def read_image(source: str | os.PathLike | bytes, name: str | None = None) -> np.ndarray:
    """Decode a picture into a uint8 array of shape (H, W, 3), RGB, values 0 to 255.

    EXIF orientation is applied; grey and palette pictures become RGB; an alpha channel is dropped (the
    colours stay, as in Pillow's ``convert('RGB')``, which is what vision models are fed); 16-bit channels
    keep their high byte; of an animation the first frame is taken.

    Args:
        source: a path, or the bytes of the file.
        name: what to call the picture in an error; the path where there is one.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableImage: the file is empty, truncated, damaged, or not a picture.
    """
    if isinstance(source, bytes):
        name, data = name or 'the picture', source
    else:
        path = Path(source)
        name = name or str(path)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise FileNotFoundError(f'There is no image file {name}.') from None
        except IsADirectoryError:
            raise UnreadableImage(f'{name} is a folder, not an image file.') from None
    if not data:
        raise UnreadableImage(f'The image file {name} is empty (0 bytes). Fetch or write it again.')
    try:
        with warnings.catch_warnings():
            # A 100-megapixel photograph is large, not an attack; Pillow still refuses twice its limit.
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as picture:
                picture.load()
                return _to_rgb(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError:
        raise UnreadableImage(f'{name} is not an image in a format that Pillow knows ({len(data)} bytes).') from None
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f'The image file {name} is too large to decode: {error}') from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        # Pillow's decoders report damaged data with any of these.
        raise UnreadableImage(f'The image file {name} is damaged or truncated: {error}') from error


def picture_to_rgb(picture: Image.Image, name: str = 'the picture') -> np.ndarray:
    """Turn an opened Pillow picture into the array that :func:`read_image` gives for the same file.

    Raises:
        UnreadableImage: Pillow reads pixels only when they are asked for, and cannot.
    """
    try:
        return _to_rgb(ImageOps.exif_transpose(picture))
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        raise UnreadableImage(f'The image {name} is damaged or truncated: {error}') from error


def grey_to_8_bits(grey: np.ndarray) -> np.ndarray:
    """Keep the high byte of integer grey values (H, W) in 0 to 65535; values that all fit into a byte stay."""
    grey = grey.astype(np.int64)
    return np.clip(grey >> 8 if grey.max(initial=0) > 255 else grey, 0, 255).astype(np.uint8)


def _to_rgb(picture: Image.Image) -> np.ndarray:
    if picture.mode in ('I', 'I;16', 'I;16L', 'I;16B', 'I;16N'):
        # Pillow would clip 16-bit grey at 255; the high byte keeps the picture.
        return np.repeat(grey_to_8_bits(np.asarray(picture))[:, :, None], 3, axis=2)
    return np.asarray(picture.convert('RGB')).copy()
