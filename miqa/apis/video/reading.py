"""Open a video file for one pass."""

from __future__ import annotations

import os
from pathlib import Path

from .containers import VIDEO_SUFFIXES, Container, UnreadableVideo, container_of
from .pyav_reader import PyAVReader
from .reader import Frame, VideoInfo, VideoReader, plausible_fps

__all__ = [
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
    path: str | os.PathLike, *, keyframes_only: bool = False, assume_fps: float | None = None
) -> VideoReader:
    """Open a video file for one pass.

    Only regular files are opened, only by the demuxer of the container that their first bytes show, and nothing that
    they may name besides.

    Args:
        path: a file (for cameras and network streams see :class:`miqa.apis.live.realtime.RealTimeIQA`).
        keyframes_only: decode only frames that are stored whole.
        assume_fps: frames per second to believe instead of what the file says.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableVideo: the file is empty, a folder, a single picture, or not a video.
        ImportError: PyAV is not installed.
        ValueError: ``assume_fps`` is not a plausible frame rate.
    """
    if assume_fps is not None and not plausible_fps(assume_fps):
        raise ValueError(f'assume_fps must be above 0 and at most 1000 frames per second, not {assume_fps}.')
    # An absolute path cannot be taken for a protocol of FFmpeg's, such as "concat:".
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links and change the name
    return PyAVReader(path, container_of(path), assume_fps, keyframes_only)


def count_frames(path: str | os.PathLike) -> int:
    """Count the frames that can be decoded, by decoding them all."""
    with open_video(path) as reader:
        for _ in reader.frames(lambda index, time: False):
            pass
        return reader.frames_read
