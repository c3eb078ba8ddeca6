"""Addresses: files behind them, bounded and named without secrets, and which may be asked for others."""

import json
import time
from pathlib import Path

import pytest
from helpers_apis import status_of, write_photos
from helpers_refusals import refused
from helpers_serving import files, web_server
from helpers_videos import Brightness, write_video

from miqa.keeping.downloads import DownloadError, download
from miqa.outside.addresses import AddressRefused, AllowedAddresses, is_public, redact_url
from miqa.outside.fetching import FetchError, fetch, file_name_of
from miqa.pictures import read_image

SECRETS = ('hunter2', 's3cret', 't0ken')


@pytest.mark.parametrize(('text', 'expected'), [
    ('rtsp://me:hunter2@10.0.0.2:554/live?token=t0ken', 'rtsp://10.0.0.2:554/live?...'),
    ('https://host/a.jpg?X-Amz-Signature=s3cret#part', 'https://host/a.jpg?...'),
    ('https://host/a.jpg', 'https://host/a.jpg'),
    ('http://t0ken@host', 'http://host'),
    ('http://me:hun@ter2s3cret@host/x', 'http://host/x'),
    ('http://me:s3cret/hunter2@host/x', 'http://host/x'),
    ('http://me:s3cret?hunter2@host:80/x?t0ken', 'http://host:80/x?...'),
    ('http://me:s3cret#hunter2@host/x', 'http://host/x'),
    ('http://host/x?mail=me@s3cret', 'http://host/x?...'),
    ('http://[::1]:80/x?s3cret', 'http://[::1]:80/x?...'),
    ("cannot open 'rtsp://a:hunter2@b/c': refused", "cannot open 'rtsp://b/c': refused"),
    ('one http://a:s3cret@b/ and http://c/?t0ken two', 'one http://b/ and http://c/?... two'),
    ('/home/me/https:/me:hunter2@host/a?t0ken', '/home/me/https://host/a?...'),
    ('/home/me/a.jpg C:/x@y', '/home/me/a.jpg C:/x@y'),
])  # fmt: skip
def test_addresses_are_named_without_their_secrets(text, expected):
    assert redact_url(text) == expected
    assert not any(secret in redact_url(text) for secret in SECRETS)


def test_a_file_is_fetched_with_its_password_sent_to_that_host_only(tmp_path):
    with web_server(files({'/a b.bin': b'x' * 1000, '/a%20b.bin': b'x' * 1000})) as (host, seen):
        result = fetch(f'http://me:hunter2@{host}/a%20b.bin?s=t0ken', tmp_path / 'a', max_bytes=1000)
        assert result.read_bytes() == b'x' * 1000
        assert seen[0][0] == '/a%20b.bin?s=t0ken' and seen[0][1]['Authorization'] == 'Basic bWU6aHVudGVyMg=='

        with web_server(leading_to(f'http://localhost:{host.partition(":")[2]}/a%20b.bin')) as (first, _):
            fetch(f'http://me:hunter2@{first}/x', tmp_path / 'b', max_bytes=1000)
        assert 'Authorization' not in seen[1][1]
    assert file_name_of('http://h/a/b%2F..%2Fc d.jpg?x') == 'c_d.jpg' and file_name_of('http://h/') == 'unnamed'


def answering(text):
    return lambda handler: handler.wfile.write(text.encode())


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b'x' * 65536)


def short(handler):
    handler.send_response(200)
    handler.send_header('Content-Length', '1000')
    handler.end_headers()
    handler.wfile.write(b'x' * 10)


def slow(handler):
    handler.send_response(200)
    handler.end_headers()
    for _ in range(40):
        handler.wfile.write(b'x')
        handler.wfile.flush()
        time.sleep(0.05)


def leading_to(place):
    return answering(f'HTTP/1.0 302 Found\r\nLocation: {place}\r\n\r\n')


def dribbling(content):
    """Answer with these bytes, one at a time, for ever."""

    def answer(handler):
        for byte in content:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(0.02)

    return answer


