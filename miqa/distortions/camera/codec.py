"""Codecs at low rates: JPEG over and over, H.264 and HEVC."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np

from miqa.running import require

STAGE = 'codec'

STRENGTHS = {
    'jpeg_generations': [{'quality': 75.0}, {'quality': 28.0}, {'quality': 12.0}, {'quality': 6.4}, {'quality': 3.9}],
    'h264': [
        {'crf': 21.0, 'side': 256.0},
        {'crf': 28.0, 'side': 256.0},
        {'crf': 35.5, 'side': 238.0},
        {'crf': 40.5, 'side': 217.0},
        {'crf': 44.1, 'side': 199.0},
    ],
    'hevc': [
        {'crf': 22.0, 'side': 256.0},
        {'crf': 30.0, 'side': 256.0},
        {'crf': 38.2, 'side': 229.0},
        {'crf': 42.5, 'side': 208.0},
        {'crf': 46.1, 'side': 179.0},
    ],
}

# Encoders are handed pictures of at least this many pixels in height and width.
_LEAST = 64

#: Name here -> encoder of FFmpeg, its options. Each runs on one thread, so that the bytes depend on nothing else.
_ENCODERS = {
    'h264': ('libx264', {'preset': 'veryfast', 'tune': 'zerolatency'}),
    'hevc': (
        'libx265',
        {'preset': 'ultrafast', 'tune': 'zerolatency', 'x265-params': 'log-level=none:pools=none:frame-threads=1'},
    ),
}


def jpeg_generations(image: np.ndarray, rng: np.random.Generator, quality: float) -> np.ndarray:
    """Compress uint8 RGB (H, W, 3) by JPEG one to three times with blocks that do not fall on each other.

    ``quality`` is the last one's, libjpeg's 1 to 100, rounded; earlier ones have up to 30 more.
    """
    out = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    qualities = [quality + rng.uniform(0, 30) for _ in range(rng.integers(0, 3))]
    for each in [*qualities, quality]:
        top, left = (int(shift) for shift in rng.integers(0, 8, 2))
        padded = cv2.copyMakeBorder(out, top, 0, left, 0, cv2.BORDER_REPLICATE)
        encoded, data = cv2.imencode('.jpg', padded, (cv2.IMWRITE_JPEG_QUALITY, int(np.clip(round(each), 1, 100))))
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if encoded else None
        if decoded is None:
            raise RuntimeError(f'OpenCV could not pass a picture of {image.shape[1]} x {image.shape[0]} through JPEG.')
        out = decoded[top:, left:]
    return cv2.cvtColor(out, cv2.COLOR_BGR2RGB)


def h264(image: np.ndarray, rng: np.random.Generator, crf: float, side: float) -> np.ndarray:
    """Pass a picture, uint8 RGB (H, W, 3), through H.264 video (ITU-T H.264) of a moving camera, by x264. Needs PyAV.

    ``crf`` is x264's constant rate factor, 0 to 51 (lowest rate); at most ``side`` pixels of the shorter side are
    encoded, as streams of low rates are small, too.
    """
    return _through_video(image, rng, 'h264', crf, side)


def hevc(image: np.ndarray, rng: np.random.Generator, crf: float, side: float) -> np.ndarray:
    """Pass a picture through an HEVC video (ITU-T H.265) by x265; otherwise as :func:`h264`."""
    return _through_video(image, rng, 'hevc', crf, side)


def _through_video(image: np.ndarray, rng: np.random.Generator, codec: str, crf: float, side: float) -> np.ndarray:
    """Encode the picture as the second of two frames, predicted from the first, which is a little beside it."""
    height, width = image.shape[:2]
    shrink = max(1.0, min(height, width) / side)
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    small = image if shrink == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    move = np.array([[1, 0, rng.uniform(-4, 4)], [0, 1, rng.uniform(-4, 4)]])
    before = cv2.warpAffine(small, move, size, borderMode=cv2.BORDER_REPLICATE)
    decoded = _last_decoded([before, small], codec, crf)
    if shrink == 1:
        return decoded
    return cv2.resize(decoded, (width, height), interpolation=cv2.INTER_LINEAR)


def _last_decoded(frames: list[np.ndarray], codec: str, crf: float) -> np.ndarray:
    av = require('av', f'The distortion {codec}')
    name, options = _ENCODERS[codec]
    if name not in av.codecs_available:
        raise RuntimeError(f'The installed PyAV has no {name}, which the distortion {codec} needs: pip install av')
    height, width = frames[0].shape[:2]
    down, right = (max(_LEAST - length, length % 2) for length in (height, width))
    encoder = av.CodecContext.create(name, 'w')
    encoder.width, encoder.height, encoder.pix_fmt = width + right, height + down, 'yuv420p'
    encoder.time_base, encoder.thread_count = Fraction(1, 25), 1
    encoder.options = {**options, 'crf': f'{crf:.2f}'}
    packets = []
    for number, frame in enumerate(frames):
        padded = cv2.copyMakeBorder(frame, 0, down, 0, right, cv2.BORDER_REPLICATE)
        picture = av.VideoFrame.from_ndarray(cv2.cvtColor(padded, cv2.COLOR_RGB2YUV_I420), format='yuv420p')
        picture.pts = number
        packets += encoder.encode(picture)
    packets += encoder.encode(None)
    decoder = av.CodecContext.create(codec, 'r')
    decoder.thread_count = 1
    decoded = [picture for packet in [*packets, None] for picture in decoder.decode(packet)]
    return cv2.cvtColor(decoded[-1].to_ndarray(), cv2.COLOR_YUV2RGB_I420)[:height, :width]
