"""Which frames of a video are scored."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from miqa.taxonomy import check_whole_number

#: Ways to choose frames. ``keyframes`` takes the frames that the video codec stored whole, and needs PyAV.
STRATEGIES = ('uniform', 'fps', 'every', 'keyframes')


@dataclass(frozen=True)
class Sampling:
    """A rule that chooses frames of a video.

    Args:
        strategy: ``'uniform'``: ``num_frames`` frames, equally far apart; ``'fps'``: ``fps`` frames per second of
            footage; ``'every'``: each ``every``-th frame, beginning with the first; ``'keyframes'``: the frames
            that are stored whole.
        num_frames: for ``'uniform'``; 30 as in the released scripts.
        fps: for ``'fps'``, in frames per second.
        every: for ``'every'``; 1 takes all frames.

    Raises:
        ValueError: an unknown strategy, or a number that is not positive.
    """

    strategy: str = 'uniform'
    num_frames: int = 30
    fps: float = 2.0
    every: int = 1

    def __post_init__(self):
        """Refuse what cannot be meant."""
        if self.strategy not in STRATEGIES:
            raise ValueError(f'There is no sampling {self.strategy!r}; choose one of {", ".join(STRATEGIES)}.')
        for name in ('num_frames', 'every'):
            check_whole_number(name, getattr(self, name))
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f'The sampling rate must be a positive number of frames per second, not {self.fps}.')

    @property
    def needs_total(self) -> bool:
        """True if the number of frames must be known before the first one is chosen."""
        return self.strategy == 'uniform'

    def chooser(self, total_frames: int) -> Callable[[int, float], bool]:
        """Return a function (frame index, time in seconds) -> whether to take it; ask it once per frame, in order.

        Args:
            total_frames: frames in the video; used by ``'uniform'`` only.
        """
        if self.strategy == 'uniform' and total_frames > self.num_frames:
            # floor(i * total / n), the positions of the released scripts.
            indices = {i * total_frames // self.num_frames for i in range(self.num_frames)}
            return lambda index, time: index in indices
        if self.strategy == 'fps':
            return self._clock()
        if self.strategy == 'every':
            return lambda index, time: index % self.every == 0
        return lambda index, time: True

    def _clock(self) -> Callable[[int, float], bool]:
        last = -1

        def choose(index: int, time: float) -> bool:
            # The first frame of each interval of 1/fps seconds, whatever the frame rate of the video. A thousandth of
            # an interval absorbs the rounding of time stamps.
            nonlocal last
            tick = math.floor(time * self.fps + 1e-3)
            if tick <= last:
                return False
            last = tick
            return True

        return choose
