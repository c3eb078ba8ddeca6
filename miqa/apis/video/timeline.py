"""Monotonic frame times from arbitrary time stamps."""

from __future__ import annotations

import math
from array import array

import numpy as np

# Of a recorded stream a longer step is a new beginning, not a pause: FFmpeg's own limit (-dts_delta_threshold).
_LONGEST_STEP = 10.0
# Steps that are shorter are rounding.
_SHORTEST_STEP = 1e-6
# Frames are missing where a step is longer than so many usual ones, if nearly all steps are usual.
_GAP, _USUAL, _SHARE = 1.75, 0.25, 0.9


class Timeline:
    """Turns a decoder's time stamps into times that are finite and increase.

    Where stamps restart, as in joined streams, time continues from the last frame. A single stamp that is
    out of place is skipped.

    Args:
        fps: frames per second, for frames without a usable stamp.
        jumps: stamps of this container may also jump ahead without a pause.

    Attributes:
        restarts: how often stamps have restarted so far.
    """

    def __init__(self, fps: float, jumps: bool = False):
        self._step, self._jumps = 1 / fps, jumps
        self._last: float | None = None
        self._offset = 0.0
        self._suspect: float | None = None
        self._steps = array('d')
        self.restarts = 0

    @property
    def end(self) -> float:
        """Time at which the last frame gives way, in seconds."""
        return 0.0 if self._last is None else self._last + self._step

    def add(self, stamp: float | None) -> float:
        """Return the time of the next frame, in seconds from the first."""
        stamp = stamp if stamp is not None and math.isfinite(stamp) else None
        if self._last is None:
            self._offset = -(stamp or 0.0)
            self._last = 0.0
            return 0.0
        time = None if stamp is None else stamp + self._offset
        if time is None or not self._follows(time - self._last):
            if (
                stamp is not None
                and self._suspect is not None
                and _SHORTEST_STEP < stamp - self._suspect <= _LONGEST_STEP
            ):
                # The second stamp after a restart: continue from here by its steps.
                self._offset = self._last + (stamp - self._suspect) - stamp
                time, self._suspect = stamp + self._offset, None
                self.restarts += 1
            else:
                self._suspect = stamp
                time = self._last + self._step
        else:
            self._steps.append(time - self._last)
            self._suspect = None
        self._last = time
        return time

    def _follows(self, step: float) -> bool:
        return step > _SHORTEST_STEP and not (self._jumps and step > _LONGEST_STEP)

    def missing(self, least: int = 1) -> int:
        """Return how many frames are missing, at least so many in a row; 0 where the frame rate varies."""
        steps = np.frombuffer(self._steps, dtype=np.float64)
        if len(steps) < 5:
            return 0
        usual = float(np.median(steps))
        if usual <= 0 or np.mean(np.abs(steps / usual - 1) < _USUAL) < _SHARE:
            return 0
        missing = np.rint(steps[steps > _GAP * usual] / usual) - 1
        return int(missing[missing >= least].sum())
