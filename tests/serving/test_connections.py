"""Half-open connections, slow headers and clients that do not read: none of them blocks the server for others."""

import contextlib
import inspect
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers_serving import ask, raw_request, running

pytest.importorskip('fastapi', reason="no FastAPI (pip install 'miqa[serve]')")

from miqa.serving.connections import ConnectionLimits
from miqa.serving.request_guard import Timeouts

LARGE = 30_000_000


def small_app():
    """An application with a short answer and a long one."""
    import fastapi

    app = fastapi.FastAPI()
    app.get('/health')(lambda: {'status': 'ok'})
    app.get('/large')(lambda: fastapi.Response(bytes(LARGE)))
    return app


SERVER = """
import functools, resource, sys
sys.path.insert(0, {root!r})
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
{app}
from miqa.serving import listening
from miqa.serving.request_guard import Timeouts
listening.make_server = functools.partial(listening.make_server, timeouts=Timeouts(headers=3600))
listening.serve_app(small_app, '127.0.0.1', 0, 'The endpoint')
"""


def connect(url):
    """A connection to the server of a URL."""
    host, _, port = url.partition('://')[2].partition(':')
    return socket.create_connection((host, int(port)), timeout=30)


@pytest.mark.skipif(sys.platform == 'win32', reason='Windows has no limit on descriptors')
def test_three_hundred_half_open_connections_do_not_block_a_server_with_256_descriptors():
    code = SERVER.format(root=str(Path(__file__).parents[2]), app=inspect.getsource(small_app))
    command = [sys.executable, '-c', code]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert 'http://' in line, process.stderr.read()
        url = line.split()[4]
        with contextlib.ExitStack() as stack:
            for number in range(300):
                connection = stack.enter_context(connect(url))
                with contextlib.suppress(ConnectionError):  # an earlier one that made room
                    connection.sendall(b'GET /health HTTP/1.1\r\nHost: ' if number % 2 else b'')
            # The time limit for headers is an hour: nobody waited for that.
            assert [ask(f'{url}/health')[0] for _ in range(5)] == [200] * 5
    finally:
        process.kill()
        _, errors = process.communicate()
    assert 'Too many open files' not in errors


def test_limits_leave_descriptors_for_files():
    for descriptors in (64, 256, 1024, 1 << 20):
        limits = ConnectionLimits.for_descriptors(descriptors)
        assert 6 <= limits.per_client <= limits.total <= 1024
        assert descriptors < 200 or limits.total + limits.backlog + 64 <= descriptors


@pytest.mark.parametrize('start', [b'', b'G', b'GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: '])
def test_headers_that_do_not_end_are_given_up(start):
    with running(small_app(), timeouts=Timeouts(headers=0.3)) as url:
        assert raw_request(url, start).startswith(b'HTTP/1.1 408 ')
        # Nor after an answer, on the same connection.
        whole = b'GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'
        answer = raw_request(url, whole, start or b'G', pause=0.2)
        assert answer.startswith(b'HTTP/1.1 200 ') and b'HTTP/1.1 408 ' in answer


def test_one_byte_now_and_then_does_not_buy_time():
    running_server = running(small_app(), timeouts=Timeouts(headers=0.5))
    with running_server as url, connect(url) as connection, pytest.raises(ConnectionError):
        for byte in b'GET /health HTTP/1.1\r\n' * 20:
            connection.sendall(bytes([byte]))
            time.sleep(0.1)


def test_a_client_that_does_not_read_its_answer_is_given_up():
    with running(small_app(), timeouts=Timeouts(silence=0.3)) as url, connect(url) as connection:
        connection.sendall(b'GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
        time.sleep(2)
        size = 0
        with contextlib.suppress(ConnectionError):
            while block := connection.recv(1 << 20):
                size += len(block)
        assert size < LARGE


def test_the_oldest_connection_without_a_request_makes_room_and_one_with_a_request_does_not():
    with running(small_app(), limits=ConnectionLimits(4, 4, 16)) as url, contextlib.ExitStack() as stack:
        busy = stack.enter_context(connect(url))
        busy.sendall(b'GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
        time.sleep(0.3)
        idle = [stack.enter_context(connect(url)) for _ in range(6)]
        time.sleep(0.3)
        assert ask(f'{url}/health')[0] == 200
        idle[0].settimeout(10)
        with contextlib.suppress(ConnectionError):
            assert idle[0].recv(1) == b''
        size = 0
        while size < LARGE and (block := busy.recv(1 << 20)):
            size += len(block)
        assert size >= LARGE
