"""Open a video file for one pass."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from miqa.running import require
from miqa.taxonomy import check_choice

from .containers import VIDEO_SUFFIXES, Container, UnreadableVideo, container_of
from .pyav_reader import PyAVReader
from .reader import Frame, VideoInfo, VideoReader, plausible_fps

logger = logging.getLogger(__name__)

#: What may read a file.
BACKENDS = ('auto', 'opencv', 'pyav')

__all__ = [
    'BACKENDS',
    'VIDEO_SUFFIXES',
    'Container',
    'Frame',
    'UnreadableVideo',
    'VideoInfo',
    'VideoReader',
    'container_of',
    'count_frames',
    'open_video',
    'plausible_fps',
]


def open_video(
    path: str | os.PathLike, *, backend: str = 'auto', keyframes_only: bool = False, assume_fps: float | None = None
) -> VideoReader:
    """Open a video file for one pass.

    Only regular files are opened, only by the demuxer of the container that their first bytes show, and nothing that
    they may name besides.

    Args:
        path: a file (for cameras and network streams see :class:`miqa.apis.live.realtime.RealTimeIQA`).
        backend: ``'opencv'`` or ``'pyav'``; both give the same pixels of standard footage, up to rounding. ``'auto'``
            takes PyAV where it is installed and can open the file, because it knows more of damage.
        keyframes_only: decode only frames that are stored whole; takes PyAV whatever ``backend`` says.
        assume_fps: frames per second to believe instead of what the file says.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableVideo: the file is empty, a folder, a single picture, or not a video.
        ImportError: PyAV is asked for and not installed.
        ValueError: an unknown backend, or a frame rate that is none.
    """
    check_choice(backend, BACKENDS, 'video backend')
    if assume_fps is not None and not plausible_fps(assume_fps):
        raise ValueError(f'assume_fps must be above 0 and at most 1000 frames per second, not {assume_fps}.')
    # An absolute path cannot be taken for a protocol of FFmpeg's, such as "concat:".
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links and change the name
    container = container_of(path)
    if keyframes_only or backend == 'pyav':
        return PyAVReader(path, container, assume_fps, keyframes_only)
    if backend == 'auto':
        try:
            return PyAVReader(path, container, assume_fps)
        except (ImportError, UnreadableVideo) as error:
            logger.debug(f'PyAV does not read {path}: {error}')
    require('cv2', 'A video')
    from .opencv_reader import OpenCVReader

    return OpenCVReader(path, container, assume_fps)


def count_frames(path: str | os.PathLike) -> int:
    """Count the frames that can be decoded, by decoding them all."""
    with open_video(path) as reader:
        for _ in reader.frames(lambda index, time: False):
            pass
        return reader.frames_read
