"""A video as a stream of frames: one pass from the first to the last, one frame in memory."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .containers import Container, UnreadableVideo
from .facts import Survey, VideoFacts
from .structure import Structure, structure_of
from .timeline import Timeline
from .tone_mapping import tone_map

#: Assumed where a file does not say, in frames per second: FFmpeg's own assumption for streams without a rate.
ASSUMED_FPS = 25.0
#: Larger frames are not decoded: 8K has 33 million pixels, the largest sensors of cameras have twice as many.
MAX_FRAME_PIXELS = 1 << 27
# Where a file says only when it ends, so many seconds, or frames, may be rounding.
_SLACK_SECONDS, _SLACK_FRAMES = 0.5, 3


class Frame(NamedTuple):
    """One frame: its number from 0, its time in seconds, and the picture, uint8 (H, W, 3), BGR."""

    index: int  # type: ignore[assignment]  # a tuple's method of that name is not needed
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
    """Return True if a declared frame rate is finite, above 0 and at most 1000 frames per second."""
    return fps is not None and math.isfinite(fps) and 0 < fps <= 1000


def make_info(total, fps, assume_fps, width, height, codec, duration=None) -> VideoInfo:
    """Build a :class:`VideoInfo` with a plausible frame rate."""
    assumed = assume_fps is not None or not plausible_fps(fps)
    fps = float(assume_fps or (fps if plausible_fps(fps) else ASSUMED_FPS))
    return VideoInfo(int(total), fps, duration or total / fps, int(width), int(height), codec, assumed)


class VideoReader(ABC):
    """A video that is read once, from the front. Use it in a ``with`` block.

    What cannot be decoded is counted and skipped, as the ffmpeg program does; what a file announces is compared
    with the frames that come.

    Attributes:
        info: a :class:`VideoInfo`.
        facts: what the file says of its frames, its end and its colours.
        keyframes_only: the frames between key frames are skipped.
        size: (width, height) of the first frame that was chosen, upright; ``None`` before it.
        frames_read: frames decoded so far, chosen or not.
        failed: pieces so far that the decoder could make no frame of.
        corrupt: frames so far that were decoded although the decoder knows them to be damaged.
        stopped_by: why reading was given up before the end, else ``None``.
        resized: second at which frames first had another size, and both sizes as (width, height); else ``None``.
    """

    info: VideoInfo
    facts: VideoFacts
    keyframes_only = False

    def __init__(self, path: Path, container: Container):
        self.path, self.container = path, container
        self.frames_read = self.failed = self.corrupt = 0
        self.size: tuple[int, int] | None = None
        self.stopped_by: str | None = None
        self.resized: tuple[float, tuple[int, int], tuple[int, int]] | None = None
        self._timeline: Timeline | None = None
        self._survey: Survey | None = None

    @property
    def transfer(self) -> str | None:
        """``PQ`` or ``HLG`` for HDR footage, which is tone-mapped; None for all other."""
        return self.facts.transfer

    def frames(self, choose: Callable[[int, float], bool] | None = None) -> Iterator[Frame]:
        """Yield the frames for which ``choose(index, time)`` is true (all of them without it), in order."""
        self._check_size(self.info.width, self.info.height)
        self._timeline = timeline = Timeline(self.info.fps, self.container.jumps)
        for frame in self._decode(choose or (lambda index, time: True), timeline):
            height, width = frame.image.shape[:2]
            self._check_size(width, height)
            if self.size is None:
                self.size = width, height
            yield frame if self.transfer is None else frame._replace(image=tone_map(frame.image, self.transfer))

    def _check_size(self, width: int, height: int) -> None:
        if width * height > MAX_FRAME_PIXELS:
            raise UnreadableVideo(
                f'{self.path} has frames of {width} x {height} pixels; the limit is {MAX_FRAME_PIXELS:,}.'
            )

    @abstractmethod
    def _decode(self, choose: Callable[[int, float], bool], timeline: Timeline) -> Iterator[Frame]:
        """Yield the chosen frames; count all frames in ``frames_read``, with times from ``timeline``."""

    @abstractmethod
    def close(self) -> None:
        """Release the file and the decoder."""

    def __enter__(self):
        """Return the reader itself."""
        return self

    def __exit__(self, *error):
        """Release the file and the decoder."""
        self.close()

    @property
    def end(self) -> float:
        """Seconds at which the last frame that was read ends."""
        return 0.0 if self._timeline is None else self._timeline.end

    @property
    def announced(self) -> int:
        """Frames that the file says it holds, where it means each of them; else 0."""
        return self.facts.counted

    @property
    def frames_missing(self) -> int:
        """After reading to the end: frames that the file should have and that could not be read."""
        lost = max(self.failed, int(self.structure.cut or self.structure.further))
        # A pause is missing frames where something else shows that there is damage, or where there are no pauses.
        if self._timeline is not None and (self.container.jumps or (self._is_damaged and not self.announced)):
            lost = max(lost, self._timeline.missing(1 if self._is_damaged else 1 + self.container.stamps_off))
        if self.announced:
            short = self.announced - self.frames_read
            if short > 0 and self._survey is not None:
                short -= self._survey.passed_over
            # One frame more or less is a matter of how a file counts.
            return max(lost, short if short > 1 else 0, int(self.stopped_by is not None))
        return lost + max(self._missing_at_the_end(), int(self.stopped_by is not None))

    def _missing_at_the_end(self) -> int:
        end, reached = self.facts.end, self.end
        if end is None and self.facts.whole_end is not None and self._survey is not None:
            end, reached = self.facts.whole_end, max(reached, self._survey.end)
        if end is None or end - reached <= max(_SLACK_SECONDS, _SLACK_FRAMES / self.info.fps):
            return 0
        rate = self.frames_read / self.end if self.end else self.info.fps
        return round((end - reached) * rate)

    @functools.cached_property
    def frames_damaged(self) -> int:
        """After reading to the end: frames that were read, and that decoder or container know to be damaged."""
        # Where recordings are joined, the container misses what lies between them; nothing does.
        joints = 0 if self._timeline is None else self._timeline.restarts
        damaged = self._survey.damaged - self.frames_missing - joints if self._survey is not None else 0
        return max(self.corrupt, damaged, int(bool(self.structure.broken) and not self.frames_missing))

    @functools.cached_property
    def structure(self) -> Structure:
        """How whole the file is by the rules of its container."""
        return structure_of(self.path, self.container)

    @property
    def _is_damaged(self) -> bool:
        damaged = self._survey.damaged if self._survey is not None else 0
        return bool(self.failed or self.corrupt or damaged or self.structure.wrong)

    @property
    def complete(self) -> bool:
        """After reading to the end: True if every frame was read and none is known to be damaged."""
        return not (self.frames_missing or self.frames_damaged or self.stopped_by)
