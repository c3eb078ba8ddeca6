"""Network streams: their end, reconnection after interruptions, and final loss."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path

import numpy as np

from miqa.apis.video.reading import open_video
from miqa.errors import MIQAError
from miqa.outside.addresses import is_web_address, redact_address
from miqa.outside.fetching import Deadline, fetch, file_name_of, open_address
from miqa.running import require

logger = logging.getLogger(__name__)

_OPTIONS = 'OPENCV_FFMPEG_CAPTURE_OPTIONS'
_environment = threading.Lock()
# FFmpeg complains on stderr about each damaged piece, and names addresses with their secrets; streams say what counts.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')

#: How network streams begin.
STREAM_PREFIXES = ('rtsp://', 'rtsps://', 'rtmp://', 'http://', 'https://', 'udp://', 'tcp://', 'srt://')
# What FFmpeg may use for them; a playlist from the network thus opens no files of this computer.
_PROTOCOLS = 'http,https,httpproxy,tcp,tls,udp,rtp,srtp,rtsp,rtsps,rtmp,rtmps,rtmpt,srt,crypto'
# A live source may miss a frame now and then; so many in a row mean that it is gone.
_MISSES = 5
# A file may be damaged somewhere; so many pieces without a frame mean that it has ended.
_MISSES_OF_A_FILE = 200
_SECONDS_TO_OPEN, _SECONDS_TO_READ = 10, 10
# A file that must be fetched as a whole, in bytes, and how long that may take.
_LARGEST_FILE, _SECONDS_TO_FETCH = 8_000_000_000, 3600
# Waits between attempts to connect again, in seconds: the first, and the longest.
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0
# So many equal pictures in a row are looked into, by opening the stream anew.
_FROZEN = 50
# So much of a file's announced end may be rounding: a share of its frames, and seconds.
_SLACK_SHARE, _SLACK_SECONDS = 0.02, 1.0


class CameraLost(MIQAError, ConnectionError):
    """A live source cannot be opened or stopped giving frames.

    Attributes:
        summary: what :meth:`miqa.apis.live.realtime.RealTimeIQA.run` had counted until then, or ``None``.
    """

    summary: dict | None = None


@contextlib.contextmanager
def capture_options(options: dict[str, str], keep: bool = False) -> Iterator[None]:
    """Set what OpenCV's FFmpeg may open; it takes its options from the environment, when a capture is opened.

    Args:
        options: of FFmpeg.
        keep: let options stand that the user has set there; those given here count where both name one.
    """
    with _environment:
        before = os.environ.get(_OPTIONS)
        settings = [f'{name};{value}' for name, value in options.items()]
        os.environ[_OPTIONS] = '|'.join([before, *settings] if keep and before else settings)
        try:
            yield
        finally:
            if before is None:
                del os.environ[_OPTIONS]
            else:
                os.environ[_OPTIONS] = before


def open_stream(url: str, read_seconds: float = _SECONDS_TO_READ):
    """Open a network stream as a ``cv2.VideoCapture``; it may not be opened (``isOpened``)."""
    cv2 = require('cv2', 'A network stream')
    options = {'protocol_whitelist': _PROTOCOLS}
    if url.lower().startswith('rtsp'):
        options['rtsp_transport'] = 'tcp'  # OpenCV's own default, which our options replace
    timeouts = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 1000 * _SECONDS_TO_OPEN, cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        max(1, int(1000 * min(read_seconds, _SECONDS_TO_READ))),
    ]  # fmt: skip
    with capture_options(options, keep=True):
        return cv2.VideoCapture(url, cv2.CAP_FFMPEG, timeouts)


def read_frame(capture) -> np.ndarray | None:
    """Return the next frame of an open ``cv2.VideoCapture``; None where none came.

    A damaged one of another size than those before makes OpenCV raise an error; it is a frame that did not come.
    """
    import cv2

    try:
        read, image = capture.read()
    except cv2.error:
        return None
    return image if read else None


class NetworkStream:
    """The frames of a network stream, whatever happens on the way.

    A stream that breaks is connected to again, with growing waits; breaks are counted. A file behind an address
    (a web server says how long it is) ends where it ends.

    Args:
        url: the address.
        reconnect_seconds: how long a stream that broke is tried to be reached again; 0 for not at all.
        opener: url -> capture.

    Attributes:
        name: for messages, without secrets.
        breaks: how often the stream broke so far.
        reconnecting: whether it is being tried to be reached again now.
        interval: seconds between frames of a file, which is played at its own speed; None for a live stream.

    Raises:
        CameraLost: it cannot be opened.
    """

    def __init__(self, url: str, reconnect_seconds: float = 60.0, opener: Callable = open_stream):
        self.name = f'the stream {redact_address(url)}'
        self.breaks, self.reconnecting = 0, False
        self._url, self._reconnect_seconds, self._opener = url, reconnect_seconds, opener
        self._closing = threading.Event()
        self._count, self._broke, self._wait = 0, 0.0, _FIRST_WAIT
        self._last: np.ndarray | None = None
        self._equal, self._looked_into = 0, False
        self._capture = opener(url)
        if not self._capture.isOpened():
            self._capture.release()
            raise CameraLost(f'{self._Name} cannot be opened. Check the address, the password and the network.')
        self._announced = self._frames_announced()
        fps = self._fps()
        self.interval = 1 / fps if self._announced is not None and 0 < fps <= 1000 else None

    @property
    def _Name(self) -> str:  # noqa: N802 - the name at the beginning of a sentence
        return self.name[0].upper() + self.name[1:]

    def _fps(self) -> float:
        import cv2

        return self._capture.get(cv2.CAP_PROP_FPS)

    def _frames_announced(self) -> int | None:
        """Return the estimated number of frames; None for a live stream, or if unknown."""
        import cv2

        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        return int(count) if 0 < count < 2**40 else None

    def frames(self) -> Iterator[np.ndarray]:
        """Yield uint8 BGR pictures until the stream ends.

        Raises:
            CameraLost: it broke and did not come back.
        """
        misses = 0
        while not self._closing.is_set():
            image = read_frame(self._capture)
            if image is not None:
                self._count, misses = self._count + 1, 0
                self.reconnecting = False
                if not self._is_frozen(image):
                    yield image
                continue
            misses += 1
            if misses < (_MISSES if self._announced is None else _MISSES_OF_A_FILE):
                if self._announced is None:
                    time.sleep(0.02)
                continue
            if self._announced is not None:
                if not self._count and is_web_address(self._url):
                    yield from self._fetched()
                else:
                    self._check_end(self._announced)
                return
            new, self.reconnecting = not self.reconnecting, True
            # Asked only now: a camera may serve one connection at a time.
            if new and not self.breaks and _is_file_of_known_size(self._url):
                self.reconnecting = False
                return
            self._reconnect(new)
            misses = 0

    def _fetched(self) -> Iterator[np.ndarray]:
        """Yield the frames of a file whose index stands at its end, where its server gives files only as a whole."""
        with tempfile.TemporaryDirectory(prefix='miqa-fetched-') as folder:
            try:
                path = fetch(
                    self._url,
                    Path(folder) / file_name_of(self._url),
                    max_bytes=_LARGEST_FILE,
                    seconds=_SECONDS_TO_FETCH,
                )
                reader = open_video(path)
            except (OSError, ValueError) as error:
                raise CameraLost(f'{self._Name} gave no frame, and cannot be fetched as a file: {error}') from None
            try:
                for frame in reader.frames():
                    if self._closing.is_set():
                        return
                    self._count += 1
                    yield frame.image
            finally:
                reader.close()

    def _is_frozen(self, image: np.ndarray) -> bool:
        """Return True if a picture is the old one again and the stream was opened anew, to see whether it still comes.

        Where a camera changes the size of its pictures, OpenCV gives the last one of the old size again and again.
        """
        if self._last is None or image.shape != self._last.shape or not np.array_equal(image, self._last):
            self._last, self._equal, self._looked_into = image, 0, False
            return False
        self._equal += 1
        may_open = self._announced is None and self._reconnect_seconds > 0
        if self._equal < _FROZEN or self._looked_into or not may_open:
            return False
        logger.warning(f'{self._Name} gave the same picture {self._equal + 1} times; it is opened anew.')
        self._looked_into, self.reconnecting = True, True
        self._capture.release()
        capture = self._opener(self._url)
        # Where it is gone, the next frame that does not come says so.
        self.reconnecting = False
        if capture.isOpened():
            self._capture = capture
        return True

    def _check_end(self, announced: int) -> None:
        import cv2

        fps = self._fps()
        remaining = announced - self._count
        # The last position says more where the frame rate varies.
        reached = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        seconds = announced / fps - reached if 0 < fps <= 1000 else 0.0
        if remaining > max(2, _SLACK_SHARE * announced) and seconds > _SLACK_SECONDS:
            raise CameraLost(f'{self._Name} ended early: {self._count} of about {announced} frames came.')

    def _reconnect(self, new: bool) -> None:
        if new:
            self.breaks += 1
            self._broke, self._wait = time.monotonic(), _FIRST_WAIT
        self._capture.release()
        end = self._broke + self._reconnect_seconds
        while time.monotonic() + self._wait <= end:
            logger.warning(f'{self._Name} broke after {self._count} frames; connecting again in {self._wait:g} s.')
            waited, self._wait = self._wait, min(2 * self._wait, _LONGEST_WAIT)
            if self._closing.wait(waited):
                return
            capture = self._opener(self._url)
            if capture.isOpened():
                self._capture = capture
                return
            capture.release()
        self.reconnecting = False
        back = f' and did not come back within {self._reconnect_seconds:g} seconds' if self._reconnect_seconds else ''
        raise CameraLost(f'{self._Name} stopped giving frames after {self._count} of them{back}.')

    def interrupt(self) -> None:
        """End a wait for the stream to come back."""
        self._closing.set()

    def close(self) -> None:
        """Give the connection back."""
        self._closing.set()
        self._capture.release()


def _is_file_of_known_size(url: str) -> bool:
    """Return True if a web server says how long the answer is: then it is a file, and no stream without an end."""
    if not is_web_address(url):
        return False
    try:
        with Deadline(_SECONDS_TO_OPEN) as deadline, open_address(url, _SECONDS_TO_OPEN, deadline=deadline) as answer:
            listed = 'mpegurl' in (answer.headers.get_content_type() or '').lower() or '.m3u' in url.lower()
            return answer.headers.get('Content-Length') is not None and not listed
    except (HTTPException, OSError, ValueError) as error:
        logger.info(f'{redact_address(url)} does not say whether it ends ({type(error).__name__}).')
        return False