@pytest.mark.parametrize(('answer', 'sentence'), [
    (endless, 'is too large: at most 5,000 bytes'),
    (files({'/x': b'x' * 5001}), 'is too large: 5,001 bytes'),
    (files({}), 'the server answers 404'),
    (short, 'ended early|IncompleteRead'),
    (slow, 'takes too long'),
    (leading_to('file:///etc/passwd'), 'leads to something that is not a web address|answers 302'),
    # Each byte begins a socket's timeout anew.
    (dribbling(b'HTTP/1.1 200 OK\r\nX: ' + b'a' * 1000), 'takes too long: it did not come in 0.5 seconds'),
    (dribbling(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' + b'0' * 1000), 'takes too long'),
    (answering('HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n\r\nhello'), 'answers 206'),
    (answering('HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello'), r'packed \(gzip\)'),
    (answering('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhello'), 'ended early'),
    (answering('HELLO /x?key=t0ken me:hunter2\r\n'), 'what answers is no web server'),
    (answering('HTTP/1.1 302 Found\r\nLocation: http://me:hunter2@/t0ken\r\n\r\n'), 'its form is not that'),
    (answering('HTTP/1.1 302 Found\r\nLocation: /x?key=t0ken\r\n\r\n'), 'leads to cannot be followed'),
])  # fmt: skip
def test_downloads_are_bounded_and_whole_and_their_errors_name_no_secret(tmp_path, answer, sentence):
    with web_server(answer) as (host, _), pytest.raises(FetchError, match=sentence) as caught:
        fetch(f'http://me:hunter2@{host}/x?key=t0ken', tmp_path / 'a', max_bytes=5000, seconds=0.5)
    assert f'http://{host}/x?...' in str(caught.value)
    assert not any(secret in str(caught.value) for secret in SECRETS) and not (tmp_path / 'a').exists()


@pytest.mark.parametrize(
    'url',
    ["http://me:hun'ter2@127.0.0.1:1/x", 'http://me:x hunter2@127.0.0.1:1/', 'http://me:{hunter2}`|\\^"<>@127.0.0.1:1/',
     'http://127.0.0.1:1/a b?t0ken', 'http://me:hunter2/?t0ken', 'http://[zz]/?t0ken', 'http://a:99999/?t0ken',
     'http://me:hunter2@/x', 'http://..../?t0ken'],
)  # fmt: skip
def test_addresses_that_are_wrong_are_named_without_their_secrets(tmp_path, url):
    with pytest.raises(FetchError) as caught:
        fetch(url, tmp_path / 'a', max_bytes=10, seconds=2)
    assert not any(secret in str(caught.value) for secret in (*SECRETS, 'ter2'))
    with pytest.raises(DownloadError) as caught:
        download(url, tmp_path / 'b', progress=False)
    assert not any(secret in str(caught.value) for secret in (*SECRETS, 'ter2'))


def test_spaces_and_letters_of_other_languages_in_addresses_are_understood(tmp_path):
    with web_server(files({'/a%20b/%C3%BC.bin': b'abc\0'})) as (host, _):
        assert fetch(f'http://{host}/a b/ü.bin', tmp_path / 'a', max_bytes=9).read_bytes() == b'abc\0'
        # Downloads of weights send the name and password too.
        assert download(f'http://me:hunter2@{host}/a b/ü.bin', tmp_path / 'b', progress=False).read_bytes() == b'abc\0'


def test_only_addresses_on_the_list_are_asked_for_others():
    allowed = AllowedAddresses(['https://images.example.com/public/', 'http://10.0.0.5:8080/'])
    for path in (
        'https://images.example.com/public/a.jpg?x=1',
        'http://10.0.0.5:8080/a',
        'HTTPS://IMAGES.example.com/public/',
    ):
        allowed.check(path)
    for url in (
        'https://images.example.com/private/a', 'http://images.example.com/public/a', 'https://images.example.com:444/public/a',
        'https://images.example.com.evil.example/public/a', 'https://images.example.com@evil.example/public/a',
        'https://evil.example\\@images.example.com/public/a', 'https://images.example.com/public/../private/a',
        'https://images.example.com/public/%2e%2e/private/a', 'https://images.example.com/public/%252e%252e/a',
        'file:///etc/passwd', 'ftp://images.example.com/public/a', '//images.example.com/public/a', '',
        'http://10.0.0.5/a', 'https://images.example.com/public/a\r\nX: y', 'gopher://10.0.0.5:8080/',
    ):  # fmt: skip
        refused(AddressRefused, 'is not on the list', allowed.check, url)
    for entry in ('images.example.com', 'ftp://a/', 'https://me:s3cret@a/', 'https://a/?x'):
        assert 's3cret' not in str(refused(ValueError, 'cannot be on the list', AllowedAddresses, [entry]))


def test_names_on_the_list_lead_into_no_private_network(tmp_path):
    with web_server(files({'/x': b'abc'})) as (host, seen):
        port = host.partition(':')[2]
        allowed = AllowedAddresses([f'http://localhost:{port}/'])
        with pytest.raises(AddressRefused, match='localhost leads to an address that this server may not ask'):
            fetch(f'http://localhost:{port}/x', tmp_path / 'a', max_bytes=9, allowed=allowed)
        assert seen == []
        private = AllowedAddresses([f'http://localhost:{port}/'], private=True)
        fetch(f'http://localhost:{port}/x', tmp_path / 'b', max_bytes=9, allowed=private)
        fetch(f'http://{host}/x', tmp_path / 'c', max_bytes=9, allowed=AllowedAddresses([f'http://{host}/']))
        assert len(seen) == 2

    with web_server(leading_to('/x')) as (host, seen), pytest.raises(AddressRefused, match='leads elsewhere'):
        fetch(f'http://{host}/y', tmp_path / 'd', max_bytes=9, allowed=AllowedAddresses([f'http://{host}/']))


def test_addresses_that_hold_private_ones_are_private():
    private = (
        '127.0.0.1', '10.1.2.3', '169.254.169.254', '::1', 'fe80::1%eth0', 'fd00::1', '::ffff:127.0.0.1', '0.0.0.0',
        '2002:7f00:1::', '64:ff9b::7f00:1', '100.64.0.1', '224.0.0.1', 'ff02::1', '192.168.0.1',
    )  # fmt: skip
    assert not any(map(is_public, private))
    assert all(map(is_public, ('8.8.8.8', '2606:4700::1111', '64:ff9b::808:808')))


def test_pictures_behind_addresses_are_scored_like_files_and_named_without_secrets(tmp_path, weights, capsys):
    photo = write_photos(tmp_path / 'photos', 1)[0]
    content = Path(photo).read_bytes()
    options = ['--weights', weights, '--workers', '0', '--quiet']
    with web_server(files({'/a.png': content})) as (host, _):
        url = f'http://me:hunter2@{host}/a.png?sig=t0ken'
        assert status_of('image', photo, url, '--json', *options) == 0
        local, remote = map(json.loads, capsys.readouterr().out.splitlines())
        assert local['score'] == pytest.approx(remote['score'], abs=1e-5)
        assert remote['image'] == f'http://{host}/a.png?...'
        out = tmp_path / 'scores.csv'
        made = ['--annotated', str(tmp_path / 'marked')]
        assert status_of('image', url, f'http://{host}/missing?t0ken', '--out', str(out), *made, *options) == 3
        assert status_of('image', url, '--max-download', '0.0001', *options) == 3
    output = capsys.readouterr()
    everything = output.out + output.err + out.read_text() + ' '.join(map(str, tmp_path.rglob('*')))
    assert 'the server answers 404' in everything and not any(secret in everything for secret in SECRETS)
    assert len(list((tmp_path / 'marked').rglob('*.png'))) == 1


def test_addresses_that_differ_in_their_secrets_alone_are_several_pictures(tmp_path, weights):
    photos = [Path(photo).read_bytes() for photo in write_photos(tmp_path / 'photos', 2)]

    def answer(handler):
        files({'/get': photos[int(handler.path[-1])]})(handler)

    out = tmp_path / 'scores.jsonl'
    with web_server(answer) as (host, _):
        urls = [f'http://{host}/get?t0ken&id={number}' for number in (0, 1, 0)]
        made = ['--annotated', str(tmp_path / 'marked'), '--weights', weights, '--workers', '0', '--quiet']
        assert status_of('image', *urls, '--out', str(out), *made) == 0
        assert status_of('image', *urls, '--out', str(out), *made) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row['image'] for row in rows] == [f'http://{host}/get?...', f'http://{host}/get?... (2)']
    assert rows[0]['score'] != rows[1]['score'] and len(list((tmp_path / 'marked').rglob('*.png'))) == 2


def test_a_video_behind_an_address_is_scored_like_a_file(tmp_path, weights, capsys):
    path = write_video(tmp_path / 'a.avi', [0.3, 0.6] * 10)
    options = ['--weights', weights, '--quiet', '--json']
    with web_server(files({'/v/a.avi': path.read_bytes(), '/b.avi': b'#EXTM3U\nhttp://127.0.0.1/'})) as (host, _):
        url = f'http://me:hunter2@{host}/v/a.avi?sig=t0ken'
        assert status_of('video', str(path), *options) == 0
        assert status_of('video', url, '--out', str(tmp_path / 'reports'), *options) == 0
        local, remote = map(json.loads, capsys.readouterr().out.splitlines())
        assert remote['frame_results'] == local['frame_results']
        assert remote['video_path'] == f'http://{host}/v/a.avi?...' and remote['video_name'] == 'a.avi'
        assert status_of('video', f'http://{host}/b.avi?t0ken', *options) == 3
    output = capsys.readouterr()
    assert f'http://{host}/b.avi?... is not a video' in output.err
    written = ''.join(file.read_text() for file in (tmp_path / 'reports').iterdir() if file.suffix in ('.json', '.csv'))
    assert not any(secret in output.out + output.err + written for secret in SECRETS)


@pytest.mark.parametrize('message', [
    ['filter', 'ADDRESS', '--keep', '1'], ['image', 'a.png', '--out', 'ADDRESS.csv'],
    ['image', 'a.png', '--model', 'ADDRESS'], ['filter', '.', '--keep', '1', '--to', 'ADDRESS'],
    ['label', 'ADDRESS', '--out', 'x', '--task', 'cls', '--machine', 'ADDRESS'], ['gate', 'show', 'ADDRESS'],
    ['gate', 'fit', 'ADDRESS'], ['image', 'a.png', '--weights', 'ADDRESS'],
    ['export', 'x.onnx', '--model', 'ADDRESS'],
])  # fmt: skip
def test_addresses_where_none_belong_are_named_without_secrets_and_become_no_folders(
    message, tmp_path, weights, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / 'photos', 1)
    (tmp_path / 'photos' / '000.png').rename(tmp_path / 'a.png')
    more = [] if {'--model', '--weights', 'gate', 'label'} & set(message) else ['--weights', weights]
    status = status_of(*(word.replace('ADDRESS', 'https://me:hunter2@127.0.0.1:1/x') for word in message), *more)
    output = capsys.readouterr()
    assert status in (1, 2, 3) and '127.0.0.1' in output.err
    assert not any(secret in output.out + output.err for secret in SECRETS)
    assert not any('hunter2' in str(path) for path in tmp_path.rglob('*'))


def test_a_path_that_is_an_address_is_named_without_secrets_where_files_are_read():
    from miqa.apis.video.assess import VideoMIQA

    for read in (read_image, VideoMIQA(model=Brightness()).assess_video):
        with pytest.raises(FileNotFoundError, match=r'https://host/a\?\.\.\. is an address') as caught:
            read('https://me:hunter2@host/a?t0ken')
        assert not any(secret in str(caught.value) for secret in SECRETS)
