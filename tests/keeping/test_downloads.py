"""Downloads against a real server on this machine."""

import hashlib
import http.server
import threading
from pathlib import Path

import pytest
from helpers_refusals import refused

from miqa.keeping import downloads
from miqa.keeping.downloads import DownloadError, download

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        server = self.server
        server.requests.append(self.headers.get('Range'))
        start = 0
        if server.page:
            self._answer(200, b'<html>quota exceeded</html>', 'text/html')
            return
        if server.failures:
            self.send_error(server.failures.pop(0))
            return
        content = server.content
        wanted = self.headers.get('Range')
        if wanted and server.ranges:
            start = int(wanted.removeprefix('bytes=').removesuffix('-'))
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header('Content-Length', str(len(content) - start))
        self.send_header('Content-Type', 'application/octet-stream')
        self.end_headers()
        stop = server.cuts.pop(0) if server.cuts else len(content)
        self.wfile.write(content[start:stop])

    def _answer(self, code, body, kind):
        self.send_response(code)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloads.time, 'sleep', lambda seconds: None)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as found:
        found.content, found.requests, found.cuts, found.failures = CONTENT, [], [], []
        found.ranges, found.page = True, False
        found.url = f'http://127.0.0.1:{found.server_address[1]}/file.bin'
        thread = threading.Thread(target=found.serve_forever, kwargs={'poll_interval': 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith('.lock'))


@pytest.fixture
def fetch(server, tmp_path):
    """Return a function that fetches the file and looks at what came."""

    def fetched(sha256=SHA256, name='file.bin'):
        assert download(server.url, tmp_path / name, sha256, progress=False).read_bytes() == server.content

    return fetched


def test_a_file_arrives_whole_and_is_not_fetched_twice(server, tmp_path):
    path = download(server.url, tmp_path / 'new' / 'file.bin', SHA256, progress=False)
    assert path.read_bytes() == CONTENT
    download(server.url, path, SHA256.upper(), progress=False)
    assert server.requests == [None]
    assert names_in(path.parent) == ['file.bin']


def test_a_broken_connection_goes_on_where_it_stopped(server, fetch):
    server.cuts = [300_000, 700_000]
    fetch()
    assert server.requests == [None, 'bytes=300000-', 'bytes=700000-']


@pytest.mark.parametrize(('done', 'ranges'), [(500_000, True), (500_000, False), (len(CONTENT), True)])
def test_a_killed_download_goes_on_in_the_next_run_or_begins_anew_where_the_server_has_no_ranges(
    server, fetch, tmp_path, done, ranges
):
    server.ranges = ranges
    (tmp_path / 'file.bin.part').write_bytes(CONTENT[:done])
    fetch()
    assert server.requests == ([f'bytes={done}-'] if done < len(CONTENT) else server.requests)


def test_a_wrong_digest_discards_what_came(server, tmp_path):
    server.content = CONTENT[:-1] + b'x'
    refused(DownloadError, 'was discarded', download, server.url, tmp_path / 'file.bin', SHA256, progress=False)
    assert names_in(tmp_path) == []


def test_a_file_of_the_users_is_never_overwritten(server, tmp_path):
    (tmp_path / 'file.bin').write_bytes(b'mine')
    with pytest.raises(DownloadError, match='not the expected file.*Move it away'):
        download(server.url, tmp_path / 'file.bin', SHA256, progress=False)
    assert (tmp_path / 'file.bin').read_bytes() == b'mine'
    assert server.requests == []


def test_a_busy_server_is_asked_again(server, fetch):
    server.failures = [503, 429]
    fetch()
    assert len(server.requests) == 3


def test_a_missing_file_is_said_at_once(server, tmp_path):
    server.failures = [404] * 9
    with pytest.raises(DownloadError, match=f'404.*put it at {tmp_path}/file.bin'):
        download(server.url, tmp_path / 'file.bin', SHA256, progress=False)
    assert len(server.requests) == 1


def test_a_server_that_always_fails_is_given_up(server, tmp_path):
    server.failures = [503] * 9
    refused(DownloadError, '503.*5 times', download, server.url, tmp_path / 'file.bin', SHA256, progress=False)


def test_without_a_connection_the_message_says_what_to_put_where(tmp_path):
    with pytest.raises(DownloadError) as caught:
        download('http://127.0.0.1:1/file.bin', tmp_path / 'file.bin', SHA256, progress=False)
    for part in ('http://127.0.0.1:1/file.bin', f'put it at {tmp_path}/file.bin', SHA256):
        assert part in str(caught.value)


def test_a_web_page_in_place_of_the_file_is_refused(server, tmp_path):
    server.page = True
    refused(DownloadError, 'a web page came instead', download, server.url, tmp_path / 'file.bin', progress=False)
    assert names_in(tmp_path) == []


def test_without_a_digest_the_length_is_checked(server, fetch):
    server.cuts = [10]
    fetch(None)
    assert server.requests == [None, 'bytes=10-']


def test_a_digest_must_be_one(tmp_path):
    refused(ValueError, 'not a SHA-256', download, 'http://127.0.0.1:1/x', tmp_path / 'x', 'abc')


def test_of_several_callers_one_fetches(server, tmp_path):
    threads = [
        threading.Thread(target=download, args=(server.url, tmp_path / 'file.bin', SHA256, False)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.requests == [None]
    assert (tmp_path / 'file.bin').read_bytes() == CONTENT


NO_WEIGHTS = {
    'empty': b'', 'page': b'  <!DOCTYPE html><p>log in</p>', 'page with a mark': b'\xef\xbb\xbf<HTML>quota</HTML>',
    'JSON': b'{"error": "not found"}', 'XML': b'\n\n<?xml version="1.0"?>',
}  # fmt: skip


@pytest.mark.parametrize('content', NO_WEIGHTS.values(), ids=NO_WEIGHTS)
def test_what_is_no_weights_file_is_not_kept_whatever_type_the_server_says(server, fetch, tmp_path, content):
    server.content = content
    refused(DownloadError, 'discarded', download, server.url, tmp_path / 'best.pth', progress=False)
    assert names_in(tmp_path) == []
    server.content = b'PK\x03\x04' + CONTENT
    fetch(None, 'best.pth')


def test_a_page_that_was_kept_in_place_of_a_file_is_fetched_anew(fetch, tmp_path):
    (tmp_path / 'file.bin').write_bytes(b'<html>')
    fetch(None)
