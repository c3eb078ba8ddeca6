"""Orientation by EXIF or XMP: 1 to 8, and 1 if damaged."""

from __future__ import annotations

import re
import struct

from PIL import Image

_TAG = 0x0112
_METHODS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_XMP = re.compile(rb'tiff:Orientation(?:\s*=\s*["\']|>)\s*([1-8])\b')


def orientation_in_exif(data: bytes) -> int | None:
    """Return the orientation in a block of EXIF (its leading name may be missing), or None.

    Only this tag of the first directory is read, so damage elsewhere does not matter.
    """
    data = data.removeprefix(b'Exif\0\0')
    order = {b'II': '<', b'MM': '>'}.get(data[:2])
    if order is None or len(data) < 8:
        return None
    (start,) = struct.unpack_from(f'{order}I', data, 4)
    if start + 2 > len(data):
        return None
    (count,) = struct.unpack_from(f'{order}H', data, start)
    for at in range(start + 2, min(start + 2 + 12 * count, len(data) - 11), 12):
        tag, kind, values = struct.unpack_from(f'{order}HHI', data, at)
        if tag == _TAG:
            layout = {1: 'B', 3: 'H', 4: 'I'}.get(kind)
            if layout is None or values < 1:
                return None
            (value,) = struct.unpack_from(order + layout, data, at + 8)
            return value if 1 <= value <= 8 else None
    return None


def orientation_in_xmp(data: bytes) -> int | None:
    """Return the orientation in an XMP packet, or None."""
    match = _XMP.search(data)
    return int(match[1]) if match else None


def turned(picture: Image.Image, orientation: int) -> Image.Image:
    """Return the picture turned upright; the same one where there is nothing to turn."""
    method = _METHODS.get(orientation)
    return picture if method is None else picture.transpose(method)


def turned_box(
    width: float, height: float, stored_size: tuple[int, int], orientation: int
) -> tuple[float, float, float, float]:
    """Return where the upper left part, ``width`` x ``height`` pixels, of a stored picture is when it is upright.

    Takes the width and height of the whole stored picture and its orientation, 1 to 8; returns left, top, right, bottom
    in the upright picture.
    """
    across, down = stored_size
    if orientation in (2, 3, 7, 8):
        left, right = across - width, float(across)
    else:
        left, right = 0.0, width
    if orientation in (3, 4, 6, 7):
        top, bottom = down - height, float(down)
    else:
        top, bottom = 0.0, height
    return (top, left, bottom, right) if orientation >= 5 else (left, top, right, bottom)


def orientation_of(picture: Image.Image) -> int:
    """Return the orientation of a picture opened with Pillow elsewhere; 1 for damaged metadata."""
    try:
        value = picture.getexif().get(_TAG, 1)
    except Exception:
        # Pillow answers damaged metadata with almost any exception; the pixels are whole nevertheless.
        return 1
    return value if isinstance(value, int) and value in _METHODS else 1
