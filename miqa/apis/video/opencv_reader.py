"""Read videos with OpenCV, which brings its own FFmpeg libraries."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from .containers import Container, UnreadableVideo
from .facts import facts_where_possible, survey
from .reader import Frame, VideoReader, make_info
from .timeline import Timeline

# A file may hold damage in a row; after so many pieces without a frame it has ended. At the end OpenCV answers at once.
_FAILURES = 1000
_OPTIONS = 'OPENCV_FFMPEG_CAPTURE_OPTIONS'
_environment = threading.Lock()
# FFmpeg complains on stderr about each damaged piece, and names addresses with their secrets; readers say what counts.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
# Frame rate that FFmpeg gives to the cover of a song, and codecs that covers have.
_COVER_RATE, _COVER_CODECS = 90_000, ('MPNG', 'MJPG', 'png', 'BMP')


@contextlib.contextmanager
def capture_options(options: dict[str, str], keep: bool = False) -> Iterator[None]:
    """Set what OpenCV's FFmpeg may open; it takes its options from the environment, when a capture is opened.

    Args:
        options: of FFmpeg.
        keep: let options stand that the user has set there; those given here count where both name one.
    """
    with _environment:
        before = os.environ.get(_OPTIONS)
        told = [f'{name};{value}' for name, value in options.items()]
        os.environ[_OPTIONS] = '|'.join([before, *told] if keep and before else told)
        try:
            yield
        finally:
            if before is None:
                del os.environ[_OPTIONS]
            else:
                os.environ[_OPTIONS] = before


class OpenCVReader(VideoReader):
    """Read with OpenCV.

    Args:
        path: an absolute path.
        container: of the file; OpenCV is let open nothing else.
        assume_fps: frames per second to believe instead of what the file says.
    """

    def __init__(self, path: Path, container: Container, assume_fps: float | None = None):
        super().__init__(path, container)
        self.facts = facts_where_possible(path, container)
        self._unfit = False
        with capture_options({'protocol_whitelist': 'file', 'format_whitelist': container.demuxer}):
            self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            self._capture.release()
            raise UnreadableVideo(
                f'{path} is not a video that OpenCV can open ({path.stat().st_size} bytes): it holds no video, is '
                'damaged at its beginning, or in a format that this build of OpenCV does not know.'
            )
        get = self._capture.get
        count, fps, codec = get(cv2.CAP_PROP_FRAME_COUNT), get(cv2.CAP_PROP_FPS), _fourcc(get(cv2.CAP_PROP_FOURCC))
        if self.facts is None and fps == _COVER_RATE and codec in _COVER_CODECS:
            self._capture.release()
            raise UnreadableVideo(f'{path} has no video stream: it holds sound and a picture of its cover.')
        # OpenCV answers a negative or enormous number where the container does not say.
        total = int(count) if math.isfinite(count) and 0 < count < 2**40 else 0
        self.info = make_info(
            total, fps, assume_fps, get(cv2.CAP_PROP_FRAME_WIDTH), get(cv2.CAP_PROP_FRAME_HEIGHT), codec,
            duration=self.facts.end if self.facts is not None and assume_fps is None else None,
        )  # fmt: skip

    def _decode(self, choose: Callable[[int, float], bool], timeline: Timeline) -> Iterator[Frame]:
        # Frames that are passed over are decoded, because others build on them, but not converted.
        failures = given = 0
        while failures < _FAILURES:
            if not self._capture.grab():
                failures += 1
                continue
            # What failed before a frame is lost; what fails after the last one is the end.
            self.failed += failures
            failures = 0
            index = self.frames_read
            time = timeline.add(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 if index else 0.0)
            self.frames_read += 1
            if choose(index, time):
                image = self._retrieved()
                if image is not None:
                    given += 1
                    yield Frame(index, time, image)
                else:
                    self.failed += 1
        # OpenCV passes on nothing of what FFmpeg says of a frame: PyAV decodes the file again, where it is installed.
        self._survey = survey(self.path, self.container)
        self.knows_damage = self._survey is not None
        # Where the size changes, OpenCV goes on with the last picture of the size before, without a word.
        if (self._unfit and not given) or (self._survey is not None and self._survey.resized):
            raise UnreadableVideo(
                f'OpenCV makes no picture of the frames of {self.path}, whose size changes. PyAV does: --backend pyav, '
                "in Python backend='pyav' (pip install av)."
            )
        if self._survey is not None:
            self.corrupt = self._survey.patched

    def _retrieved(self) -> np.ndarray | None:
        try:
            decoded, image = self._capture.retrieve()
        except cv2.error:
            # Where the size of the picture changes early in a damaged file, what OpenCV has does not fit.
            self._unfit = True
            return None
        return image if decoded else None

    def close(self):
        """Release the capture."""
        self._capture.release()


def _fourcc(value: float) -> str:
    code = int(value) & 0xFFFFFFFF
    text = ''.join(chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24))
    return text.strip() if text.isprintable() and text.strip() else 'unknown'
