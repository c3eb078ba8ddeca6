"""Fast decoding of plain PNG files, the bulk of a database."""

from __future__ import annotations

import functools
import importlib
import struct
import zlib
from collections.abc import Callable

import numpy as np

#: Chunks of a PNG file that cannot change its pixels in any decoder. Left out are those that can: palettes,
#: transparency, animation, and everything that may carry an EXIF orientation (eXIf and the text chunks).
_PLAIN_CHUNKS = {b'IHDR', b'IDAT', b'IEND', b'gAMA', b'sRGB', b'cHRM', b'iCCP', b'pHYs', b'tIME', b'bKGD'}
try:
    import cv2

    #: OpenCV's flag for RGB instead of BGR; None before OpenCV 4.11 and without OpenCV.
    OPENCV_RGB = getattr(cv2, 'IMREAD_COLOR_RGB', None)
except ImportError:
    OPENCV_RGB = None


@functools.cache
def kornia_decoder() -> Callable | None:
    """Return kornia-rs's PNG decoder, which takes half of OpenCV's time; None where it is not installed."""
    try:
        return importlib.import_module('kornia_rs.io').decode_image_png_u8
    except (ImportError, AttributeError):
        return None


def decode_plain_png(data: bytes) -> np.ndarray | None:
    """Decode a plain, whole PNG file by the fastest decoder there is; None for all others, which are Pillow's.

    The decoders give the same pixels as Pillow; where they find something wrong, Pillow says what it is.
    """
    decoder = kornia_decoder()
    if decoder is None:
        if OPENCV_RGB is None or not _is_plain_png(data):
            return None
        return cv2.imdecode(np.frombuffer(data, dtype=np.uint8), OPENCV_RGB)
    if not _is_plain_png(data):
        return None
    width, height = struct.unpack_from('>II', data, 16)
    try:
        return decoder(data, (height, width), 'rgb')
    except Exception:
        # It raises a plain Exception for damaged data; Pillow decides what is damaged.
        return None


def _is_plain_png(data: bytes) -> bool:
    """Return True if this is a whole, undamaged 8-bit RGB PNG file without anything that could change its pixels.

    Other decoders read such a file to the same pixels as Pillow, faster. Of a damaged one they may return a part;
    therefore the lengths and checksums of all chunks are checked first (1 % of the time of decoding).
    """
    # Signature; IHDR of 13 bytes; width, height; 8 bits a channel, RGB (2), and no interlacing or other methods.
    if data[:16] != b'\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR' or data[24:29] != b'\x08\x02\x00\x00\x00':
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
