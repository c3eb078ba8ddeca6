"""Shell commands as a person types them, with ``miqa`` and ``python`` run by a process that has imported everything.

A command's own interpreter would spend seconds on imports. Here a small program of that name hands words, folder,
environment and open files to a server, which forks; pipes, redirections and exit statuses are those of a real shell.
"""

import array
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path

_SHIM = """#!{python} -IS
import array, json, os, socket, sys
words = [{name!r}, *sys.argv[1:]]
request = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    streams = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0, 1, 2]))
    server.sendmsg([len(request).to_bytes(4, 'big')], [streams])
    server.sendall(request)
    sys.exit(int(server.makefile().readline() or 1))
"""


class WarmShell:
    """A bash in which ``miqa`` and ``python`` start at once.

    Args:
        folder: an empty one, for the small programs.
        environment: variables of the process that imports, such as ``PYTHONPATH``.
    """

    def __init__(self, folder: Path, **environment: str):
        self.folder = folder
        self.address = str(folder / 'server')
        for name in ('miqa', 'python'):
            shim = folder / name
            shim.write_text(_SHIM.format(python=sys.executable, name=name, address=self.address))
            shim.chmod(0o755)
        environment = {**os.environ, 'OMP_NUM_THREADS': '1', **environment}
        self.server = subprocess.Popen(
            [sys.executable, __file__, self.address], stdout=subprocess.PIPE, env=environment, text=True
        )
        assert self.server.stdout.readline() == 'ready\n'

    def run(self, text: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
        """Run a script by bash, which stops at the first command that fails; stdout and stderr come together."""
        environment = {**os.environ, 'OMP_NUM_THREADS': '1', **environment}
        environment['PATH'] = f'{self.folder}:{environment["PATH"]}'
        return subprocess.run(
            ['bash', '-euo', 'pipefail', '-c', text], cwd=cwd, env=environment, text=True, timeout=900,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def close(self) -> None:
        """End the server."""
        self.server.terminate()
        self.server.wait()


def _serve(address: str) -> None:
    import miqa.apis.model
    import miqa.cli.main
    import miqa.integrations
    import miqa.test
    import miqa.train  # noqa: F401

    gc.collect()
    gc.freeze()  # copies neither look through what is imported nor so copy its pages
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
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


def _answer(client: socket.socket) -> None:
    """Run one command in a child's child, whose exit status the child sends; never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, rights, _, _ = client.recvmsg(4, socket.CMSG_SPACE(3 * 4))
    streams = array.array('i', rights[0][2])
    length, request = int.from_bytes(size, 'big'), b''
    while len(request) < length:
        request += client.recv(length - len(request))
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
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
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode, closefd=False) for number, mode in enumerate('rww'))  # noqa: SIM115
    status = 0
    try:
        _run(words)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def _run(words: list[str]) -> None:
    if words[0] == 'miqa':
        from miqa.cli.main import main

        sys.argv = words
        sys.exit(main(words[1:]))
    sys.argv = words[1:]
    if words[1] == '-m':
        sys.argv = words[2:]
        runpy.run_module(words[2], run_name='__main__', alter_sys=True)
    else:
        sys.path.insert(0, str(Path(words[1]).absolute().parent))
        runpy.run_path(words[1], run_name='__main__')


if __name__ == '__main__':
    _serve(sys.argv[1])
