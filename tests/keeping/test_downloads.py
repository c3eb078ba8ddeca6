"""Downloads against a real server on this machine."""

import hashlib
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers_refusals import refused
from helpers_serving import web_server

from miqa.keeping import downloads
from miqa.keeping.downloads import DownloadError, download

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    """A server of one file, which fails, cuts what it sends, or gives another page as it is told."""
    monkeypatch.setattr(downloads.time, 'sleep', lambda seconds: None)
    told = types.SimpleNamespace(content=CONTENT, ranges=True, page=False, cuts=[], failures=[], requests=[])

    def answer(handler):
        expected = handler.headers.get('Range')
        told.requests.append(expected)
        if told.failures:
            handler.send_error(told.failures.pop(0))
            return
        content = b'<html>quota exceeded</html>' if told.page else told.content
        start = int(expected.removeprefix('bytes=').removesuffix('-')) if expected and told.ranges else 0
        if start and start >= len(content):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        handler.send_header('Content-Length', str(len(content) - start))
        handler.send_header('Content-Type', 'text/html' if told.page else 'application/octet-stream')
        handler.end_headers()
        handler.wfile.write(content[start : told.cuts.pop(0) if told.cuts else len(content)])

    with web_server(answer) as (address, _):
        told.url = f'http://{address}/file.bin'
        yield told


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
    expected = 'not the expected file.*Move it away'
    refused(DownloadError, expected, download, server.url, tmp_path / 'file.bin', SHA256, progress=False)
    assert (tmp_path / 'file.bin').read_bytes() == b'mine' and server.requests == []


def test_a_busy_server_is_tried_again(server, fetch):
    server.failures = [503, 429]
    fetch()
    assert len(server.requests) == 3


def test_a_missing_file_is_reported_at_once(server, tmp_path):
    server.failures = [404] * 9
    expected = f'404.*put it at {tmp_path}/file.bin'
    refused(DownloadError, expected, download, server.url, tmp_path / 'file.bin', SHA256, progress=False)
    assert len(server.requests) == 1


def test_a_server_that_always_fails_is_given_up(server, tmp_path):
    server.failures = [503] * 9
    refused(DownloadError, '503.*5 times', download, server.url, tmp_path / 'file.bin', SHA256, progress=False)


def test_without_a_connection_the_message_says_what_to_put_where(tmp_path):
    url, path = 'http://127.0.0.1:1/file.bin', tmp_path / 'file.bin'
    message = str(refused(DownloadError, url, download, url, path, SHA256, progress=False))
    assert f'put it at {path}' in message and SHA256 in message


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
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(download, [server.url] * 4, [tmp_path / 'file.bin'] * 4, [SHA256] * 4, [False] * 4))
    assert server.requests == [None] and (tmp_path / 'file.bin').read_bytes() == CONTENT


NO_WEIGHTS = {
    'empty': ('best.pth', b''), 'page': ('best.pth', b'  <!DOCTYPE html><p>log in</p>'),
    'page with a mark': ('best.pth', b'\xef\xbb\xbf<HTML>quota</HTML>'),
    'JSON': ('best.pth', b'{"error": "not found"}'),
    'XML': ('best.pth', b'\n\n<?xml version="1.0"?>'), 'half a zip': ('best.pth', b'PK\x03\x04' + CONTENT),
    'text': ('net.bin', b'Rate limit exceeded'), 'other text': ('net.safetensors', b'version https://git-lfs'),
    'half a safetensors': ('net.safetensors', b'\x20\0\0\0\0\0\0\0{"a":'),
}  # fmt: skip


@pytest.mark.parametrize(('name', 'content'), NO_WEIGHTS.values(), ids=NO_WEIGHTS)
def test_a_download_that_is_not_a_weights_file_is_not_kept_whatever_its_type(server, fetch, tmp_path, name, content):
    server.content = content
    refused(DownloadError, 'discarded', download, server.url, tmp_path / name, progress=False)
    assert names_in(tmp_path) == []
    server.content = b'\x80' + CONTENT
    fetch(None, 'best.pth')


def test_a_page_that_was_kept_in_place_of_a_file_is_fetched_anew(fetch, tmp_path):
    (tmp_path / 'file.bin').write_bytes(b'<html>')
    fetch(None)
