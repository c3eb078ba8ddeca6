"""To which names the server answers, and what it leaves behind: requests to a server that really listens."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_serving import ask, png, raw_request, running

pytest.importorskip('fastapi', reason="no FastAPI (pip install 'miqa[serve]')")

from miqa.serving.allowed_hosts import AllowedHosts
from miqa.serving.application import build_app


@pytest.fixture(scope='module')
def url(model):
    with running(build_app(model, page=True)) as address:
        yield address


@pytest.mark.parametrize(
    'host', ['evil.example', 'evil.example:7860', '10.0.0.1', 'localhost.evil.example', '', 'a@127.0.0.1']
)
@pytest.mark.parametrize('path', ['/', '/health', '/info', '/score', '/docs'])
def test_a_foreign_host_is_refused(url, host, path):
    assert ask(url + path, headers={'Host': host})[0] in (400, 403)
    assert ask(url + path, b'{}', {'Host': host})[0] in (400, 403)


def test_pages_of_other_servers_may_not_ask(url):
    port = url.rpartition(':')[2]
    for origin in ('http://evil.example', 'null', 'https://127.0.0.1.evil.example'):
        assert ask(f'{url}/info', headers={'Origin': origin})[0] == 403
    for origin in (url, f'http://localhost:{port}'):
        assert ask(f'{url}/info', headers={'Origin': origin})[0] == 200


def test_names_of_this_server_are_known():
    local, everywhere = AllowedHosts('127.0.0.1'), AllowedHosts('0.0.0.0', ['miqa.example'])
    assert all(name in local for name in ('127.0.0.1:7860', 'localhost', '[::1]:80', 'LOCALHOST:1'))
    assert all(name in everywhere for name in ('10.1.2.3:80', 'miqa.example', socket.gethostname()))
    assert 'miqa.example' not in local and 'evil.example' not in everywhere and '10.1.2.3' not in local


@pytest.mark.parametrize('name', ['a b', '', 'miqa.example:8443', 'https://miqa.example', 'miqa.example/x'])
def test_a_name_that_no_request_can_have_is_refused(name):
    with pytest.raises(ValueError, match='is not the name of a host'):
        AllowedHosts('127.0.0.1', [name])


@pytest.mark.parametrize(('host', 'status'), [('127.0.0.1', 200), ('evil.example', 403)])
def test_an_address_in_the_first_line_counts_in_place_of_the_header_host(url, host, status):
    asked = f'GET http://{host}/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
    assert raw_request(url, asked.encode()).startswith(b'HTTP/1.1 %d ' % status)


@pytest.mark.parametrize('method', ['GET', 'HEAD', 'OPTIONS'])
def test_load_balancers_ask_by_http_1_0_without_a_host(url, method):
    for path in ('/health', '/'):
        assert raw_request(url, f'{method} {path} HTTP/1.0\r\n\r\n'.encode()).startswith(b'HTTP/1.1 200 ')
    # A browser, which foreign pages can make ask, always sends one; everything else needs it.
    for rest, status in (
        ('/info HTTP/1.0', 403), ('/health HTTP/1.1', 400), ('/health HTTP/1.0\r\nHost: evil.example', 403),
    ):  # fmt: skip
        assert raw_request(url, f'{method} {rest}\r\n\r\n'.encode()).startswith(b'HTTP/1.1 %d ' % status)


def test_the_command_starts_behind_a_proxy_and_leaves_nothing_behind_after_ctrl_c(tmp_path):
    temporary = tmp_path / 'tmp'
    temporary.mkdir()
    nobody = '127.0.0.1:9'
    proxies = {'http_proxy': f'http://{nobody}', 'HTTPS_PROXY': f'http://{nobody}', 'ALL_PROXY': f'socks5://{nobody}'}
    command = ['-m', 'miqa', 'serve', '--port', '0']
    process = subprocess.Popen(
        [sys.executable, *command], env={**os.environ, **proxies, 'TMPDIR': str(temporary)}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        assert 'The page is at http://127.0.0.1:' in line, line + process.stderr.read()
        url = line.split()[4]
        assert ask(url)[0] == 200 and ask(f'{url}/score', png())[0] == 200
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGINT
    assert [entry.name for entry in temporary.iterdir() if entry.name.startswith('miqa')] == []
