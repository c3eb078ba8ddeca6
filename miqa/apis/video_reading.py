"""Videos as streams of frames: one pass from the first to the last, one frame in memory."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from miqa.utils import require

#: Assumed where a file does not say, in frames per second: FFmpeg's own assumption for streams without a rate.
ASSUMED_FPS = 25.0
# Containers without an index give an estimated number of frames. A shortfall within this share of it is rounding.
_COUNT_TOLERANCE = 0.01

#: File name endings that are looked for in folders.
VIDEO_SUFFIXES = (
    '.mp4', '.m4v', '.mov', '.mkv', '.webm', '.avi', '.mpg', '.mpeg', '.ts', '.mts', '.wmv', '.flv', '.3gp', '.ogv',
    '.gif',
)  # fmt: skip


class UnreadableVideo(ValueError):
    """A file that is not a video, or has no frame that can be decoded. The message names the file."""


class Frame(NamedTuple):
    """One frame: its number from 0, its time in seconds, and the picture, uint8 (H, W, 3), BGR."""

    index: int
    timestamp: float
    image: np.ndarray


@dataclass(frozen=True)
class VideoInfo:
    """What a file says about itself; ``total_frames`` 0 means that it does not say."""

    total_frames: int
    fps: float
    duration: float
    width: int
    height: int
    codec: str
    fps_assumed: bool

    def as_dict(self) -> dict:
        """Return the fields, for JSON."""
        return asdict(self)


def plausible_fps(fps: float | None) -> bool:
    """Whether a declared frame rate is one: finite, above 0, at most 1000 frames per second."""
    return fps is not None and math.isfinite(fps) and 0 < fps <= 1000


class VideoReader(ABC):
    """A video that is read once, from the front. Use it in a ``with`` block.

    Attributes:
        info: a :class:`VideoInfo`.
        size: (width, height) of the first frame that was chosen, upright; ``None`` before it.
        frames_read: frames decoded so far, chosen or not.
        stopped_by: what the decoder said where it gave up before the end, else ``None``.
    """

    info: VideoInfo

    def __init__(self, path: Path):
        self.path = path
        self.frames_read = 0
        self.size: tuple[int, int] | None = None
        self.stopped_by: str | None = None

    def frames(self, choose: Callable[[int, float], bool] | None = None) -> Iterator[Frame]:
        """Yield the frames for which ``choose(index, time)`` is true (all of them without it), in order."""
        for frame in self._decode(choose or (lambda index, time: True)):
            if self.size is None:
                self.size = frame.image.shape[1], frame.image.shape[0]
            yield frame

    @abstractmethod
    def _decode(self, choose: Callable[[int, float], bool]) -> Iterator[Frame]:
        """Yield the chosen frames; count in ``frames_read`` all that pass by."""

    @abstractmethod
    def close(self) -> None:
        """Give the file and the decoder back."""

    def __enter__(self):
        """Return the reader itself."""
        return self

    def __exit__(self, *error):
        """Give the file and the decoder back."""
        self.close()

    @property
    def ended_early(self) -> bool:
        """Whether, after reading to the end, clearly fewer frames came than the file announces."""
        missing = self.info.total_frames - self.frames_read
        return self.stopped_by is not None or missing > max(1, _COUNT_TOLERANCE * self.info.total_frames)

    def _times(self) -> Callable[[float | None], float]:
        """Return a function that turns a decoder's time stamp into one that is finite and never runs backwards."""
        last = -1.0

        def time_of(stamp: float | None) -> float:
            nonlocal last
            nominal = self.frames_read / self.info.fps
            usable = stamp is not None and math.isfinite(stamp) and stamp > last
            last = stamp if usable else max(nominal, last)
            return last

        return time_of


class OpenCVReader(VideoReader):
    """Read with OpenCV, which brings its own FFmpeg libraries."""

    def __init__(self, path: Path, assume_fps: float | None = None):
        super().__init__(path)
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            self._capture = cv2.VideoCapture(str(path))  # builds of OpenCV without FFmpeg
        if not self._capture.isOpened():
            self._capture.release()
            raise UnreadableVideo(
                f'{path} is not a video that OpenCV can open ({path.stat().st_size} bytes): not a video file, damaged '
                'at its beginning, or in a format that this build of FFmpeg does not know.'
            )
        get = self._capture.get
        count, fps = get(cv2.CAP_PROP_FRAME_COUNT), get(cv2.CAP_PROP_FPS)
        # OpenCV answers a negative or enormous number where the container does not say.
        total = int(count) if math.isfinite(count) and 0 < count < 2**40 else 0
        self.info = _info(
            total, fps, assume_fps, get(cv2.CAP_PROP_FRAME_WIDTH), get(cv2.CAP_PROP_FRAME_HEIGHT),
            _fourcc(get(cv2.CAP_PROP_FOURCC)),
        )  # fmt: skip

    def _decode(self, choose):
        # Frames that are passed over are decoded, because others build on them, but not converted.
        time_of = self._times()
        while self._capture.grab():
            index = self.frames_read
            time = time_of(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 if index else 0.0)
            self.frames_read += 1
            if choose(index, time):
                decoded, image = self._capture.retrieve()
                if not decoded:
                    self.stopped_by = f'frame {index} could not be converted'
                    return
                yield Frame(index, time, image)

    def close(self):
        """Release the capture."""
        self._capture.release()


