"""Progress bars, separate or combined on one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tqdm.auto import tqdm


class OneLine:
    """One progress line for a command of several stages, each of which shows a bar of its own elsewhere.

    Pass it as ``progress`` to functions that take one.

    Args:
        stages: how many stages there will be.
        disable: show nothing.
    """

    def __init__(self, stages: int, disable: bool = False):
        self.stages, self.number, self.name = stages, 0, ''
        self._bar = tqdm(total=0, disable=disable, dynamic_ncols=True, bar_format='{desc}')

    def stage(self, name: str) -> None:
        """Begin the next stage."""
        self.number += 1
        self.name = name
        self.begin(None, 0, '')

    def begin(self, total: int | None, initial: int, unit: str, desc: str = '') -> None:
        """Begin a bar within the stage."""
        self._bar.reset()
        self._bar.total = total
        self._bar.bar_format = None if total else '{desc}{elapsed}'  # no numbers of the stage before
        self._bar.unit = f' {unit}s' if unit else 'it'
        self._bar.initial = self._bar.n = initial
        detail = f': {desc}' if desc and desc != self.name else ''
        self._bar.set_description(f'[{self.number}/{self.stages}] {self.name}{detail}')

    def update(self, count: int = 1) -> None:
        """Count what was done."""
        self._bar.update(count)

    def set_description(self, text: str) -> None:
        """Do nothing: the stage names what is done."""

    def write(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.write(text)

    def close(self) -> None:
        """Keep the line and begin a new one."""
        self._bar.close()

    def __enter__(self) -> OneLine:
        return self

    def __exit__(self, *_) -> None:
        # A stage ends without ending the line.
        self._bar.refresh()


#: Whether a function shows a bar of its own, or the line on which it shows it.
Progress = bool | OneLine


def open_bar(progress: Progress, total: int | None = None, *, initial: int = 0, unit: str = 'it', desc: str = ''):
    """Return a bar to use in a ``with`` block, with ``update`` and ``write``."""
    if isinstance(progress, OneLine):
        progress.begin(total, initial, unit, desc)
        return progress
    return tqdm(total=total, initial=initial, unit=unit, desc=desc, disable=not progress)


def bar_over(
    items: Iterable, progress: Progress, total: int | None = None, *, unit: str = 'it', desc: str = ''
) -> Iterator:
    """Yield the items and count them on a bar."""
    with open_bar(progress, total, unit=unit, desc=desc) as bar:
        for item in items:
            yield item
            bar.update()
