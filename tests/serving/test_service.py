"""The scoring endpoint: a server that really listens, and what it answers to the good and to the bad."""

import contextlib
import gzip
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers_apis import photo
from helpers_refusals import refused
from helpers_serving import ask, files, form, png, raw_request, running, score, web_server
from helpers_videos import write_video
from PIL import Image

pytest.importorskip('fastapi', reason="no FastAPI (pip install 'miqa[serve]')")
pytest.importorskip('prometheus_client', reason="no prometheus_client (pip install 'miqa[serve]')")

from miqa.apis.model import MIQAModel
from miqa.apis.video.assess import VideoMIQA
from miqa.outside.addresses import AllowedAddresses
from miqa.serving.application import build_app
from miqa.serving.batching import Batcher, TooBusy
from miqa.serving.metrics import Metrics
from miqa.serving.request_guard import Timeouts
from miqa.serving.settings import Limits, find_token

TOKEN = 'a-token-of-many-letters'
PNG = {'Content-Type': 'image/png'}


@contextlib.contextmanager
def endpoint(model, **options):
    """Serve the endpoint; gives its URL and its counters."""
    metrics = Metrics()
    with running(build_app(model, metrics=metrics, **options)) as url:
        yield url, metrics


@pytest.fixture(scope='module')
def url(model):
    with endpoint(model, limits=Limits(upload_mb=2, megapixels=1, pictures=4)) as (url, _):
        yield url


def test_pictures_get_the_scores_that_the_model_gives_them(url, model):
    files = [(f'{seed}.png', png(seed)) for seed in range(3)]
    status, answer = score(url, *files)
    assert status == 200 and answer['failed'] == 0 and answer['model'] == model.identity
    assert [row['name'] for row in answer['results']] == ['0.png', '1.png', '2.png']
    expected = model.assess([content for _, content in files])
    np.testing.assert_allclose([row['score'] for row in answer['results']], expected, atol=1e-5)
    assert [row['quality'] for row in answer['results']] == [model.quality(value) for value in expected]
    # A file alone, as curl --data-binary sends it.
    status, answer = ask(f'{url}/score', files[0][1], PNG)
    assert status == 200 and answer['results'][0]['score'] == pytest.approx(expected[0], abs=1e-5)


def test_two_hundred_requests_over_eight_connections_lose_none_and_share_passes(model):
    contents = [png(seed) for seed in range(20)]
    expected = model.assess(contents)

    def client(number):
        connection = http.client.HTTPConnection(url.removeprefix('http://'), timeout=120)
        results = []
        for step in range(25):
            which = (number * 25 + step) % 20
            connection.request('POST', '/score', contents[which], PNG)
            answer = connection.getresponse()
            results.append((which, answer.status, json.loads(answer.read())['results'][0]['score']))
        connection.close()
        return results

    with endpoint(model) as (url, metrics), ThreadPoolExecutor(8) as pool:
        answers = [answer for results in pool.map(client, range(8)) for answer in results]
        passes = metrics.registry.get_sample_value('miqa_batch_pictures_count')
    assert len(answers) == 200 and {status for _, status, _ in answers} == {200}
    np.testing.assert_allclose([value for *_, value in answers], [expected[which] for which, *_ in answers], atol=1e-5)
    assert metrics.registry.get_sample_value('miqa_batch_pictures_sum') == 200 and passes < 200


def test_a_video_gets_its_curve_without_a_path_of_the_server(url, model, tmp_path):
    path = write_video(tmp_path / 'a.avi', [0.2, 0.8] * 10)
    headers, body = form(('a.avi', path.read_bytes()))
    status, answer = ask(f'{url}/video?frames=7', body, headers)
    expected = VideoMIQA(model=model, num_frames=7).assess_video(path)
    assert status == 200 and answer['num_frames_analyzed'] == 7 and answer['name'] == 'a.avi'
    assert answer['mean_score'] == pytest.approx(expected['mean_score'], abs=1e-5)
    assert '/tmp' not in json.dumps(answer)
    assert ask(f'{url}/video?frames=99999', body, headers)[0] == 422
    headers, body = form(('list.mp4', b"ffconcat version 1.0\nfile '/etc/passwd'\n"))
    status, answer = ask(f'{url}/video', body, headers)
    assert status == 422 and answer['detail'].startswith('list.mp4 is not a video')
    headers, body = form(('../../cut video.avi', path.read_bytes()[:-4000]))
    status, answer = ask(f'{url}/video', body, headers)
    assert status == 200 and not answer['complete'] and 'cut_video.avi' in answer['warnings'][0]


