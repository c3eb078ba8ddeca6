"""Progress reported by worker processes during a long task."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path


def tick(path: str | None) -> None:
    """Report one step of a task; nothing where ``path`` is None."""
    if path is None:
        return
    # Appending one byte is atomic. A progress bar is not worth a failure.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, b'.')
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def followed(bar, every: float = 0.5) -> Iterator[str]:
    """Give a path for :func:`tick` and advance ``bar`` by what was reported.

    Args:
        bar: with ``update(count)``.
        every: seconds between two looks.
    """
    with tempfile.NamedTemporaryFile(prefix='miqa_ticks_') as file:
        counted, finished = 0, threading.Event()

        def look() -> None:
            nonlocal counted
            size = Path(file.name).stat().st_size
            if size > counted:
                bar.update(size - counted)
                counted = size

        def follow() -> None:
            while not finished.wait(every):
                look()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield file.name
        finally:
            finished.set()
            thread.join()
            look()
