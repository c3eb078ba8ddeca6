"""Videos: annotated footage, reports, memory."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers_refusals import refused
from helpers_videos import Brightness, ffmpeg, video_with_sound, write_video

from miqa.apis.drawings.colours import score_color
from miqa.apis.drawings.score_panel import ScorePanel, beside, clock
from miqa.apis.video import writing as video_writing
from miqa.apis.video.assess import VideoMIQA
from miqa.apis.video.reading import count_frames, open_video
from miqa.apis.video.report import plot_video, write_report
from miqa.apis.video.writing import VideoNotWritten, check_written, find_ffmpeg, usable_opencv_codec

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ramp(tmp_path):
    return write_video(tmp_path / 'ramp.avi', [i / 29 for i in range(30)])


@pytest.fixture
def videos():
    return VideoMIQA(model=Brightness(), sampling='every', every=3)


@pytest.fixture(params=['ffmpeg', 'opencv'])
def writer(request, monkeypatch):
    """Both ways to write a video."""
    if request.param == 'opencv':
        monkeypatch.setenv('MIQA_FFMPEG', 'none')
    elif find_ffmpeg() is None:
        pytest.skip('no ffmpeg program (pip install imageio-ffmpeg)')
    return request.param


def read_all(path):
    with open_video(path) as reader:
        return list(reader.frames()), reader.info


@pytest.mark.parametrize('suffix', ['.mp4', '.avi'])
def test_an_annotated_video_shows_the_footage_and_a_panel_at_the_same_times(tmp_path, ramp, videos, writer, suffix):
    output = videos.annotate_video(ramp, tmp_path / f'out{suffix}')
    frames, info = read_all(output)
    assert output.suffix in ('.mp4', '.avi') and len(frames) == 30 and info.fps == pytest.approx(10)
    height, width = frames[0].image.shape[:2]
    assert (width % 2, height % 2) == (0, 0) and width >= 64 + 200 and height >= 180
    top = (height - 48) // 2
    for number in (0, 10, 20, 29):
        footage = frames[number].image[top + 8 : top + 40, 8:56]
        assert footage.mean() / 255 == pytest.approx(number / 29, abs=0.04)
    # The panel starts dark and the curve grows on it.
    lit = [int((frames[number].image[:, 70:].max(axis=2) > 120).sum()) for number in (0, 29)]
    assert lit[1] > lit[0] > 100


@pytest.mark.parametrize('size', ['65x47', '17x33', '1x1', '641x361'])
@pytest.mark.parametrize('fps', ['30000/1001', '7'])
def test_any_size_and_frame_rate_can_be_annotated(tmp_path, videos, writer, size, fps):
    source = tmp_path / 'odd.mkv'
    ffmpeg(
        '-f', 'lavfi', '-i', f'color=gray:size={size}:rate={fps}:duration=1', '-c:v', 'ffv1', '-pix_fmt', 'bgr0', source
    )
    expected = count_frames(source)
    output = videos.annotate_video(source, tmp_path / 'out.mp4')
    frames, info = read_all(output)
    numerator, _, denominator = fps.partition('/')
    assert len(frames) == expected and info.fps == pytest.approx(int(numerator) / int(denominator or 1), abs=1e-3)


def test_sound_is_kept_where_there_is_ffmpeg(tmp_path, videos):
    av = pytest.importorskip('av', reason='no PyAV (pip install av)')
    source = video_with_sound(tmp_path / 'sound.mp4', seconds=2)
    for suffix in ('.mp4', '.mkv', '.webm', '.avi'):
        output = videos.annotate_video(source, tmp_path / f'out{suffix}')
        with av.open(str(output)) as container:
            assert len(container.streams.audio) == 1, suffix
            loudness = max(np.abs(frame.to_ndarray().astype(float)).max() for frame in container.decode(audio=0))
        assert loudness > 0.05, suffix
        assert count_frames(output) == 20


def test_footage_with_a_varying_frame_rate_keeps_its_duration(tmp_path, videos, writer):
    source = tmp_path / 'varying.mp4'
    ffmpeg(
        '-f', 'lavfi', '-i', 'testsrc=size=64x48:rate=10:duration=6', '-vf', "select='lt(n,30)+not(mod(n,3))'",
        '-fps_mode', 'vfr', '-pix_fmt', 'yuv420p', source,
    )  # fmt: skip
    frames, info = read_all(videos.annotate_video(source, tmp_path / 'out.mp4'))
    assert len(frames) / info.fps == pytest.approx(5.9, abs=2 / info.fps)


def test_an_annotated_video_never_replaces_a_file_unasked(tmp_path, ramp, videos):
    refused(ValueError, 'is the video itself', videos.annotate_video, ramp, ramp, overwrite=True)
    (tmp_path / 'out.mp4').write_bytes(b'mine')
    refused(FileExistsError, 'exists already', videos.annotate_video, ramp, tmp_path / 'out.mp4')
    assert (tmp_path / 'out.mp4').read_bytes() == b'mine'
    videos.annotate_video(ramp, tmp_path / 'out.mp4', overwrite=True)
    assert count_frames(tmp_path / 'out.mp4') == 30
    refused(ValueError, 'must end in one of', videos.annotate_video, ramp, tmp_path / 'out.txt')


def test_a_codec_that_fails_its_trial_is_skipped(tmp_path, ramp, videos, monkeypatch):
    monkeypatch.setenv('MIQA_FFMPEG', 'none')
    real = video_writing.check_written

    def no_mp4(path, frames):
        if path.suffix == '.mp4':
            raise VideoNotWritten('the trial failed')
        real(path, frames)

    monkeypatch.setattr(video_writing, 'check_written', no_mp4)
    assert usable_opencv_codec('.mp4', (64, 48), 10)[0] == '.avi'
    output = videos.annotate_video(ramp, tmp_path / 'out.mp4')
    assert output == tmp_path / 'out.avi' and count_frames(output) == 30 and not (tmp_path / 'out.mp4').exists()


def test_an_unknown_codec_is_skipped_and_the_lack_of_any_reported():
    assert usable_opencv_codec('.avi', (64, 48), 10, codecs=(('.avi', 'ZZZZ'), ('.avi', 'MJPG'))) == ('.avi', 'MJPG')
    with pytest.raises(VideoNotWritten, match=r'tried ZZZZ in \.avi.*imageio-ffmpeg'):
        usable_opencv_codec('.avi', (64, 48), 10, codecs=(('.avi', 'ZZZZ'),))


def test_frames_that_are_missing_from_a_written_file_are_noticed(ramp):
    check_written(ramp, 30)
    refused(VideoNotWritten, 'with 31 frames, but 30 can be read back', check_written, ramp, 31)


def test_what_ffmpeg_complains_of_is_passed_on_and_nothing_is_left_behind(tmp_path, ramp, videos, monkeypatch):
    monkeypatch.setitem(video_writing._FFMPEG_CONTAINERS, '.mp4', ('no_such_codec', [], 'aac', []))
    if find_ffmpeg() is None:
        pytest.skip('no ffmpeg program (pip install imageio-ffmpeg)')
    refused(VideoNotWritten, 'no_such_codec', videos.annotate_video, ramp, tmp_path / 'out.mp4')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['ramp.avi']


def test_an_ffmpeg_that_cannot_be_started_is_reported(tmp_path, ramp, videos, monkeypatch):
    program = tmp_path / 'ffmpeg'
    monkeypatch.setenv('MIQA_FFMPEG', str(program))
    with pytest.raises(ValueError, match='MIQA_FFMPEG names .*ffmpeg, which is not a program'):
        videos.annotate_video(ramp, tmp_path / 'out.mp4')
    program.write_bytes(b'no program')
    program.chmod(0o755)
    refused(VideoNotWritten, 'cannot be started', videos.annotate_video, ramp, tmp_path / 'out.mp4')


def test_the_panel_draws_high_scores_high_and_in_green():
    panel = ScorePanel(200, 180, x_range=(0, 10))
    low, high = ScorePanel(200, 180, x_range=(0, 10)), ScorePanel(200, 180, x_range=(0, 10))
    rows = {}
    for name, drawn, score in (('low', low, 0.0), ('high', high, 1.0)):
        drawn.add(0, score)
        drawn.add(10, score)
        changed = np.abs(drawn.render(None).astype(int) - panel.render(None)).sum(axis=2)
        rows[name] = np.flatnonzero(changed.sum(axis=1)).mean()
    assert rows['high'] < rows['low'] - 30
    blue, green, red = score_color(0.0)
    assert red > green and red > blue
    blue, green, red = score_color(1.0)
    assert green > red and green > blue
    assert score_color(-3) == score_color(0) and score_color(7) == score_color(1)


def test_a_picture_beside_a_panel_keeps_its_pixels():
    image = np.random.default_rng(0).integers(0, 255, (47, 65, 3), dtype=np.uint8)
    canvas = beside(image, ScorePanel(200, 181).render(0.5))
    assert canvas.shape == (182, 266, 3)
    np.testing.assert_array_equal(canvas[67:114, :65], image)
    assert beside(image[:, :, 0], ScorePanel(200, 180).render(0.5)).shape == (180, 266, 3)


def test_a_panel_too_small_to_read_is_refused():
    refused(ValueError, 'at least 200x180', ScorePanel, 100, 100)


def test_clock_times():
    assert [clock(t) for t in (0, 9.96, 65, 3661)] == ['0:00.0', '0:10', '1:05', '1:01:01']


def test_a_report_has_plots_json_and_tables_that_agree_with_the_result(tmp_path, ramp, videos):
    result = videos.assess_video(ramp)
    paths = write_report(result, tmp_path / 'report')
    assert json.loads(paths['json'].read_text()) == result
    with open(paths['frames_csv'], newline='') as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row['score']) for row in rows] == [f['score'] for f in result['frame_results']]
    with open(paths['seconds_csv'], newline='') as stream:
        assert [int(row['second']) for row in csv.DictReader(stream)] == [0, 1, 2]
    for kind in ('frames', 'seconds', 'both'):
        assert cv2.imread(str(paths[f'{kind}_png'])).shape[1] > 1000
    refused(FileExistsError, 'say overwrite', write_report, result, tmp_path / 'report')
    write_report(result, tmp_path / 'report', overwrite=True)


def test_a_plot_carries_the_scores_and_the_mean(ramp, videos):
    result = videos.assess_video(ramp)
    upper, lower = plot_video(result, 'both').axes
    np.testing.assert_allclose(upper.lines[0].get_ydata(), [f['score'] for f in result['frame_results']])
    np.testing.assert_allclose(lower.lines[0].get_ydata(), [s['score'] for s in result['per_second_results']])
    assert upper.lines[1].get_ydata()[0] == result['mean_score']
    refused(ValueError, 'choose one of frames, seconds, both', plot_video, result, 'hours')


def test_scores_outside_zero_and_one_open_the_axes_of_plot_and_panel(tmp_path, ramp):
    class Wide(Brightness):
        def assess(self, images):
            return [2 * score - 0.5 for score in super().assess(images)]

    videos = VideoMIQA(model=Wide())
    result = videos.assess_video(ramp)
    low, high = plot_video(result, 'frames').axes[0].get_ylim()
    assert low < -0.49 and high > 1.49
    assert count_frames(videos.annotate_video(ramp, tmp_path / 'out.mp4', result=result)) == 30


def test_four_thousand_frames_need_no_more_memory_than_four_hundred(warm, tmp_path):
    tool, out = ROOT / 'tools' / 'analysis' / 'benchmark.py', tmp_path / 'out.json'
    done = warm.call('python', tool, 'video', '--frames', 4000, '--size', 160, 120, '--out', out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ((figures,),) = json.loads(out.read_text()).values()
    assert figures['frames'] == 4000
    # 3,600 decoded frames would be 198 MB; their scores are one or two MB.
    assert figures['growth_mb'] < 6


def test_a_video_whose_frames_are_not_of_the_size_it_states_is_not_annotated(tmp_path, ramp, videos):
    result = videos.assess_video(ramp)
    result['metadata']['width'] += 2
    with pytest.raises(VideoNotWritten, match=r'size of the picture changes within .*, at 0\.00 s'):
        videos.annotate_video(ramp, tmp_path / 'out.mp4', result=result)
    assert not (tmp_path / 'out.mp4').exists()