class PyAVReader(VideoReader):
    """Read with PyAV (``pip install 'miqa[video]'``): exact time stamps, and key frames without the rest."""

    def __init__(self, path: Path, assume_fps: float | None = None, keyframes_only: bool = False):
        super().__init__(path)
        av = self._av = require('av', 'Reading key frames')
        try:
            self._container = av.open(str(path))
        except (av.error.FFmpegError, OSError) as error:
            raise UnreadableVideo(f'{path} is not a video that PyAV can open: {error.strerror or error}') from error
        if not self._container.streams.video:
            self._container.close()
            raise UnreadableVideo(f'{path} has no video stream (it may hold sound only).')
        stream = self._stream = self._container.streams.video[0]
        stream.thread_type = 'AUTO'
        if keyframes_only:
            stream.codec_context.skip_frame = 'NONKEY'
        self._keyframes_only = keyframes_only
        rate = stream.average_rate
        context = stream.codec_context
        self.info = _info(
            stream.frames, float(rate) if rate else None, assume_fps, context.width, context.height, context.name,
            duration=float(stream.duration * stream.time_base) if stream.duration else None,
        )  # fmt: skip

    @property
    def ended_early(self):
        """As for any video; but how many key frames there are is announced nowhere."""
        return self.stopped_by is not None if self._keyframes_only else super().ended_early

    def _decode(self, choose):
        time_of = self._times()
        start = None
        try:
            for frame in self._container.decode(self._stream):
                start = frame.time if start is None else start
                time = time_of(None if frame.time is None or start is None else frame.time - start)
                # Between key frames lie frames that were not decoded: the time tells the number.
                index = round(time * self.info.fps) if self._keyframes_only else self.frames_read
                self.frames_read += 1
                if choose(index, time):
                    image = frame.to_ndarray(format='bgr24')
                    # FFmpeg's display matrix gives counter-clockwise degrees, as numpy turns.
                    turns = round(getattr(frame, 'rotation', 0) / 90) % 4
                    yield Frame(index, time, np.ascontiguousarray(np.rot90(image, turns)) if turns else image)
        except self._av.error.FFmpegError as error:
            self.stopped_by = error.strerror or str(error)

    def close(self):
        """Close the container."""
        self._container.close()


def open_video(
    path: str | os.PathLike, *, backend: str = 'opencv', keyframes_only: bool = False, assume_fps: float | None = None
) -> VideoReader:
    """Open a video file for one pass.

    Args:
        path: a file (for cameras and network streams see :class:`miqa.apis.realtime.RealTimeIQA`).
        backend: ``'opencv'`` or ``'pyav'``.
        keyframes_only: decode only frames that are stored whole; takes PyAV whatever ``backend`` says.
        assume_fps: frames per second to believe instead of what the file says.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableVideo: the file is empty, a folder, a single picture, or not a video.
        ImportError: PyAV is asked for and not installed.
        ValueError: an unknown backend, or a frame rate that is none.
    """
    if backend not in ('opencv', 'pyav'):
        raise ValueError(f"There is no video backend {backend!r}; choose 'opencv' or 'pyav'.")
    if assume_fps is not None and not plausible_fps(assume_fps):
        raise ValueError(f'assume_fps must be above 0 and at most 1000 frames per second, not {assume_fps}.')
    # An absolute path cannot be taken for a protocol of FFmpeg's, such as "concat:".
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links and change the name
    if not path.exists():
        raise FileNotFoundError(f'There is no video file {path}.')
    if path.is_dir():
        raise UnreadableVideo(f'{path} is a folder, not a video file.')
    if path.stat().st_size == 0:
        raise UnreadableVideo(f'The video file {path} is empty (0 bytes). Fetch or write it again.')
    _refuse_still_picture(path)
    if keyframes_only or backend == 'pyav':
        return PyAVReader(path, assume_fps, keyframes_only)
    return OpenCVReader(path, assume_fps)


def count_frames(path: str | os.PathLike) -> int:
    """Count the frames that can be decoded, by decoding them all."""
    with open_video(path) as reader:
        for _ in reader.frames(lambda index, time: False):
            pass
        return reader.frames_read


def _refuse_still_picture(path: Path) -> None:
    """FFmpeg opens pictures and text files as videos of one frame; nobody means that."""
    if path.suffix.lower() in ('.txt', '.csv', '.json', '.md', '.py', '.log'):
        raise UnreadableVideo(f'{path} is a text file, not a video.')
    try:
        with Image.open(path) as picture:
            # Pillow knows the first bytes of MPEG streams, too.
            still = picture.format != 'MPEG' and getattr(picture, 'n_frames', 1) == 1
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return  # not a picture, as it should be
    if still:
        raise UnreadableVideo(f'{path} is a single picture, not a video; score it with MIQAModel(...).assess.')


def _info(total, fps, assume_fps, width, height, codec, duration=None) -> VideoInfo:
    assumed = assume_fps is not None or not plausible_fps(fps)
    fps = float(assume_fps or (fps if plausible_fps(fps) else ASSUMED_FPS))
    return VideoInfo(int(total), fps, duration or total / fps, int(width), int(height), codec, assumed)


def _fourcc(value: float) -> str:
    code = int(value) & 0xFFFFFFFF
    text = ''.join(chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24))
    return text.strip() if text.isprintable() and text.strip() else 'unknown'
