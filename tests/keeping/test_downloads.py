"""Downloads against a real server on this machine."""

import hashlib
import http.server
import threading
from pathlib import Path

import pytest

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


def test_a_file_arrives_whole_and_is_not_fetched_twice(server, tmp_path):
    path = download(server.url, tmp_path / 'new' / 'file.bin', SHA256, progress=False)
    assert path.read_bytes() == CONTENT
    download(server.url, path, SHA256.upper(), progress=False)
    assert server.requests == [None]
    assert names_in(path.parent) == ['file.bin']


def test_a_broken_connection_goes_on_where_it_stopped(server, tmp_path):
    server.cuts = [300_000, 700_000]
    download(server.url, tmp_path / 'file.bin', SHA256, progress=False)
    assert server.requests == [None, 'bytes=300000-', 'bytes=700000-']
    assert (tmp_path / 'file.bin').read_bytes() == CONTENT


def test_a_killed_download_goes_on_in_the_next_run(server, tmp_path):
    (tmp_path / 'file.bin.part').write_bytes(CONTENT[:500_000])
    download(server.url, tmp_path / 'file.bin', SHA256, progress=False)
    assert server.requests == ['bytes=500000-']
    assert (tmp_path / 'file.bin').read_bytes() == CONTENT


def test_a_whole_part_file_only_gets_its_name(server, tmp_path):
    (tmp_path / 'file.bin.part').write_bytes(CONTENT)
    download(server.url, tmp_path / 'file.bin', SHA256, progress=False)
    assert (tmp_path / 'file.bin').read_bytes() == CONTENT


def test_a_server_without_ranges_sends_the_file_anew(server, tmp_path):
    server.ranges = False
    (tmp_path / 'file.bin.part').write_bytes(CONTENT[:500_000])
    download(server.url, tmp_path / 'file.bin', SHA256, progress=False)
    assert (tmp_path / 'file.bin').read_bytes() == CONTENT


def test_a_wrong_digest_discards_what_came(server, tmp_path):
    server.content = CONTENT[:-1] + b'x'
    with pytest.raises(DownloadError, match='was discarded'):
        download(server.url, tmp_path / 'file.bin', SHA256, progress=False)
    assert names_in(tmp_path) == []


def test_a_file_of_the_users_is_never_overwritten(server, tmp_path):
    (tmp_path / 'file.bin').write_bytes(b'mine')
    with pytest.raises(DownloadError, match='not the expected file.*Move it away'):
        download(server.url, tmp_path / 'file.bin', SHA256, progress=False)
    assert (tmp_path / 'file.bin').read_bytes() == b'mine'
    assert server.requests == []


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.failures = [503, 429]
    download(server.url, tmp_path / 'file.bin', SHA256, progress=False)
    assert len(server.requests) == 3


def test_a_missing_file_is_said_at_once(server, tmp_path):
    server.failures = [404] * 9
    with pytest.raises(DownloadError, match=f'404.*put it at {tmp_path}/file.bin'):
        download(server.url, tmp_path / 'file.bin', SHA256, progress=False)
    assert len(server.requests) == 1


def test_a_server_that_always_fails_is_given_up(server, tmp_path):
    server.failures = [503] * 9
    with pytest.raises(DownloadError, match='503.*5 times'):
        download(server.url, tmp_path / 'file.bin', SHA256, progress=False)


def test_without_a_connection_the_message_says_what_to_put_where(tmp_path):
    with pytest.raises(DownloadError) as caught:
        download('http://127.0.0.1:1/file.bin', tmp_path / 'file.bin', SHA256, progress=False)
    for part in ('http://127.0.0.1:1/file.bin', f'put it at {tmp_path}/file.bin', SHA256):
        assert part in str(caught.value)


def test_a_web_page_in_place_of_the_file_is_refused(server, tmp_path):
    server.page = True
    with pytest.raises(DownloadError, match='a web page came instead'):
        download(server.url, tmp_path / 'file.bin', progress=False)
    assert names_in(tmp_path) == []


def test_without_a_digest_the_length_is_checked(server, tmp_path):
    server.cuts = [10]
    assert download(server.url, tmp_path / 'file.bin', progress=False).read_bytes() == CONTENT
    assert server.requests == [None, 'bytes=10-']


def test_a_digest_must_be_one(tmp_path):
    with pytest.raises(ValueError, match='not a SHA-256'):
        download('http://127.0.0.1:1/x', tmp_path / 'x', 'abc')


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


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'  <!DOCTYPE html><p>log in</p>',
        b'\xef\xbb\xbf<HTML>quota</HTML>',
        b'{"error": "not found"}',
        b'\n\n<?xml version="1.0"?>',
    ],
    ids=['empty', 'page', 'page with a mark', 'JSON', 'XML'],
)
def test_what_is_no_weights_file_is_not_kept_whatever_type_the_server_says(server, tmp_path, content):
    server.content = content
    with pytest.raises(DownloadError, match='discarded'):
        download(server.url, tmp_path / 'best.pth', progress=False)
    assert names_in(tmp_path) == []
    server.content = b'PK\x03\x04' + CONTENT
    download(server.url, tmp_path / 'best.pth', progress=False)
    assert (tmp_path / 'best.pth').read_bytes() == server.content


def test_a_page_that_was_kept_in_place_of_a_file_is_fetched_anew(server, tmp_path):
    (tmp_path / 'file.bin').write_bytes(b'<html>')
    download(server.url, tmp_path / 'file.bin', progress=False)
    assert (tmp_path / 'file.bin').read_bytes() == CONTENT
