"""The one place where a picture becomes an array."""

from __future__ import annotations

import functools
import importlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
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
    pixels = _decode_plain_png(data)
    if pixels is not None:
        return pixels
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


#: Chunks of a PNG file that cannot change its pixels in any decoder. Left out are those that can: palettes,
#: transparency, animation, and everything that may carry an EXIF orientation (eXIf and the text chunks).
_PLAIN_CHUNKS = {b'IHDR', b'IDAT', b'IEND', b'gAMA', b'sRGB', b'cHRM', b'iCCP', b'pHYs', b'tIME', b'bKGD'}

#: As Pillow's own limit: twice 89 million pixels raise an error there.
_MOST_PIXELS = 2 * Image.MAX_IMAGE_PIXELS


#: OpenCV's flag for RGB instead of BGR; None before OpenCV 4.11.
_OPENCV_RGB = getattr(cv2, 'IMREAD_COLOR_RGB', None)


@functools.cache
def _kornia_decoder() -> Callable | None:
    """Return kornia-rs's PNG decoder, which takes half of OpenCV's time; None where it is not installed."""
    try:
        return importlib.import_module('kornia_rs.io').decode_image_png_u8
    except (ImportError, AttributeError):
        return None


def _decode_plain_png(data: bytes) -> np.ndarray | None:
    """Decode a plain, whole PNG file by the fastest decoder there is; None for all others, which are Pillow's.

    The decoders give the same pixels as Pillow; where they find something wrong, Pillow says what it is.
    """
    decoder = _kornia_decoder()
    if (decoder is None and _OPENCV_RGB is None) or not _is_plain_png(data):
        return None
    if decoder is None:
        return cv2.imdecode(np.frombuffer(data, dtype=np.uint8), _OPENCV_RGB)
    width, height = struct.unpack_from('>II', data, 16)
    try:
        return decoder(data, (height, width), 'rgb')
    except Exception:
        # It raises a plain Exception for damaged data; Pillow decides what is damaged.
        return None


def _is_plain_png(data: bytes) -> bool:
    """Whether this is a whole, undamaged 8-bit RGB PNG file without anything that could change its pixels.

    Other decoders read such a file to the same pixels as Pillow, faster. Of a damaged one they may return a part;
    therefore the lengths and checksums of all chunks are checked first (1 % of the time of decoding).
    """
    # Signature; IHDR of 13 bytes; width, height; 8 bits a channel, RGB (2), and no interlacing or other methods.
    if data[:16] != b'\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR' or data[24:29] != b'\x08\x02\x00\x00\x00':
        return False
    width, height = struct.unpack_from('>II', data, 16)
    if width * height > _MOST_PIXELS:
        return False
    view, at = memoryview(data), 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from('>I4s', data, at)
        end = at + 12 + length
        if kind not in _PLAIN_CHUNKS or end > len(data):
            return False
        if zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from('>I', data, end - 4)[0]:
            return False
        if kind == b'IEND':
            return True
        at = end
    return False


def _to_rgb(picture: Image.Image) -> np.ndarray:
    if picture.mode in ('I', 'I;16', 'I;16L', 'I;16B', 'I;16N'):
        # Pillow would clip 16-bit grey at 255; the high byte keeps the picture.
        return np.repeat(grey_to_8_bits(np.asarray(picture))[:, :, None], 3, axis=2)
    return np.asarray(picture.convert('RGB')).copy()