def test_what_is_wrong_gets_its_status_and_a_sentence(url):
    broken = png()[:300]
    status, answer = score(url, ('broken.png', broken))
    assert status == 422 and 'broken.png' in answer['detail'] and '/tmp' not in answer['detail']
    status, answer = score(url, ('good.png', png()), ('broken.png', broken))
    assert status == 200 and answer['failed'] == 1 and 'broken.png' in answer['results'][1]['error']
    assert answer['results'][1]['score'] is None and answer['results'][0]['score'] is not None
    assert score(url)[0] == 422
    assert score(url, *[(f'{n}.png', b'x') for n in range(5)])[0] == 413
    assert score(url, ('wide.png', png(size=(2000, 600))))[0] == 413
    assert score(url, ('large.png', bytes(2_000_001)))[0] == 413
    assert score(url, urls=['https://images.example.com/a.png'])[0] == 403
    assert score(url, urls=['file:///etc/passwd'])[0] == 403
    assert score(url, other=['x'])[0] == 422
    for body, kind, expected in (
        (b'{', 'application/json', 400), (b'[' * 100_000, 'application/json', 400), (b'[1]', 'application/json', 422),
        (b'{"urls": [1]}', 'application/json', 422), (b'hello', 'text/plain', 415), (b'x', 'multipart/form-data', 400),
        (b'--x', 'multipart/form-data; boundary=y', 400),
    ):  # fmt: skip
        assert ask(f'{url}/score', body, {'Content-Type': kind})[0] == expected
    assert ask(f'{url}/score') == (405, {'detail': '/score does not answer GET, only POST; see /docs.'})
    assert 'POST /video' in score(url, ('v.mp4', b'\0\0\0\x18ftypisom' + bytes(99)))[1]['detail']
    assert 'POST /video' not in score(url, ('v.gif', b'GIF89a' + b'\xff' * 99))[1]['detail']
    assert ask(f'{url}/nothing')[0] == 404
    assert ask(f'{url}/nothing', bytes(1_000_000))[0] == 404
    assert ask(f'{url}/health', headers={'Host': 'evil.example'})[0] == 403


def test_a_form_without_its_end_is_not_taken_for_one_of_fewer_files(url):
    headers, body = form(('a.png', png()), ('b.png', png(1)))
    status, answer = ask(f'{url}/score', body[:-1000], headers)
    assert status == 400 and 'ends before' in answer['detail']
    status, answer = score(url, *[(f'{n}.png', b'x') for n in range(300)])
    assert status == 413 and answer['detail'] == 'A request may hold 4 files or addresses here.'


def test_a_compressed_body_is_refused_and_not_taken_for_a_broken_picture(url):
    headers = {'Content-Type': 'image/png', 'Content-Encoding': 'gzip'}
    status, answer = ask(f'{url}/score', gzip.compress(png()), headers)
    assert status == 415 and 'Content-Encoding: gzip' in answer['detail']


@pytest.mark.parametrize('timeouts', [Timeouts(silence=0.3), Timeouts(whole=0.3)])
@pytest.mark.parametrize('kind', ['image/png', 'multipart/form-data; boundary=x', 'application/json'])
def test_an_upload_that_does_not_end_gives_its_place_back(model, timeouts, kind):
    head = f'POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: 5000\r\n\r\n'.encode()
    with endpoint(model, limits=Limits(requests=1), timeouts=timeouts) as (url, metrics):
        answer = raw_request(url, head, b'--x\r\n', b'Content', pause=0.05)
        assert answer.startswith(b'HTTP/1.1 408 ') and b'incomplete when its time was over' in answer
        assert answer.lower().count(b'http/1.1 ') == 1
        assert ask(f'{url}/score', png(), PNG)[0] == 200
        assert metrics.registry.get_sample_value('miqa_requests_total', {'path': '/score', 'status': '408'}) == 1


def test_a_body_of_500_megabytes_is_refused_with_its_status_and_without_its_memory(url):
    def blocks():
        for _ in range(500):
            yield bytes(1_000_000)

    for headers in ({'Content-Length': '500000000'}, {'Transfer-Encoding': 'chunked'}):
        status, answer = ask(f'{url}/score', blocks(), {'Content-Type': 'image/png', **headers}, 'POST')
        assert status == 413 and 'too large' in answer['detail']


