"""Streams behind addresses: they end, break, fall silent and come back."""

import logging
import threading
import time

import cv2
import pytest
from helpers_refusals import refused
from helpers_serving import files, web_server
from helpers_videos import Brightness, grey, write_video

from miqa.apis.live.network import CameraLost, NetworkStream
from miqa.apis.live.realtime import RealTimeIQA

SECRETS = ('hunter2', 's3cret', 't0ken')
GREY = [grey(0.5, (64, 48))]


def camera_answer(frames):
    """Answer as a camera does, with parts of JPEG: at the n-th connection with the n-th list of pictures."""
    left = list(frames)

    def answer(handler):
        pictures = left.pop(0) if left else []
        if not pictures:
            handler.send_error(503)
            return
        handler.send_response(200)
        handler.send_header('Content-Type', 'multipart/x-mixed-replace; boundary=frame')
        handler.end_headers()
        for picture in pictures:
            data = cv2.imencode('.jpg', picture)[1].tobytes()
            handler.wfile.write(b'--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n' % len(data))
            handler.wfile.write(data + b'\r\n')

    return answer


class Capture:
    """A capture that gives so many frames and then none."""

    def __init__(self, frames, opened=True, **answers):
        self.left, self.opened, self.released, self.read_so_far = frames, opened, 0, 0
        self.answers = answers

    def isOpened(self):  # noqa: N802 - OpenCV's name
        return self.opened

    def get(self, what):
        if what == cv2.CAP_PROP_POS_MSEC:
            return 1000 * self.read_so_far / 25
        return {cv2.CAP_PROP_FRAME_COUNT: self.answers.get('count', -1), cv2.CAP_PROP_FPS: 25}[what]

    def read(self):
        if self.read_so_far >= self.left:
            return False, None
        self.read_so_far += 1
        return True, grey(0.5)

    def release(self):
        self.released += 1


def opener(*captures):
    waiting = list(captures)
    return lambda url: waiting.pop(0) if waiting else Capture(0, opened=False)


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr('miqa.apis.live.network._FIRST_WAIT', 0.01)


def test_a_stream_that_comes_back_goes_on_and_its_breaks_are_counted(caplog):
    captures = [Capture(5), Capture(0, opened=False), Capture(0), Capture(7), Capture(3)]
    stream = NetworkStream('rtsp://me:hunter2@camera/live?t0ken', 0.4, opener(*captures))
    frames = []
    with caplog.at_level(logging.WARNING), pytest.raises(CameraLost) as caught:
        for frame in stream.frames():
            frames.append(frame)
    assert len(frames) == 15 and stream.breaks == 3
    assert str(caught.value) == (
        'The stream rtsp://camera/live?... stopped giving frames after 15 of them and did not come back within 0.4 '
        'seconds.'
    )
    assert all(capture.released >= 1 for capture in captures[:4])
    assert not any(secret in caplog.text for secret in SECRETS) and 'rtsp://camera/live?...' in caplog.text


def test_a_stream_is_not_tried_again_with_0_seconds_to_reconnect():
    stream = NetworkStream('rtsp://camera/live', 0, opener(Capture(5), Capture(5)))
    refused(CameraLost, r'stopped giving frames after 5 of them\.$', list, stream.frames())


def test_a_file_behind_an_address_ends_where_it_ends_and_is_lost_where_it_breaks():
    whole = NetworkStream('http://127.0.0.1:9/a.mp4', 0, opener(Capture(100, count=101)))
    assert len(list(whole.frames())) == 100 and whole.breaks == 0 and whole.interval == pytest.approx(0.04)
    broken = NetworkStream('http://127.0.0.1:9/a.mp4', 0, opener(Capture(30, count=100)))
    refused(CameraLost, 'ended early: 30 of about 100 frames came', list, broken.frames())


@pytest.mark.parametrize('suffix', ['.avi', '.mp4'])
def test_the_end_of_a_file_behind_an_address_is_not_a_lost_camera(tmp_path, suffix):
    path = write_video(tmp_path / f'a{suffix}', [0.5] * 30, fps=100, fourcc='MJPG' if suffix == '.avi' else 'mp4v')
    with web_server(files({f'/a{suffix}': path.read_bytes()})) as (host, _):
        live = RealTimeIQA(model=Brightness())
        summary = live.run(f'http://{host}/a{suffix}', display='none', every_frame=True, reconnect_seconds=1)
    assert summary['frames_captured'] == 30 and summary['breaks'] == 0 and summary['ended'] == 'The source ended.'


