"""Detect forks after objects with threads were opened."""

from __future__ import annotations

import os
import warnings

from miqa.errors import CheckpointError


class OpeningProcess:
    """Remembers the process in which something was opened."""

    def __init__(self) -> None:
        self._process = os.getpid()

    def forked(self) -> bool:
        """Return True in each process that was forked since."""
        return self._process != os.getpid()

    def check(self, file: str | os.PathLike, runtime: str) -> None:
        """Refuse to use ``file``, opened by the library ``runtime``, where it waits for threads of the parent process.

        Raises:
            CheckpointError: the process was forked since.
        """
        if self.forked():
            raise CheckpointError(
                f'{file} was opened before the process was forked, and {runtime} cannot compute after it. Open it in '
                "the process that uses it, or start processes by multiprocessing.get_context('spawn')."
            )

    def moved(self) -> bool:
        """Return True once in each process that was forked since."""
        if self._process == os.getpid():
            return False
        self._process = os.getpid()
        return True


def warn_forked(consequence: str) -> None:
    """Say that a model came into this process by a fork."""
    warnings.warn(
        f'This model was opened before the process was forked, and its threads stayed behind: {consequence}. Open it '
        "in the process that uses it, or start processes by multiprocessing.get_context('spawn').",
        stacklevel=3,
    )
