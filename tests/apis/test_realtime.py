"""Cameras and streams: the latest frame, counters, alerts, and what happens when a camera vanishes."""

import itertools
import os
import shutil
import subprocess
import sys
import threading
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from helpers_refusals import refused
from helpers_videos import Brightness, grey, write_video

from miqa.apis.live import realtime, window
from miqa.apis.live.camera import CameraLost, FrameSource, LatestFrame, live_frames, open_source
from miqa.apis.live.realtime import LiveResult, RealTimeIQA, _LiveView
from miqa.apis.live.window import why_no_window


@pytest.fixture
def live():
    return RealTimeIQA(model=Brightness())


class FakeCamera:
    """A capture that gives so many frames and then none."""

    def __init__(self, frames, opened=True):
        self.left, self.opened, self.released, self.settings = frames, opened, 0, {}

    def isOpened(self):  # noqa: N802 - OpenCV's name
        return self.opened

    def set(self, what, value):
        self.settings[what] = value

    def read(self):
        self.left -= 1
        return (True, grey(0.5)) if self.left >= 0 else (False, None)

    def release(self):
        self.released += 1


def test_one_frame_and_every_frame_of_an_iterator_get_the_scores_of_the_model(live):
    score = live.assess_frame(grey(0.4))
    assert isinstance(score, float) and score == pytest.approx(0.4, abs=1e-6)
    values = [i / 20 for i in range(20)]
    results = []
    summary = live.run(map(grey, values), display='none', every_frame=True, on_result=results.append)
    assert [result.index for result in results] == list(range(20))
    np.testing.assert_allclose([result.score for result in results], values, atol=0.003)
    assert (summary['frames_scored'], summary['frames_captured'], summary['frames_dropped']) == (20, 20, 0)
    assert summary['mean_score'] == pytest.approx(np.mean([result.score for result in results]))
    assert summary['min_score'] == results[0].score and summary['max_score'] == results[-1].score
    assert summary['ended'] == 'The source ended.'


def test_who_is_slow_always_gets_the_newest_frame_and_the_rest_is_counted_as_dropped():
    arrived, scored = threading.Semaphore(0), threading.Semaphore(0)

    def frames():
        # Ten frames come while the one before is being scored.
        for number in range(31):
            yield np.full((4, 4, 3), number, np.uint8)
            if number % 10 == 0:
                arrived.release()
                assert scored.acquire(timeout=10)

    slot = LatestFrame(FrameSource('frames', frames()))
    taken = []
    for expected in (0, 10, 20, 30):
        assert arrived.acquire(timeout=10)
        taken.append(slot.take(10).index)
        assert taken[-1] == expected
        scored.release()
    assert slot.take(10) is None
    assert (slot.captured, slot.dropped) == (31, 27)
    assert slot.close()


def test_captured_frames_are_scored_or_dropped_none_is_lost_or_counted_twice(live):
    summary = live.run((grey(0.5) for _ in range(200)), display='none')
    assert summary['frames_captured'] == 200
    assert summary['frames_scored'] + summary['frames_dropped'] == 200 and summary['frames_scored'] >= 1