def test_a_request_without_its_token_is_refused_before_its_body_is_read(model):
    with endpoint(model, token=TOKEN) as (url, metrics):
        wrong = [{'Authorization': value} for value in ('Bearer wrong', f'Basic {TOKEN}', TOKEN)]
        for headers in ({}, *wrong):
            for path in ('score', 'metrics', 'openapi.json', 'nothing'):
                status, answer = ask(f'{url}/{path}', headers=headers)
                assert status == 401 and 'token' in answer['detail'] and TOKEN not in answer['detail']
        assert ask(f'{url}/health') == (200, {'status': 'ok'})
        good = {'Authorization': f'Bearer {TOKEN}'}
        assert ask(f'{url}/score', png(), {'Content-Type': 'image/png', **good})[0] == 200
        # With a token any name will do: probes and proxies have their own.
        assert ask(f'{url}/metrics', headers={'Host': 'miqa.default.svc', **good})[0] == 200
        assert metrics.registry.get_sample_value('miqa_requests_total', {'path': '/score', 'status': '401'}) == 4


class Slow:
    """A model whose passes wait until they may leave."""

    def __init__(self, model):
        self.model, self.entered, self.leave, self.passes = model, threading.Event(), threading.Event(), []

    def __getattr__(self, name):
        return getattr(self.model, name)

    def answer_prepared(self, pictures):
        self.passes.append(len(pictures))
        self.entered.set()
        assert self.leave.wait(60)
        return self.model.answer_prepared(pictures)


def test_a_client_that_goes_away_is_counted_and_its_work_is_dropped(model):
    slow = Slow(model)

    def send(body):
        connection = http.client.HTTPConnection(url.removeprefix('http://'), timeout=120)
        connection.request('POST', '/score', body, PNG)
        return connection

    with endpoint(slow) as (url, metrics):
        first = send(png())
        assert slow.entered.wait(60)
        second = send(png(1))
        until = time.monotonic() + 60
        while metrics.now < 2 and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.5)  # its picture waits for the next pass
        second.sock.close()
        labels = {'path': '/score', 'status': '499'}
        while metrics.registry.get_sample_value('miqa_requests_total', labels) is None and time.monotonic() < until:
            time.sleep(0.02)
        assert metrics.registry.get_sample_value('miqa_requests_total', labels) == 1
        assert metrics.registry.get_sample_value('miqa_errors_total', {'kind': 'cancelled'}) == 1
        slow.leave.set()
        assert first.getresponse().status == 200
        assert send(png(2)).getresponse().status == 200
    assert slow.passes == [1, 1]


def test_a_server_that_is_full_says_when_to_come_back(model):
    slow = Slow(model)
    with endpoint(slow, limits=Limits(requests=1)) as (url, _), ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, f'{url}/score', png(), PNG)
        assert slow.entered.wait(60)
        assert ask(f'{url}/score', png(), PNG)[0] == 503
        assert ask(f'{url}/health')[0] == 200
        slow.leave.set()
        assert first.result()[0] == 200


def test_addresses_on_the_list_are_fetched_and_no_others(model, tmp_path):
    pictures = {'/open/a.png': png(), '/open/b.png': b'no picture', '/closed/c.png': png()}
    with web_server(files(pictures)) as (host, seen):
        addresses = AllowedAddresses([f'http://{host}/open/', f'http://localhost:{host.partition(":")[2]}/'])
        with endpoint(model, addresses=addresses) as (url, _):
            headers = {'Content-Type': 'application/json'}

            def named(*urls):
                return ask(f'{url}/score', json.dumps({'urls': urls}).encode(), headers)

            status, answer = named(f'http://{host}/open/a.png?t0ken')
            assert status == 200 and answer['results'][0]['name'] == f'http://{host}/open/a.png?...'
            assert answer['results'][0]['score'] == pytest.approx(model.assess(png()), abs=1e-5)
            assert score(url, ('x.png', png()), urls=[f'http://{host}/open/a.png'])[1]['failed'] == 0
            assert named(f'http://{host}/open/b.png')[0] == 422
            assert named(f'http://{host}/open/missing.png')[0] == 502
            asked = len(seen)
            assert named(f'http://{host}/closed/c.png')[0] == 403
            assert named(f'http://{host}/open/../closed/c.png')[0] == 403
            # A name on the list that leads to this very computer.
            assert named(f'http://localhost:{host.partition(":")[2]}/open/a.png')[0] == 403
            assert len(seen) == asked


def test_counters_are_what_prometheus_reads(model):
    parser = pytest.importorskip('prometheus_client.parser')
    with endpoint(model) as (url, _):
        score(url, ('a.png', png()), ('b.png', b'x'))
        status, text = ask(f'{url}/metrics')
    families = parser.text_string_to_metric_families(text.decode())
    result = {sample.name: sample.value for family in families for sample in family.samples}
    assert status == 200 and result['miqa_score_count'] == 1 and result['miqa_errors_total'] == 1
    assert result['miqa_request_seconds_count'] >= 1 and result['miqa_batch_pictures_count'] == 1
    assert result['miqa_score_sum'] == pytest.approx(model.assess(png()), abs=1e-4)


