"""Cameras, streams, files and iterators as a slot that always holds the latest frame."""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from miqa.apis.video.assess import video_sentences
from miqa.apis.video.reading import VideoReader, open_video
from miqa.running import require

from .network import STREAM_PREFIXES, CameraLost, NetworkStream, open_stream, read_frame

logger = logging.getLogger(__name__)

# A live source may miss a frame now and then; so many in a row mean that it is gone.
_MISSES = 5


class CapturedFrame(NamedTuple):
    """A frame: its number in the source, from 0; when it was captured (``time.perf_counter``); uint8 (H, W, 3), BGR."""

    index: int  # type: ignore[assignment]  # a tuple's method of that name is not needed
    captured_at: float
    image: np.ndarray


class FrameSource:
    """A source of frames: ``frames`` yields them, ``close`` gives the device back.

    Args:
        name: for messages, such as ``camera 0``.
        frames: an iterator of uint8 BGR pictures.
        close: called once.
        interval: seconds between frames of a file that is played at its own speed; ``None`` for all others.
        stream: the network stream that gives the frames, if one does.
    """

    def __init__(
        self,
        name: str,
        frames: Iterator[np.ndarray],
        close: Callable[[], None] = lambda: None,
        interval: float | None = None,
        stream: NetworkStream | None = None,
    ):
        self.name, self.frames, self.close, self.interval = name, frames, close, interval
        self._stream = stream

    @property
    def breaks(self) -> int:
        """How often a network stream broke so far."""
        return 0 if self._stream is None else self._stream.breaks

    @property
    def reconnecting(self) -> bool:
        """True if a network stream is being tried to be reached again now."""
        return self._stream is not None and self._stream.reconnecting

    def interrupt(self) -> None:
        """End a wait of the thread that reads."""
        if self._stream is not None:
            self._stream.interrupt()


def open_source(
    source: int | str | os.PathLike | Iterable[np.ndarray], reconnect_seconds: float = 60.0, stall_seconds: float = 10.0
) -> FrameSource:
    """Open a camera (its number, also as text), a network stream (``rtsp://...``), a video file, or any iterable.

    A network stream that gives no frame for nearly ``stall_seconds`` has broken, and is tried to be reached again for
    ``reconnect_seconds``.

    Raises:
        CameraLost: the camera or stream cannot be opened.
        FileNotFoundError, UnreadableVideo: see :func:`miqa.apis.video.reading.open_video`.
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
        # Earlier than the timeout of waiting callers.
        opener = functools.partial(open_stream, read_seconds=0.8 * stall_seconds)
        stream = NetworkStream(source, reconnect_seconds, opener)
        return FrameSource(stream.name, stream.frames(), stream.close, stream.interval, stream)
    if isinstance(source, (str, os.PathLike)):
        reader = open_video(source)
        return FrameSource(Path(source).name, _images_of(reader), reader.close, 1 / reader.info.fps)
    return FrameSource('the iterator', iter(source), getattr(source, 'close', lambda: None))


def _images_of(reader: VideoReader) -> Iterator[np.ndarray]:
    for frame in reader.frames():
        yield frame.image
    for sentence in video_sentences(reader):
        logger.warning(sentence)


def _live(device: int, name: str) -> FrameSource:
    cv2 = require('cv2', 'A camera')
    capture = cv2.VideoCapture(device)
    if not capture.isOpened():
        capture.release()
        raise CameraLost(
            f'{name[0].upper()}{name[1:]} cannot be opened. Check that it is plugged in, unused by other programs and '
            'accessible (Linux: ls /dev/video*, group "video").'
        )
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
        image = read_frame(capture)
        if image is not None:
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

    @property
    def breaks(self) -> int:
        """How often a network stream broke so far."""
        return self._source.breaks

    def take(self, timeout: float | None = None) -> CapturedFrame | None:
        """Return the newest frame that was not taken yet, waiting for one; ``None`` when the source has ended.

        Raises:
            TimeoutError: no frame came within ``timeout`` seconds.
            Exception: what reading the source raised.
        """
        with self._changed:
            while not self._changed.wait_for(lambda: self._slot is not None or self._ended, timeout):
                if not self._source.reconnecting:
                    raise TimeoutError(f'No frame came from {self._source.name} for {timeout:g} seconds.')
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
        self._source.interrupt()
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
