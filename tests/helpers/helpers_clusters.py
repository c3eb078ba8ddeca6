"""Tasks for tests of clusters: importable, because workers are other processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def square_of(number: int) -> int:
    """Return the square."""
    return number * number


def fail(number: int) -> int:
    """Fail at five."""
    if number == 5:
        raise ValueError('five is not five')
    return number


def die_once(number: int, folder: str) -> int:
    """Kill the process at five, the first time."""
    mark = Path(folder) / 'died'
    if number == 5 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die() -> None:
    """Kill the process."""
    os.kill(os.getpid(), signal.SIGKILL)
