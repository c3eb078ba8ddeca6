"""Lossless pixel coding for packing: fast to decode, and less than half the size."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa

#: ``zstd``: planes R-G, G, B-G, each row as differences from its left neighbour (all modulo 256), then Zstandard
#: level 1; about 40 % of the raw size and 0.4 ms a picture. ``none``: the planes R, G, B as they are.
ENCODINGS = ('zstd', 'none')


@cache
def _codec() -> pa.Codec:
    return pa.Codec('zstd', compression_level=1)


def encode_pixels(picture: np.ndarray, encoding: str) -> bytes:
    """Encode uint8 (H, W, 3) RGB."""
    planes = np.ascontiguousarray(picture.transpose(2, 0, 1))
    if encoding == 'none':
        return planes.tobytes()
    steps = planes.copy()
    steps[:, :, 1:] -= planes[:, :, :-1]
    steps[0] -= steps[1]
    steps[2] -= steps[1]
    return _codec().compress(steps, asbytes=True)


def decode_pixels(data: pa.Buffer | memoryview, height: int, width: int, encoding: str) -> np.ndarray:
    """Return uint8 (H, W, 3) RGB, a transposed view of planes, from what :func:`encode_pixels` gave."""
    if encoding == 'none':
        return np.frombuffer(data, dtype=np.uint8).reshape(3, height, width).transpose(1, 2, 0)
    plain = _codec().decompress(data, 3 * height * width)
    steps = np.frombuffer(plain, dtype=np.uint8).reshape(3, height, width)
    planes = np.empty_like(steps)
    np.add(steps[0], steps[1], out=planes[0])
    planes[1] = steps[1]
    np.add(steps[2], steps[1], out=planes[2])
    return np.cumsum(planes, axis=2, dtype=np.uint8, out=planes).transpose(1, 2, 0)