def test_a_file_of_which_no_frame_comes_is_fetched_or_lost_with_a_reason(tmp_path):
    # As where its index stands at the end, and the server gives files only as a whole.
    whole = write_video(tmp_path / 'drive.mp4', [0.1, 0.5, 0.9], fourcc='mp4v').read_bytes()
    with web_server(files({'/drive.mp4': whole})) as (host, _):
        stream = NetworkStream(f'http://{host}/drive.mp4', 0, opener(Capture(0, count=3)))
        means = [image.mean() / 255 for image in stream.frames()]
        lost = NetworkStream(f'http://{host}/gone.mp4', 0, opener(Capture(0, count=3)))
        refused(CameraLost, 'gave no frame, and cannot be fetched as a file: .*404', next, lost.frames())
    assert means == pytest.approx([0.1, 0.5, 0.9], abs=0.05)


def test_a_real_camera_that_comes_back_goes_on():
    with web_server(camera_answer([GREY * 20, GREY, GREY * 20])) as (host, seen):
        live = RealTimeIQA(model=Brightness())
        with pytest.raises(CameraLost, match='did not come back within 2 seconds') as caught:
            live.run(f'http://{host}/video?token=t0ken', display='none', every_frame=True, reconnect_seconds=2)
    summary = caught.value.summary
    assert summary['breaks'] == 2 and 30 <= summary['frames_scored'] <= 40 and 't0ken' not in str(caught.value)


def test_a_silent_camera_is_reopened(monkeypatch):
    silent = threading.Event()
    # The second is for the question whether it is a file.
    answers = iter([camera_answer([GREY * count]) for count in (8, 1, 9)])

    def answer(handler):
        following = next(answers, None)
        if following is None:
            handler.send_error(503)
            return
        following(handler)
        handler.wfile.flush()
        if not silent.is_set():  # the line is cut: no byte comes, and no end
            silent.set()
            time.sleep(6)

    with web_server(answer) as (host, _), pytest.raises(CameraLost) as caught:
        RealTimeIQA(model=Brightness()).run(
            f'http://{host}/video', display='none', every_frame=True, stall_seconds=1, reconnect_seconds=2
        )
    assert caught.value.summary['breaks'] == 2 and caught.value.summary['frames_captured'] >= 15


def test_a_camera_whose_pictures_change_their_size_is_opened_anew(caplog):
    small, large = grey(0.2, (64, 48)), grey(0.9, (96, 64))
    frames = []
    answer = camera_answer([[small] * 5 + [large] * 120, [large] * 30])
    with web_server(answer) as (host, _), pytest.raises(CameraLost):
        for frame in NetworkStream(f'http://{host}/video', 0.3).frames():
            frames.append(frame)  # noqa: PERF402  what came before the end counts
    assert frames[-1].shape == (64, 96, 3) and frames[-1].mean() > 200 and len(frames) < 100
    # One that does not change is opened anew once.
    captures = [Capture(120), Capture(200)]
    stream = NetworkStream('rtsp://camera/live', 0.1, opener(*captures))
    with caplog.at_level(logging.WARNING), pytest.raises(CameraLost):
        list(stream.frames())
    assert sum('gave the same picture' in record.message for record in caplog.records) == 2
    assert captures[0].released and captures[1].read_so_far == 200


def test_a_reader_that_waits_for_a_stream_can_be_ended_at_once():
    with web_server(camera_answer([GREY * 20, GREY])) as (host, _):
        start = time.monotonic()
        stream = NetworkStream(f'http://{host}/x', 600)
        thread = threading.Thread(target=lambda: list(stream.frames()), daemon=True)
        thread.start()
        while not stream.reconnecting:
            assert time.monotonic() - start < 30
            time.sleep(0.01)
        stream.interrupt()
        thread.join(20)
        assert not thread.is_alive()
