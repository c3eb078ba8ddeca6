"""Shell commands as a person types them, with ``miqa`` and ``python`` run by a process that has imported everything.

A command's own interpreter would spend seconds on imports. Here a small program of that name hands words, folder,
environment and open files to a server, which forks; pipes, redirections and exit statuses are those of a real shell.
Signals to the small program are passed on; whoever kills it kills the command and its workers, as a power cut would.
"""

import array
import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from functools import cache
from pathlib import Path

_SHIM = """#!{python} -IS
import array, json, os, signal, socket, sys
words = [{name!r}, *sys.argv[1:]]
request = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: server.send(bytes([number])))
    streams = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0, 1, 2]))
    server.sendmsg([len(request).to_bytes(4, 'big')], [streams])
    server.sendall(request)
    sys.exit(int(server.makefile().readline() or 1))
"""

#: What commands import, mostly when they begin to work; a library that is not installed is none of theirs here.
#: Nothing of it computes or starts a thread when it is imported: such a process could not be copied.
_IMPORTED = (
    'av', 'cv2', 'joblib', 'kornia_rs', 'matplotlib.pyplot', 'mmengine.runner', 'onnxruntime', 'pandas',
    'pyarrow.parquet', 'pycocotools.mask', 'scipy.stats', 'timm', 'torch.distributed.run', 'torchvision', 'yapf',
    'miqa.apis.gate_fit', 'miqa.apis.model', 'miqa.apis.runtimes.torch_runtime', 'miqa.apis.video.assess',
    'miqa.apis.video.report', 'miqa.benchmark', 'miqa.cli.main', 'miqa.datasets', 'miqa.distortions', 'miqa.engine',
    'miqa.evaluation', 'miqa.integrations', 'miqa.labelling.label_job', 'miqa.machines', 'miqa.models',
    'miqa.reports.plots', 'miqa.test', 'miqa.train',
)  # fmt: skip


class WarmShell:
    """A bash in which ``miqa`` and ``python`` start at once.

    Args:
        environment: variables of the process that imports, such as ``PYTHONPATH``.
    """

    def __init__(self, **environment: str):
        self._temporary = tempfile.TemporaryDirectory(prefix='warm')
        self.folder = Path(self._temporary.name)
        self.address = str(self.folder / 'server')
        for name in ('miqa', 'python'):
            shim = self.folder / name
            shim.write_text(_SHIM.format(python=sys.executable, name=name, address=self.address))
            shim.chmod(0o755)
        environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'HF_HUB_OFFLINE': '1', **environment}
        self.server = subprocess.Popen(
            [sys.executable, __file__, self.address], stdout=subprocess.PIPE, env=environment, text=True
        )
        assert self.server.stdout.readline() == 'ready\n'

    def run(self, text: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
        """Run a script by bash, which stops at the first command that fails; stdout and stderr come together."""
        words = ['bash', '-euo', 'pipefail', '-c', text]
        return self.call(*words, cwd=cwd, stderr=subprocess.STDOUT, **environment)

    def call(self, *words: object, cwd: Path | None = None, stderr=subprocess.PIPE, **environment: str):
        """Run a command and return its ``subprocess.CompletedProcess``."""
        return subprocess.run(
            [*map(str, words)], cwd=cwd, env=self.environment(**environment), text=True, timeout=900,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
        )  # fmt: skip

    def must(self, *words: object, **options) -> subprocess.CompletedProcess:
        """Run a command that ends well."""
        done = self.call(*words, **options)
        assert done.returncode == 0, f'{words}: {done.returncode}\n{done.stdout[-2000:]}\n{(done.stderr or "")[-3000:]}'
        return done

    def begin(self, words: list[str], cwd: Path, environment: dict[str, str], streams: list[int]) -> socket.socket:
        """Begin a command without a small program.

        Returns:
            What takes the numbers of signals as bytes, and gives the exit status as a line.
        """
        request = json.dumps([words, str(cwd), environment]).encode()
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.address)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', streams))
        client.sendmsg([len(request).to_bytes(4, 'big')], [rights])
        client.sendall(request)
        return client

    def environment(self, **environment: str) -> dict[str, str]:
        """Return variables by which commands, scripts and torchrun find ``miqa`` and ``python`` here."""
        environment = {**os.environ, 'OMP_NUM_THREADS': '1', **environment}
        path, python = f'{self.folder}:{environment["PATH"]}', str(self.folder / 'python')
        return {**environment, 'PATH': path, 'PYTHON': python, 'PYTHON_EXEC': python}

    def close(self) -> None:
        """End the server."""
        self.server.terminate()
        self.server.wait()


@cache
def warm_shell() -> WarmShell:
    """Return the one shell of this process."""
    shell = WarmShell()
    atexit.register(shell.close)
    return shell


def _serve(address: str) -> None:
    for name in _IMPORTED:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # copies neither look through what is imported nor so copy its pages
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        server.settimeout(5)
        started_by = os.getppid()
        print('ready', flush=True)
        while os.getppid() == started_by:  # nobody is left to ask otherwise
            try:
                client, _ = server.accept()
            except TimeoutError:
                continue
            client.setblocking(True)
            if os.fork() == 0:
                server.close()
                _answer(client)
            client.close()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _answer(client: socket.socket) -> None:
    """Run one command in a child's child, whose exit status the child sends; never returns."""
    size, rights, _, _ = client.recvmsg(4, socket.CMSG_SPACE(3 * 4))
    streams = array.array('i', rights[0][2])
    length, request = int.from_bytes(size, 'big'), b''
    while len(request) < length:
        request += client.recv(length - len(request))
    child = os.fork()
    os.setpgid(child, child)  # by both, as each may be first
    if child:
        ended = os.pidfd_open(child)
        while ended not in select.select([client, ended], [], [])[0]:
            os.killpg(child, (client.recv(1) or bytes([signal.SIGKILL]))[0])
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(BrokenPipeError):
            client.sendall(f'{os.waitstatus_to_exitcode(status)}\n'.encode())
        os._exit(0)
    client.close()
    words, folder, environment = json.loads(request)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    added = [path for path in environment.get('PYTHONPATH', '').split(os.pathsep) if path]
    sys.path[:] = [*added, *(path for path in sys.path if path not in added)]
    buffering = (-1, 1 if 'PYTHONUNBUFFERED' in environment else -1, 1)
    streams = (open(number, mode, buffering[number], closefd=False) for number, mode in enumerate('rww'))  # noqa: SIM115
    sys.stdin, sys.stdout, sys.stderr = streams
    status = 0
    try:
        _run(words)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()  # ends workers, which would hold the pipes open
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def _run(words: list[str]) -> None:
    if words[0] == 'miqa':
        from miqa.cli.main import main

        sys.argv = words
        sys.exit(main(words[1:]))
    if words[1] == '-u':
        del words[1]
    sys.argv = words[1:]
    if words[1] == '-c':
        sys.argv = ['-c', *words[3:]]
        exec(compile(words[2], '<string>', 'exec'), {'__name__': '__main__'})  # noqa: S102
    elif words[1] == '-m':
        sys.argv = words[2:]
        runpy.run_module(words[2], run_name='__main__', alter_sys=True)
    else:
        sys.path.insert(0, str(Path(words[1]).absolute().parent))
        runpy.run_path(words[1], run_name='__main__')


if __name__ == '__main__':
    _serve(sys.argv[1])
