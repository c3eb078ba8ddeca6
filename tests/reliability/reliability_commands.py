"""Commands that tests/reliability/check_reliability.py starts, waits for and kills.

A command that starts in an interpreter of its own spends most of its time with imports, so that most kills would hit
these. Here it begins as a copy of a process that has imported everything, unless a cold start is asked for: then what
is killed is the very process that a user starts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Runs with ``python -c``. Each line that it reads asks for a command. A keeper (a first copy) makes the command (a
#: second one), waits for it and writes its exit status; the command ends as every program does, with its threads and
#: exit functions, but for taking apart what is imported, which takes half a second. Nothing that is imported first
#: computes anything or starts a thread.
_SERVER = """
import atexit, gc, importlib, json, os, runpy, signal, sys, threading, traceback
for name in {imported}:
    importlib.import_module(name)
gc.collect()
gc.freeze()  # copies neither look through what is imported nor so copy its pages
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
command = None
for line in sys.stdin:
    if os.fork():
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    command = json.loads(line)
    pid = os.fork()
    if pid:
        begun = command['said'] + '.pid'
        with open(begun + '.new', 'w') as stream:
            stream.write(str(pid))
        os.rename(begun + '.new', begun)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        ended = command['said'] + '.status'
        with open(ended + '.new', 'w') as stream:
            stream.write(str(status))
        os.rename(ended + '.new', ended)
        os._exit(0)
    break
if command:
    os.setsid()
    os.chdir(command['root'])
    os.environ.update(command['environment'])
    for number, place in ((0, os.devnull), (1, os.devnull), (2, command['said'])):
        handle = os.open(place, os.O_RDWR)
        os.dup2(handle, number)
        os.close(handle)
    first, *rest = words = command['words']
    folders = command['environment']['PYTHONPATH'].split(os.pathsep)
    sys.path[:0] = folders if first in ('-m', '-c') else [os.path.dirname(os.path.abspath(first)), *folders]
    sys.argv = ['-c', *rest[1:]] if first == '-c' else rest if first == '-m' else words
    status = 0
    try:
        if first == '-m':
            runpy.run_module(rest[0], run_name='__main__', alter_sys=True)
        elif first == '-c':
            exec(compile(rest[0], '<command>', 'exec'), {{'__name__': '__main__'}})
        else:
            runpy.run_path(first, run_name='__main__')
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
"""
_IMPORTED = (
    'torch', 'torchvision', 'timm', 'mmengine.runner', 'cv2', 'pyarrow.parquet', 'pandas', 'scipy.stats', 'joblib',
    'av', 'kornia_rs', 'matplotlib.pyplot', 'pycocotools.mask', 'yapf', 'miqa.distortions', 'miqa.machines',
    'miqa.labelling.own_database', 'miqa.datasets', 'miqa.models', 'miqa.engine', 'miqa.evaluation', 'miqa.benchmark',
    'miqa.reports.plots', 'miqa.apis.model', 'miqa.apis.gate_fit', 'miqa.apis.runtimes.torch_runtime',
    'miqa.apis.video.assess', 'miqa.apis.video.report', 'miqa.cli.main',
)  # fmt: skip
#: Seconds between two looks at a command, and until a copy must have begun.
_LOOK, _BEGIN = 0.02, 300


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
        handle, self._said = tempfile.mkstemp(prefix='said-', suffix='.txt', dir=work)
        os.close(handle)
        self._process = None
        if cold:
            with open(self._said, 'wb') as stream:
                self._process = subprocess.Popen(
                    [sys.executable, *words], cwd=ROOT, env=environment, start_new_session=True,
                    stdout=subprocess.DEVNULL, stderr=stream,
                )  # fmt: skip
            self.pid = self._process.pid
            return
        server = _server()
        asked = {'words': words, 'environment': environment, 'said': self._said, 'root': str(ROOT)}
        server.stdin.write(json.dumps(asked) + '\n')
        server.stdin.flush()
        begun = _read_soon(Path(f'{self._said}.pid'), _BEGIN)
        if begun is None:
            raise RuntimeError(f'No command began within {_BEGIN} seconds.')
        self.pid = int(begun)

    def finish(self, seconds: float) -> tuple[int, str] | None:
        """Wait for the end and return exit status and what was said; None if it has not ended after ``seconds``."""
        if self._process:
            try:
                status = self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                return None
        else:
            written = _read_soon(Path(f'{self._said}.status'), seconds)
            if written is None:
                return None
            status = int(written)
        said = Path(self._said).read_text(encoding='utf-8', errors='replace')
        Path(self._said).unlink()
        return status, said

    def kill(self, number: int = signal.SIGKILL) -> tuple[int, str]:
        """Send a signal to the command and all of its workers at once; return exit status and what was said.

        By default they end as by a power cut.
        """
        # The group is not there yet in the first moment, and gone where everything has ended in this very one.
        for kill in (os.killpg, os.kill):
            try:
                kill(self.pid, number)
                break
            except ProcessLookupError:
                continue
        ended = self.finish(_BEGIN)
        if ended is None:
            raise RuntimeError(f'Process {self.pid} was sent signal {number} and does not end.')
        return ended


@cache
def _server() -> subprocess.Popen:
    environment = {'OMP_NUM_THREADS': '1', **os.environ, 'PYTHONPATH': str(ROOT)}
    code = _SERVER.format(imported=_IMPORTED)
    return subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE, text=True, env=environment, cwd=ROOT)


def _read_soon(path: Path, seconds: float) -> str | None:
    """Wait for a file, read and remove it; None if it does not come."""
    until = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > until:
            return None
        time.sleep(_LOOK)
    text = path.read_text(encoding='ascii')
    path.unlink()
    return text
