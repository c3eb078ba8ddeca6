"""What the page gives away, and to whom: requests to a server that really listens."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest
from helpers_apis import write_run
from helpers_videos import Brightness, write_video
from PIL import Image

pytest.importorskip('gradio', reason="no Gradio (pip install 'miqa[serve]')")

from helpers_serving import running_page

from miqa.serving.desk import Limits
from miqa.serving.doorman import Hosts
from miqa.serving.uploads import NOT_UPLOADED, NotUploaded, Uploads, private_folder

META = {'_type': 'gradio.FileData'}


def fetch(url, data=None, headers=None, method=None):
    """Return (status, body) of a request that no proxy sees."""
    request = urllib.request.Request(url, data=data, headers=headers or {}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def upload(url, name, content):
    """Upload a file as the page in the browser does; return its path on the server."""
    boundary = uuid.uuid4().hex
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        'Content-Type: application/octet-stream\r\n\r\n'
    ).encode()
    body += content + f'\r\n--{boundary}--\r\n'.encode()
    status, answer = fetch(
        f'{url}/gradio_api/upload', body, {'Content-Type': f'multipart/form-data; boundary={boundary}'}
    )
    assert status == 200, answer
    return json.loads(answer)[0]


def ask(url, tab, *data):
    """Post to the queue of a tab (0 picture, 1 compare, 2 video) as anybody can; return the text of the answer."""
    config = json.loads(fetch(f'{url}/config')[1])
    files = {'image': 0, 'file': 1, 'video': 2}
    kinds = {component['id']: component['type'] for component in config['components']}
    index = next(
        entry['id']
        for entry in config['dependencies']
        if entry['inputs'] and files.get(kinds[entry['inputs'][0]]) == tab
    )
    session = uuid.uuid4().hex
    body = json.dumps({'data': list(data), 'fn_index': index, 'session_hash': session}).encode()
    status, answer = fetch(f'{url}/gradio_api/queue/join', body, {'Content-Type': 'application/json'})
    assert status == 200, answer
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f'{url}/gradio_api/queue/data?session_hash={session}', timeout=60) as lines:
        for line in lines:
            event = json.loads(line[5:]) if line.startswith(b'data:') else {}
            if event.get('msg') == 'process_completed':
                return event['success'], json.dumps(event['output'], ensure_ascii=False)
    raise AssertionError('the queue ended without an answer')


def png(value=0.6, size=(60, 40)):
    """The bytes of a grey PNG file."""
    import io

    buffer = io.BytesIO()
    Image.new('RGB', size, (round(255 * value),) * 3).save(buffer, 'PNG')
    return buffer.getvalue()


@pytest.fixture(scope='module')
def url():
    with running_page(lambda task, label: Brightness(), Limits(upload_mb=2)) as found:
        yield found


@pytest.fixture
def outside(tmp_path):
    """Things on the server that are no uploads, by what they are."""
    (tmp_path / 'secret.png').write_bytes(png())
    (tmp_path / 'link.png').symlink_to(tmp_path / 'secret.png')
    os.mkfifo(tmp_path / 'pipe.png')
    paths = {name: str(tmp_path / f'{name}.png') for name in ('secret', 'link', 'pipe', 'nothing')}
    return {**paths, 'folder': str(tmp_path), 'device': '/dev/zero', 'address': 'http://127.0.0.1:9/a.png', 'empty': ''}


TABS = [(0, 'cls', 'composite', False), (1, 'cls', 'composite'), (2, 'cls', 'composite', 30)]


@pytest.mark.parametrize(('tab', 'rest'), [(tab, rest) for tab, *rest in TABS])
def test_a_request_for_a_file_that_is_no_upload_learns_nothing_in_any_tab(url, outside, tab, rest):
    answers = set()
    for path in outside.values():
        for more in ({}, {'meta': META}, {'meta': META, 'is_stream': True}, {'meta': META, 'url': path}):
            file = {'path': path, **more}
            answers.add(ask(url, tab, [file] if tab == 1 else file, *rest))
    assert len(answers) == 1
    success, text = answers.pop()
    assert not success and NOT_UPLOADED in text


@pytest.mark.parametrize(
    'value', ['/etc/hostname', [['/etc/hostname']], {'x': {'path': '/etc/hostname', 'meta': META}}, 7]
)
def test_a_value_that_is_built_in_another_way_is_refused_like_one(url, value):
    success, text = ask(url, 0, value, 'cls', 'composite', False)
    assert not success and NOT_UPLOADED in text


def test_no_other_input_can_name_a_file(url):
    path = upload(url, 'a.png', png())
    for task in ({'path': '/etc/hostname', 'meta': META}, [{'path': '/etc/hostname', 'meta': META}]):
        success, text = ask(url, 0, {'path': path, 'meta': META}, task, 'composite', False)
        assert not success and 'Load the page again' in text


def test_a_link_among_the_uploads_is_judged_by_where_it_leads(url, outside):
    path = Path(upload(url, 'a.png', png()))
    link = path.with_name('b.png')
    link.symlink_to(outside['secret'])
    success, text = ask(url, 0, {'path': str(link), 'meta': META}, 'cls', 'composite', False)
    assert not success and NOT_UPLOADED in text
    climbing = f'{path.parent}/../../../..{outside["secret"]}'
    success, text = ask(url, 0, {'path': climbing, 'meta': META}, 'cls', 'composite', False)
    assert not success and NOT_UPLOADED in text


def test_what_was_uploaded_is_scored_in_every_tab(url, tmp_path):
    first, second = upload(url, 'a.png', png()), upload(url, 'b.png', png(0.2))
    assert '>0.600<' in ask(url, 0, {'path': first, 'meta': META}, 'cls', 'composite', False)[1]
    # Without meta, too: the path decides.
    assert '>0.600<' in ask(url, 0, {'path': first}, 'cls', 'composite', False)[1]
    files = [{'path': first, 'meta': META}, {'path': second, 'meta': META}]
    assert '0.600 · a.png' in ask(url, 1, files, 'cls', 'composite')[1]
    video = upload(url, 'a.avi', write_video(tmp_path / 'a.avi', [0.5] * 20).read_bytes())
    assert 'Mean of 20 frames' in ask(url, 2, {'path': video, 'meta': META}, 'cls', 'composite', 30)[1]


def test_files_are_given_out_only_from_the_uploads(url, outside):
    path = upload(url, 'a.png', png())
    assert fetch(f'{url}/gradio_api/file={path}') == (200, png())
    answers = {fetch(f'{url}/gradio_api/file={name}') for name in outside.values() if name}
    assert answers == {(404, json.dumps({'detail': NOT_UPLOADED}).encode())}


@pytest.mark.parametrize(
    'path', ['proxy=http://127.0.0.1:9/', 'component_server', 'run/predict', 'call/x', 'runs', 'mcp']
)
def test_what_the_page_does_not_need_is_not_there(url, path):
    assert fetch(f'{url}/gradio_api/{path}', b'{}', {'Content-Type': 'application/json'})[0] == 404


@pytest.mark.parametrize(
    'host', ['evil.example', 'evil.example:7860', '10.0.0.1', 'localhost.evil.example', '', 'a@127.0.0.1']
)
def test_a_foreign_host_is_refused(url, host):
    assert fetch(url, headers={'Host': host})[0] in (400, 403)
    assert fetch(f'{url}/gradio_api/queue/join', b'{}', {'Host': host})[0] in (400, 403)


def test_pages_of_other_servers_may_not_ask(url):
    port = url.rpartition(':')[2]
    for origin in ('http://evil.example', 'null', 'https://127.0.0.1.evil.example'):
        assert fetch(f'{url}/config', headers={'Origin': origin})[0] == 403
    for origin in (url, f'http://localhost:{port}'):
        assert fetch(f'{url}/config', headers={'Origin': origin})[0] == 200


def test_names_of_this_server_are_known():
    local, everywhere = Hosts('127.0.0.1'), Hosts('0.0.0.0', ['miqa.example'])
    assert all(name in local for name in ('127.0.0.1:7860', 'localhost', '[::1]:80', 'LOCALHOST:1'))
    assert all(name in everywhere for name in ('10.1.2.3:80', 'miqa.example', socket.gethostname()))
    assert 'miqa.example' not in local and 'evil.example' not in everywhere and '10.1.2.3' not in local


def test_an_upload_above_the_limit_is_refused_with_its_status(url):
    boundary = 'b'
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'.encode()
    headers = {'Content-Type': f'multipart/form-data; boundary={boundary}'}
    # One file above the limit of files, then a request above the limit of requests, announced and in chunks.
    for size in (3_000_000, 20_000_000):
        body = head + bytes(size) + f'\r\n--{boundary}--\r\n'.encode()
        assert fetch(f'{url}/gradio_api/upload', body, headers)[0] == 413
        chunks = (body[at : at + 65536] for at in range(0, len(body), 65536))
        assert fetch(f'{url}/gradio_api/upload', chunks, {**headers, 'Transfer-Encoding': 'chunked'}, 'POST')[0] == 413


def test_uploads_are_regular_files_in_their_folder(tmp_path):
    folder = tmp_path / 'uploads'
    folder.mkdir()
    uploads = Uploads(folder)
    (folder / 'a.png').write_bytes(b'x')
    os.mkfifo(folder / 'pipe')
    (folder / 'circle').symlink_to(folder / 'circle')
    assert uploads.file(str(folder / 'a.png')) == str(folder / 'a.png')
    for path in (
        folder / 'pipe',
        folder / 'circle',
        folder,
        folder / 'b.png',
        tmp_path / 'uploads2/a.png',
        '\0',
        'a.png',
    ):
        with pytest.raises(NotUploaded, match='^That file was not uploaded to this page'):
            uploads.file(str(path))


def test_the_room_for_uploads_is_limited(tmp_path):
    uploads = Uploads(tmp_path, most_bytes=1000)
    (tmp_path / 'a').write_bytes(bytes(600))
    assert uploads.has_room_for(400) and not uploads.has_room_for(401)


def test_what_a_killed_page_left_behind_is_removed_and_what_is_in_use_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    left = tmp_path / 'miqa-page-left'
    left.mkdir()
    (left / 'photo.png').write_bytes(b'x')
    with private_folder() as first, private_folder() as second:
        assert not left.exists() and first.is_dir() and second.is_dir()
        assert stat.S_IMODE(first.stat().st_mode) == 0o700
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_the_command_starts_behind_a_proxy_and_leaves_nothing_behind_at_the_end(tmp_path, number):
    write_run(tmp_path / 'best.pth')
    temporary = tmp_path / 'tmp'
    # Gradio's own default folder, made by somebody else.
    (temporary / 'gradio').mkdir(parents=True)
    (temporary / 'gradio').chmod(0o500)
    nobody = '127.0.0.1:9'
    proxies = {'http_proxy': f'http://{nobody}', 'HTTPS_PROXY': f'http://{nobody}', 'ALL_PROXY': f'socks5://{nobody}'}
    command = ['-m', 'miqa', 'serve', '--weights', str(tmp_path / 'best.pth'), '--port', '0']
    process = subprocess.Popen(
        [sys.executable, *command], env={**os.environ, **proxies, 'TMPDIR': str(temporary)}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        assert 'The page is at http://127.0.0.1:' in line, line + process.stderr.read()
        url = line.split()[4]
        path = upload(url, 'a.png', png())
        success, text = ask(url, 0, {'path': path, 'meta': META}, 'det', 'accuracy', False)
        assert success and 'miqa-score' in text
        folder = next(temporary.glob('miqa-page-*'))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and Path(path).is_relative_to(folder)
        process.send_signal(number)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert [entry.name for entry in temporary.iterdir() if entry.name.startswith('miqa')] == []


@pytest.mark.parametrize(
    ('tab', 'place', 'value'),
    [
        (0, 1, 'evil'),
        (0, 1, None),
        (0, 2, 3),
        (0, 3, 'yes'),
        (0, 3, None),
        (2, 3, 'many'),
        (2, 3, None),
        (2, 3, 1e9),
        (2, 3, True),
        (2, 3, float('nan')),
        (2, 3, [30]),
    ],
)
def test_a_value_that_the_page_cannot_send_is_answered_by_a_sentence_and_no_stack_of_calls(
    url, capfd, tab, place, value
):
    path = upload(url, 'a.png', png())
    data = [{'path': path, 'meta': META}, 'cls', 'composite', *([False] if tab == 0 else [30])]
    data[place] = value
    success, answer = ask(url, tab, *data)
    assert not success and 'Load the page again' in answer
    assert 'Traceback' not in capfd.readouterr().err


@pytest.mark.parametrize('tab', [0, 2])
def test_lists_where_one_file_belongs_and_one_file_where_lists_do_are_answered_by_a_sentence(url, capfd, tab):
    file = {'path': upload(url, 'a.png', png()), 'meta': META}
    rest = ['cls', 'composite', *([False] if tab == 0 else [30])]
    for number, value, others in (
        (tab, [file], rest),
        (tab, [[file]], rest),
        (1, file, rest[:2]),
        (1, [[file]], rest[:2]),
    ):
        success, answer = ask(url, number, value, *others)
        assert not success and 'Load the page again' in answer
    assert 'Traceback' not in capfd.readouterr().err