def test_latency_is_measured_from_capture_to_score(live, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(realtime.time, 'perf_counter', lambda: next(ticks) / 10)
    results = []
    summary = live.run([grey(0.5)] * 5, display='none', every_frame=True, on_result=results.append)
    assert all(result.latency > 0 for result in results)
    latencies = [result.latency for result in results]
    assert summary['latency']['max'] == max(latencies)
    assert summary['latency']['p50'] == pytest.approx(np.median(latencies))


def test_an_alert_comes_once_for_each_fall_below_the_threshold():
    alerts = []
    live = RealTimeIQA(model=Brightness(), alert_below=0.5, on_alert=alerts.append, smoothing=1)
    values = [0.9, 0.2, 0.1, 0.9, 0.9, 0.3, 0.8]
    summary = live.run(map(grey, values), display='none', every_frame=True)
    assert [alert.index for alert in alerts] == [1, 5] and summary['alerts'] == 2


def test_a_single_bad_frame_is_smoothed_away():
    live = RealTimeIQA(model=Brightness(), alert_below=0.5, smoothing=5)
    assert live.run(map(grey, [0.9, 0.9, 0.9, 0.0, 0.9]), display='none', every_frame=True)['alerts'] == 0
    assert live.run(map(grey, [0.9, 0.0, 0.0, 0.0, 0.0]), display='none', every_frame=True)['alerts'] == 1


def test_settings_that_make_no_sense_are_refused(live):
    refused(ValueError, 'smoothing must be at least 1', RealTimeIQA, model=Brightness(), smoothing=0)
    refused(TypeError, 'gate is what fit_gate returned', RealTimeIQA, model=Brightness(), gate=0.5)
    one = SimpleNamespace(assess=lambda images: 0.5)
    refused(TypeError, 'must return as many numbers; it returned 0.5', RealTimeIQA(one).assess_frame, None)
    refused(ValueError, 'alert_below', RealTimeIQA, model=Brightness(), on_alert=print)
    refused(ValueError, 'alert_below', RealTimeIQA, model=Brightness(), alert_below=float('nan'))
    refused(ValueError, 'max_frames must be at least 1', live.run, [], max_frames=0)
    refused(ValueError, 'seconds to wait', live.run, [], stall_seconds=float('nan'))
    refused(ValueError, 'seconds to wait', live.run, [], reconnect_seconds=-1)
    refused(ValueError, 'display must be one of auto, window, none', live.run, [], display='maybe')
    refused(TypeError, 'camera number, a URL, a file or an iterable', live.run, 3.5, display='none')


def test_a_run_stops_when_told_to_and_after_a_number_of_frames(live):
    endless = (grey(0.5) for _ in itertools.count())
    assert live.run(endless, display='none', every_frame=True, max_frames=3)['frames_scored'] == 3
    endless = (grey(0.5) for _ in itertools.count())
    summary = live.run(endless, display='none', every_frame=True, on_result=lambda result: live.stop())
    assert summary['frames_scored'] == 1 and summary['ended'] == 'It was told to stop.'


def test_a_file_is_played_at_its_own_speed_or_scored_whole(tmp_path, live, monkeypatch):
    path = write_video(tmp_path / 'a.avi', [i / 9 for i in range(10)], fps=200)
    moments = []
    monkeypatch.setattr(LatestFrame, '_wait_until', lambda self, moment: moments.append(moment))
    summary = live.run(path, display='none', every_frame=True)
    assert summary['frames_scored'] == 10 and summary['mean_score'] == pytest.approx(0.5, abs=0.01)
    assert moments == []
    summary = live.run(str(path), display='none')
    assert summary['frames_captured'] == 10
    np.testing.assert_allclose(np.diff(moments), 1 / 200)


@pytest.mark.parametrize('source', [7, '7'])
def test_a_camera_that_cannot_be_opened_is_reported(live, monkeypatch, source):
    fake = FakeCamera(0, opened=False)
    monkeypatch.setattr(cv2, 'VideoCapture', lambda device: fake)
    refused(CameraLost, '^Camera 7 cannot be opened. Check that it is plugged in', live.run, source, display='none')
    assert fake.released == 1


def test_a_stream_that_cannot_be_opened_is_named_without_its_password(live, monkeypatch):
    monkeypatch.setattr(cv2, 'VideoCapture', lambda *a: FakeCamera(0, opened=False))
    with pytest.raises(CameraLost, match=r'^The stream rtsp://10\.0\.0\.2/live cannot be opened') as caught:
        live.run('rtsp://admin:secret@10.0.0.2/live', display='none')
    assert 'secret' not in str(caught.value)


def test_a_camera_that_vanishes_leaves_a_sentence_a_summary_and_no_open_device(live, monkeypatch):
    fake = FakeCamera(4)
    monkeypatch.setattr(cv2, 'VideoCapture', lambda device: fake)
    before = set(threading.enumerate())
    with pytest.raises(CameraLost, match=r'^Camera 0 stopped giving frames after 4 of them\.$') as caught:
        live.run(0, display='none', every_frame=True)
    assert caught.value.summary['frames_scored'] == 4
    assert caught.value.summary['ended'] == str(caught.value)
    assert fake.released == 1 and set(threading.enumerate()) <= before
    assert fake.settings[cv2.CAP_PROP_BUFFERSIZE] == 1


def test_a_camera_that_misses_a_frame_now_and_then_goes_on():
    class Stuttering(FakeCamera):
        def read(self):
            self.left -= 1
            return (self.left % 2 == 0, grey(0.5)) if self.left >= 0 else (False, None)

    assert len(list(itertools.islice(live_frames(Stuttering(20), 'camera 0'), 10))) == 10


def test_a_camera_that_hangs_is_given_up_after_a_while(live):
    wait = threading.Event()

    def hanging():
        yield grey(0.5)
        wait.wait(20)

    with pytest.raises(CameraLost, match=r'^No frame came from the iterator for 0\.3 seconds\.$') as caught:
        threading.Timer(0.6, wait.set).start()
        live.run(hanging(), display='none', stall_seconds=0.3)
    assert caught.value.summary['frames_scored'] == 1


def test_an_error_of_the_iterator_or_the_model_comes_through_and_the_source_is_closed(live):
    closed = []

    def broken():
        yield grey(0.5)
        raise RuntimeError('the decoder burst')

    refused(RuntimeError, 'the decoder burst', live.run, broken(), display='none', every_frame=True)

    class Faulty:
        def assess(self, images):
            raise RuntimeError('the model burst')

    class Source:
        def __iter__(self):
            return iter([grey(0.5)] * 9)

        def close(self):
            closed.append(True)

    with pytest.raises(RuntimeError, match='the model burst'):
        RealTimeIQA(model=Faulty()).run(Source(), display='none', every_frame=True)
    assert closed == [True]


def test_an_empty_source_gives_an_empty_summary(live):
    assert open_source(iter([])).name == 'the iterator'
    summary = live.run([], display='none')
    assert summary['frames_scored'] == 0 and summary['mean_score'] is None and summary['latency'] is None


def test_a_missing_file_is_named(live, tmp_path):
    refused(FileNotFoundError, 'There is no video file', live.run, tmp_path / 'nothing.mp4', display='none')


def test_without_a_screen_the_run_is_headless_and_says_why(live, monkeypatch, caplog):
    monkeypatch.setattr(window.sys, 'platform', 'linux')
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    with caplog.at_level('INFO'):
        assert live.run([grey(0.5)], display='auto')['frames_scored'] == 1
    assert 'No window is opened.' in caplog.text
    refused(ValueError, "Use display='none'", live.run, [grey(0.5)], display='window')


def test_a_build_of_opencv_without_windows_is_recognised(monkeypatch):
    monkeypatch.setattr(cv2, 'getBuildInformation', lambda: 'x\n  GUI:                           NONE\ny')
    assert 'opencv-python-headless' in why_no_window()
    monkeypatch.setenv('DISPLAY', ':0')
    monkeypatch.setattr(cv2, 'getBuildInformation', lambda: 'x\n  GUI:                           QT5\ny')
    assert why_no_window() is None


class FakeWindow:
    """A window that the user closes after three pictures."""

    def __init__(self, title):
        self.title, self.shown, self.closed = title, [], 0
        FakeWindow.last = self

    def show(self, image):
        self.shown.append(image)
        return len(self.shown) < 3

    def close(self):
        self.closed += 1


def test_the_window_shows_the_picture_with_its_panel_until_it_is_closed(live, monkeypatch):
    monkeypatch.setattr(realtime, 'Window', FakeWindow)
    monkeypatch.setattr(realtime, 'why_no_window', lambda: None)
    summary = live.run((grey(0.5) for _ in itertools.count()), every_frame=True)
    shown = FakeWindow.last
    assert summary['frames_scored'] == 3 and summary['ended'] == 'The window was closed.'
    assert shown.closed == 1 and 'the iterator' in shown.title
    assert all(image.shape == (180, 264, 3) for image in shown.shown)
    assert not np.array_equal(shown.shown[0], shown.shown[2])


def test_the_curve_in_the_window_keeps_the_last_half_minute_only(live, monkeypatch):
    monkeypatch.setattr(realtime, 'Window', FakeWindow)
    view = _LiveView(live, 'a camera')
    for second in range(100):
        view.compose(grey(0.5), LiveResult(second, 0.5, 0.5, 0.01, second + 1, 0, False, float(second)), 0.5)
    assert len(view._points) == 31 and view._points[0][0] == 69


def test_a_real_window_opens_on_a_virtual_screen_and_shows_the_run():
    xvfb = shutil.which('Xvfb')
    if not xvfb or 'GUI:                           NONE' in cv2.getBuildInformation():
        pytest.skip('no Xvfb (apt-get install xvfb), or an OpenCV without windows')
    program = """
import numpy as np
from miqa.apis.live.realtime import RealTimeIQA

class Brightness:
    def assess(self, images):
        return [float(image.mean()) / 255 for image in images]

frames = (np.full((48, 64, 3), 10 * number, np.uint8) for number in range(20))
summary = RealTimeIQA(model=Brightness()).run(frames, display='window', every_frame=True)
print(summary['frames_scored'], summary['ended'])
"""
    reader, writer = os.pipe()
    screen = subprocess.Popen(
        [xvfb, '-displayfd', str(writer), '-screen', '0', '800x600x24', '-nolisten', 'tcp'],
        pass_fds=[writer], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writer)
    try:
        with open(reader) as stream:
            display = stream.readline().strip()
        environment = {**os.environ, 'DISPLAY': f':{display}', 'QT_QPA_PLATFORM': 'xcb'}
        done = subprocess.run(
            [sys.executable, '-c', program], env=environment, capture_output=True, text=True, timeout=60
        )  # fmt: skip
    finally:
        screen.terminate()
        screen.wait()
    assert done.returncode == 0, done.stderr
    assert done.stdout == '20 The source ended.\n'
