"""Videos made for tests: grey frames whose brightness is the score that a trivial scorer gives."""

import functools
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest


class Brightness:
    """A scorer: mean brightness of each picture, 0 to 1. Remembers the sizes of its batches."""

    def __init__(self):
        self.batches = []

    def assess(self, images):
        self.batches.append(len(images))
        assert all(image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 for image in images)
        return [float(image.mean()) / 255 for image in images]


class Named(Brightness):
    """A scorer whose results may be kept."""

    identity = 'brightness@1'


def grey(value: float, size=(64, 48)) -> np.ndarray:
    """A picture of one brightness, uint8 (h, w, 3); ``size`` is (width, height)."""
    return np.full((size[1], size[0], 3), round(255 * value), np.uint8)


def write_video(path: Path, values, size=(64, 48), fps=10, fourcc='MJPG') -> Path:
    """Write grey frames of these brightnesses with OpenCV."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*fourcc), fps, size)
    assert writer.isOpened()
    for value in values:
        writer.write(grey(value, size))
    writer.release()
    return path


def frame_times_ok(times, fps):
    """Return True if times are those of a constant frame rate, to a tenth of a frame."""
    return np.allclose(times, np.arange(len(times)) / fps, atol=0.1 / fps)


@functools.cache
def ffmpeg_program() -> str:
    """The ffmpeg program of the package imageio-ffmpeg; skips where it is not installed."""
    package = pytest.importorskip('imageio_ffmpeg', reason='no imageio-ffmpeg (pip install imageio-ffmpeg)')
    return package.get_ffmpeg_exe()


def ffmpeg(*arguments) -> None:
    """Run ffmpeg, quietly."""
    command = [ffmpeg_program(), '-y', '-loglevel', 'error', *map(os.fspath, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def frames_read_by_ffmpeg(path) -> int:
    """Return how many frames of a video the ffmpeg program decodes."""
    command = [ffmpeg_program(), '-loglevel', 'quiet', '-i', path, '-f', 'null', '-', '-progress', '-']
    output = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    return int([line for line in output.splitlines() if line.startswith('frame=')][-1][6:])


def video_with_sound(path: Path, seconds=3, size='64x48', fps='10') -> Path:
    """A test picture that changes, with a tone: H.264 and AAC, a key frame each second, index at the front."""
    ffmpeg(
        '-f', 'lavfi', '-i', f'testsrc=size={size}:rate={fps}:duration={seconds}',
        '-f', 'lavfi', '-i', f'sine=440:duration={seconds}',
        '-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-g', '10', '-c:a', 'aac', '-movflags', '+faststart', path,
    )  # fmt: skip
    return path


def encode(path, values, fps=10, codec='libx264', gop=10, size=(160, 120), **options):
    """Write frames of these brightnesses, with some structure, with PyAV; ``options`` are the codec's."""
    av = pytest.importorskip('av', reason='no PyAV (pip install av)')
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, 'yuv420p'
        stream.codec_context.gop_size = gop
        stream.options = {name: str(value) for name, value in options.items()}
        rng = np.random.default_rng(0)
        for value in values:
            image = np.clip(255 * value + rng.normal(0, 20, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(stream.encode())
    return path


def opencv_frames(path):
    """Return what OpenCV itself makes of a video's frames: BGR."""
    capture, frames = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
    while True:
        decoded, image = capture.read()
        if not decoded:
            break
        frames.append(image)
    capture.release()
    return frames
