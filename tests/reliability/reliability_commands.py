"""Commands that tests/reliability/check_reliability.py starts, waits for and kills.

A command that starts in an interpreter of its own spends most of its time with imports, so that most kills would hit
these. Here it begins as a copy of a process that has imported everything, unless a cold start is asked for: then what
is killed is the very process that a user starts.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / 'tests/helpers'))

from helpers_warm import warm_shell  # noqa: E402

#: Seconds within which a command that was killed must have ended.
_END = 300


class Command:
    """A command of this checkout that runs, in a group of processes of its own.

    Args:
        words: what comes after ``python``: a script, ``-m module`` or ``-c code``, and arguments.
        work: folder of inputs, which is on the path of Python, and holds the command's cache.
        cold: start a new interpreter.
    """

    def __init__(self, words: list[str], work: Path, cold: bool = False):
        environment = {**os.environ, 'PYTHONPATH': f'{ROOT}{os.pathsep}{work}', 'MIQA_HOME': str(work / 'home')}
        environment.setdefault('OMP_NUM_THREADS', '1')
        self._cold = cold
        with (
            tempfile.NamedTemporaryFile(prefix='said-', suffix='.txt', dir=work, delete=False) as said,
            open(os.devnull, 'r+b') as nothing,
        ):
            self._said = Path(said.name)
            if cold:
                self._process = subprocess.Popen(
                    [sys.executable, *words], cwd=ROOT, env=environment, start_new_session=True, stdout=nothing,
                    stderr=said,
                )  # fmt: skip
            else:
                streams = [nothing.fileno(), nothing.fileno(), said.fileno()]
                self._client = warm_shell().begin(['python', *words], ROOT, environment, streams)

    def finish(self, seconds: float) -> tuple[int, str] | None:
        """Wait for the end and return exit status and what was said; None if it has not ended after ``seconds``."""
        if self._cold:
            try:
                status = self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                return None
        elif select.select([self._client], [], [], seconds)[0]:
            with self._client:
                status = int(self._client.makefile().readline())
        else:
            return None
        output = self._said.read_text(encoding='utf-8', errors='replace')
        self._said.unlink()
        return status, output

    def kill(self, number: int = signal.SIGKILL) -> tuple[int, str]:
        """Send a signal to the command and all of its workers at once; return exit status and what was said.

        By default they end as by a power cut.
        """
        with contextlib.suppress(BrokenPipeError):  # where it ends in this very moment
            if self._cold:
                os.killpg(self._process.pid, number)
            else:
                self._client.send(bytes([number]))
        ended = self.finish(_END)
        if ended is None:
            raise RuntimeError(f'A command was sent signal {number} and does not end.')
        return ended
