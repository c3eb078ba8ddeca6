"""A memory budget shared by decoding threads, and what a container leaves of its memory."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from miqa.outside.control_groups import GROUPS, MEMBERSHIP, group_folders


@cache
def container_memory(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> int | None:
    """Return how many bytes the limit of a container left when this was first called; None: there is no limit.

    Beyond it Linux kills the process without a word. Pages of files that Linux takes back count as free.

    Args:
        groups: where Linux shows the limits of containers (cgroups).
        membership: which of them this process belongs to.
    """
    return min(
        (free for folder in group_folders('memory', groups, membership) for free in _free_in(folder)), default=None
    )


def _free_in(folder: Path) -> list[int]:
    for limit, usage, idle in (
        ('memory.max', 'memory.current', 'inactive_file'),
        ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'),
    ):
        try:
            most, used, stat = ((folder / name).read_text(encoding='ascii') for name in (limit, usage, 'memory.stat'))
            counts = dict(line.split() for line in stat.splitlines())
            return [max(0, int(most) - int(used) + int(counts.get(idle, 0)))]
        except (OSError, ValueError):  # no such file, or no limit: "max"
            continue
    return []


class MemoryGate:
    """Lets so many pictures be decoded at a time that together they need no more than a budget.

    One that needs more than the whole budget is decoded alone.
    """

    def __init__(self, budget: int):
        self.budget = budget
        self._used = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def holding(self, count: int) -> Iterator[None]:
        """Wait until ``count`` bytes are free, and hold them for the ``with`` block."""
        room = container_memory()
        budget = self.budget if room is None else min(self.budget, room // 2)
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + count <= budget)
            self._used += count
        try:
            yield
        finally:
            with self._changed:
                self._used -= count
                self._changed.notify_all()
