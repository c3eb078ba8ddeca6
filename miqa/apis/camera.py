"""Cameras, streams, files and iterators as a slot that always holds the latest frame."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from .video_reading import open_video

#: How network streams begin.
STREAM_PREFIXES = ('rtsp://', 'rtsps://', 'rtmp://', 'http://', 'https://', 'udp://', 'tcp://', 'srt://')
# A live source may miss a frame now and then; so many in a row mean that it is gone.
_MISSES = 5


class CameraLost(ConnectionError):
    """A live source cannot be opened or stopped giving frames.

    Attributes:
        summary: what :meth:`miqa.apis.realtime.RealTimeIQA.run` had counted until then, or ``None``.
    """

    summary: dict | None = None


class CapturedFrame(NamedTuple):
    """A frame: its number in the source, from 0; when it was captured (``time.perf_counter``); uint8 (H, W, 3), BGR."""

    index: int
    captured_at: float
    image: np.ndarray


class FrameSource:
    """A source of frames: ``frames`` yields them, ``close`` gives the device back.

    Args:
        name: for messages, such as ``camera 0``.
        frames: an iterator of uint8 BGR pictures.
        close: called once.
        interval: seconds between frames of a file that is played at its own speed; ``None`` for all others.
    """

    def __init__(
        self,
        name: str,
        frames: Iterator[np.ndarray],
        close: Callable[[], None] = lambda: None,
        interval: float | None = None,
    ):
        self.name, self.frames, self.close, self.interval = name, frames, close, interval


def open_source(source: int | str | os.PathLike | Iterable[np.ndarray]) -> FrameSource:
    """Open a camera (its number, also as text), a network stream (``rtsp://...``), a video file, or any iterable.

    Raises:
        CameraLost: the camera or stream cannot be opened.
        FileNotFoundError, UnreadableVideo: see :func:`miqa.apis.video_reading.open_video`.
        TypeError: none of these.
    """
    if isinstance(source, bool) or (not isinstance(source, (int, str, os.PathLike, Iterable))):
        raise TypeError(
            f'A source is a camera number, a URL, a file or an iterable of frames, not {type(source).__name__}.'
        )
    if isinstance(source, str) and source.isdecimal():
        source = int(source)
    if isinstance(source, int):
        return _live(source, f'camera {source}')
    if isinstance(source, str) and source.lower().startswith(STREAM_PREFIXES):
        return _live(source, f'the stream {_without_password(source)}')
    if isinstance(source, (str, os.PathLike)):
        reader = open_video(source)
        frames = (frame.image for frame in reader.frames())
        return FrameSource(Path(source).name, frames, reader.close, 1 / reader.info.fps)
    return FrameSource('the iterator', iter(source), getattr(source, 'close', lambda: None))


def _live(device: int | str, name: str) -> FrameSource:
    capture = cv2.VideoCapture(device)
    if not capture.isOpened():
        capture.release()
        hint = (
            'Check that it is plugged in and not used by another program, and that you may use it (on Linux: '
            'ls /dev/video*, group "video").'
            if isinstance(device, int)
            else 'Check the address, the password and the network.'
        )
        raise CameraLost(f'{name[0].upper()}{name[1:]} cannot be opened. {hint}')
    # Where the driver honours it, its own queue holds no old frames either.
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return FrameSource(name, live_frames(capture, name), capture.release)


def live_frames(capture, name: str) -> Iterator[np.ndarray]:
    """Yield the frames of an open ``cv2.VideoCapture`` for as long as it gives any.

    Raises:
        CameraLost: it stopped.
    """
    count = misses = 0
    while True:
        read, image = capture.read()
        if read:
            count, misses = count + 1, 0
            yield image
            continue
        misses += 1
        if misses == _MISSES:
            raise CameraLost(f'{name[0].upper()}{name[1:]} stopped giving frames after {count} of them.')
        time.sleep(0.02)


class LatestFrame:
    """Reads a source in a thread and keeps only its newest frame, so that who takes frames never lags behind.

    Args:
        source: where frames come from; it is closed at the end, by the thread that reads it.
        every_frame: wait until a frame is taken before the next is read: nothing is dropped, at the price of lagging.

    Attributes:
        captured: frames read so far.
        dropped: frames that were replaced before anybody took them.
    """

    def __init__(self, source: FrameSource, every_frame: bool = False):
        self.captured = self.dropped = 0
        self._source, self._every_frame = source, every_frame
        self._slot: CapturedFrame | None = None
        self._error: BaseException | None = None
        self._ended = self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name=f'reader of {source.name}', daemon=True)
        self._thread.start()

    def take(self, timeout: float | None = None) -> CapturedFrame | None:
        """Return the newest frame that was not taken yet, waiting for one; ``None`` when the source has ended.

        Raises:
            TimeoutError: no frame came within ``timeout`` seconds.
            Exception: what reading the source raised.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._slot is not None or self._ended, timeout):
                raise TimeoutError(f'{self._source.name} gave no frame for {timeout:g} seconds.')
            frame, self._slot = self._slot, None
            self._changed.notify_all()
            if frame is None and self._error is not None:
                raise self._error
            return frame

    def close(self, timeout: float = 5.0) -> bool:
        """Stop reading and give the device back; return whether the reader stopped within ``timeout`` seconds."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _read(self) -> None:
        start = time.perf_counter()
        try:
            for image in self._source.frames:
                if self._source.interval is not None and not self._every_frame:
                    self._wait_until(start + self.captured * self._source.interval)
                if not self._put(image):
                    break
        except BaseException as error:  # noqa: BLE001 - handed to the one who takes frames
            self._error = error
        finally:
            try:
                self._source.close()
            finally:
                with self._changed:
                    self._ended = True
                    self._changed.notify_all()

    def _put(self, image: np.ndarray) -> bool:
        with self._changed:
            if self._every_frame:
                self._changed.wait_for(lambda: self._slot is None or self._stopping)
            if self._stopping:
                return False
            self.dropped += self._slot is not None
            self._slot = CapturedFrame(self.captured, time.perf_counter(), image)
            self.captured += 1
            self._changed.notify_all()
            return True

    def _wait_until(self, moment: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, max(0.0, moment - time.perf_counter()))


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition('://')
    address, slash, path = rest.partition('/')
    return f'{scheme}://{address.rpartition("@")[2]}{slash}{path}'