def test_openapi_describes_what_is_taken(url):
    status, answer = ask(f'{url}/openapi.json')
    assert status == 200 and {'/score', '/heatmap', '/video', '/info', '/health', '/metrics'} == set(answer['paths'])
    operation = answer['paths']['/score']['post']
    assert {'multipart/form-data', 'application/json', 'image/*'} == set(operation['requestBody']['content'])
    assert {'200', '401', '413', '422', '503'} <= set(operation['responses'])


def test_where_it_can_be_reached_from_elsewhere_a_token_is_demanded(tmp_path, monkeypatch):
    monkeypatch.delenv('MIQA_TOKEN', raising=False)
    assert find_token('127.0.0.1') is None and find_token('::1') is None and find_token('localhost') is None
    for host in ('0.0.0.0', '::', '192.168.0.7', 'example.com'):
        refused(ValueError, r'needs a token there: .*MIQA_TOKEN=\$\(openssl rand -hex 32\)', find_token, host)
    monkeypatch.setenv('MIQA_TOKEN', 'short')
    refused(ValueError, 'at least 16', find_token, '127.0.0.1')
    file = tmp_path / 'token'
    file.write_text(f'{TOKEN}\n')
    file.chmod(0o644)
    refused(ValueError, 'chmod 600', find_token, '0.0.0.0', file)
    file.chmod(0o600)
    assert find_token('0.0.0.0', file) == TOKEN


def test_batches_fill_while_the_model_is_busy_and_a_bad_pass_ends_none_other():
    sizes, busy = [], threading.Event()

    def slow(values):
        busy.wait(60)
        sizes.append(len(values))
        if max(values) == 255:
            raise ValueError('damaged')
        return values

    batcher = Batcher(batch_size=4, most_waiting=10, window=0.01)
    first = batcher.submit(slow, 7)
    time.sleep(0.2)
    others = [batcher.submit(slow, value) for value in (1, 2, 3, 4, 255)]
    assert others[1].cancel()
    busy.set()
    assert first.result(60) == 7 and others[0].result(60) == 1 and others[3].result(60) == 4
    refused(ValueError, 'damaged', others[4].result, 60)
    assert batcher.submit(slow, 9).result(60) == 9
    batcher.close()
    refused(TooBusy, '', batcher.submit, slow, 0)


def test_more_pictures_than_may_wait_are_refused():
    busy = threading.Event()
    batcher = Batcher(batch_size=1, most_waiting=2)

    def score(values):
        return busy.wait(60) and values

    waiting = [batcher.submit(score, 0)]
    time.sleep(0.2)
    waiting += [batcher.submit(score, 0) for _ in range(2)]
    refused(TooBusy, 'Try again', batcher.submit, score, 0)
    busy.set()
    batcher.close()
    assert all(future.done() for future in waiting)


def test_the_command_serves_and_ends_in_order_on_sigterm(tmp_path, vit_file):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    command = ['-m', 'miqa', 'serve', '--api', '--weights', str(vit_file)]
    environment = {**os.environ, 'MIQA_TOKEN': TOKEN, 'TMPDIR': str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, *command, '--port', str(port), '--host', '0.0.0.0'], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        assert f'The endpoint is at http://127.0.0.1:{port}' in line, line + process.stderr.read()
        url, headers = f'http://127.0.0.1:{port}', {'Content-Type': 'image/png', 'Authorization': f'Bearer {TOKEN}'}
        assert ask(f'{url}/score', png(), headers)[0] == 200
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 143 and 'Traceback' not in errors
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith('miqa')] == []


def test_what_is_wrong_is_answered_on_request_by_a_model_that_can_tell(url):
    lite = MIQAModel('miqa-lite')
    dark = io.BytesIO()
    Image.fromarray((photo(120, 90) * 0.06).astype(np.uint8)).save(dark, 'PNG')
    expected = lite.assess(dark.getvalue(), diagnose=True).damage
    with endpoint(lite) as (lite_url, _):
        answers = [ask(f'{lite_url}/score{query}', dark.getvalue(), PNG) for query in ('?diagnose=true', '')]
        assert [status for status, _ in answers] == [200, 200]
        damage = answers[0][1]['results'][0]['damage']
        assert damage['text'] == str(expected) and damage['kind'] == expected.kind
        assert damage['strength'] == pytest.approx(expected.strength, abs=1e-3)
        assert answers[1][1]['results'][0]['damage'] is None
        assert ask(f'{lite_url}/info')[1]['diagnosis'] is True
    status, answer = ask(f'{url}/score?diagnose=true', png(), PNG)
    assert status == 422 and 'does not predict what is wrong' in answer['detail']
