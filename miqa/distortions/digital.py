"""Distortions of digital processing: JPEG compression and pixelation. Neither of them is random."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from .strengths import by_name

#: Twelve sets of parameters of each distortion, weakest first. Source: see :mod:`miqa.distortions.strengths`.
STRENGTHS = {
    # Size of the small picture relative to the whole, per side.
    'pixelate': by_name(('scale',), [0.95, 0.865, 0.78, 0.695, 0.61, 0.525, 0.44, 0.355, 0.27, 0.185, 0.1, 0.07]),
    # Quality of Pillow's JPEG encoder, the integer part. The last one is 0, which Pillow since 7.1 hands to
    # libjpeg as it is, and libjpeg takes for 1; the level-5 images of MIQD-2.5M carry that quantisation.
    'jpeg_compression': by_name(('quality',), [int(value) for value in np.linspace(100, 0.1, 12)]),
}


def jpeg_compression(image: np.ndarray, rng: np.random.Generator, quality: int) -> np.ndarray:
    """Encode by Pillow's JPEG encoder with its other settings left alone (4:2:0 colour), and decode.

    Source: ImageNet-C, ``jpeg_compression``. Pictures are uint8, RGB (H, W, 3) or grey (H, W), which is encoded in one
    channel; the integer part of ``quality``, 0 to 100, counts, and libjpeg takes 0 for 1.
    """
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, 'JPEG', quality=int(quality))
    # OpenCV brings the same decoder as Pillow (libjpeg-turbo, with the same defaults) and skips some copying.
    data = np.frombuffer(buffer.getbuffer(), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if image.ndim == 2 else cv2.IMREAD_COLOR)
    if decoded is None:
        raise RuntimeError('OpenCV cannot decode what Pillow has just written as JPEG.')
    return decoded if image.ndim == 2 else cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB, dst=decoded)


def pixelate(image: np.ndarray, rng: np.random.Generator, scale: float) -> np.ndarray:
    """Shrink to int(side * scale), at least 1 pixel, by Pillow's BOX filter; enlarge again by NEAREST.

    Source: ImageNet-C, ``pixelate``. Pictures are uint8, RGB (H, W, 3) or grey (H, W).
    """
    height, width = image.shape[:2]
    small = (max(1, int(width * scale)), max(1, int(height * scale)))
    picture = Image.fromarray(image).resize(small, Image.Resampling.BOX)
    rows = _nearest(small[1], height)
    columns = _nearest(small[0], width)
    pixels = np.asarray(picture)
    if image.ndim == 2:
        return pixels.take(columns, axis=1).take(rows, axis=0)
    # Four bytes move as one number; three do not.
    packed = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA).view(np.uint32)[:, :, 0].take(columns, axis=1)
    wide = packed.view(np.uint8).reshape(small[1], width, 4)
    return cv2.cvtColor(wide, cv2.COLOR_RGBA2RGB).take(rows, axis=0)


def _nearest(size: int, new: int) -> np.ndarray:
    """Which of ``size`` pixels Pillow's NEAREST puts at each of ``new`` places, found by resizing a ramp."""
    ramp = Image.fromarray(np.arange(size, dtype=np.int32)[None])
    return np.asarray(ramp.resize((new, 1), Image.Resampling.NEAREST))[0]
