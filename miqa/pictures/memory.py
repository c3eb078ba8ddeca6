"""A memory budget shared by decoding threads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class MemoryGate:
    """Lets so many pictures be decoded at a time that together they need no more than a budget.

    One that needs more than the whole budget is decoded alone.

    Args:
        budget: in bytes.
    """

    def __init__(self, budget: int):
        self.budget = budget
        self._used = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def holding(self, count: int) -> Iterator[None]:
        """Wait until ``count`` bytes are free, and hold them for the ``with`` block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + count <= self.budget)
            self._used += count
        try:
            yield
        finally:
            with self._changed:
                self._used -= count
                self._changed.notify_all()
