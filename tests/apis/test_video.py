"""Videos: reading, sampling, scores and statistics."""

import json
import math

import cv2
import numpy as np
import pytest
from helpers_refusals import refused
from helpers_videos import Brightness, encode, ffmpeg, frame_times_ok, opencv_frames, video_with_sound, write_video
from PIL import Image

from miqa.apis.video.assess import VideoMIQA
from miqa.apis.video.reader import make_info
from miqa.apis.video.reading import UnreadableVideo, count_frames, open_video
from miqa.apis.video.sampling import Sampling
from miqa.apis.video.statistics import overall_statistics, per_second, temporal_consistency, worst_segments

pytest.importorskip('av', reason='no PyAV (pip install av)')
RAMP = [i / 49 for i in range(50)]


def results(scores, interval=0.5):
    return [{'index': i, 'timestamp': i * interval, 'score': s} for i, s in enumerate(scores)]


@pytest.fixture
def ramp(tmp_path):
    """Five seconds at 10 frames per second, from black to white."""
    return write_video(tmp_path / 'ramp.avi', RAMP)


def assess(path, **options):
    arguments = {name: options.pop(name) for name in ('assume_fps', 'on_frame', 'segment_seconds') if name in options}
    return VideoMIQA(model=Brightness(), **options).assess_video(path, **arguments)


def test_every_frame_gets_the_score_that_the_model_gives_it_at_its_time(ramp):
    result = assess(ramp, sampling='every')
    frames = result['frame_results']
    assert [frame['index'] for frame in frames] == list(range(50))
    assert frame_times_ok([frame['timestamp'] for frame in frames], 10)
    np.testing.assert_allclose([frame['quality_score'] for frame in frames], RAMP, atol=0.01)
    assert result['mean_score'] == pytest.approx(0.5, abs=0.01)
    assert result['complete'] and result['warnings'] == []


def test_the_names_of_the_released_scripts_are_read_but_not_written(ramp):
    result = assess(ramp)
    released = {
        'video_path', 'video_name', 'type', 'metadata', 'frame_results', 'per_second_results', 'num_frames_analyzed',
        'num_seconds',
    }  # fmt: skip
    assert released <= set(result)
    theirs = {'average_quality', 'min_quality', 'max_quality', 'std_quality'}
    assert not theirs & set(result) and None not in [result.get(name) for name in theirs]
    frame = result['frame_results'][0]
    assert frame['quality_score'] == frame['score'] and result.get('quality_score') is None
    with pytest.raises(KeyError, match='sharpness'):
        result['sharpness']
    assert {'total_frames', 'fps', 'duration', 'width', 'height'} <= set(result['metadata'])
    assert set(frame) == {'index', 'timestamp', 'score'}
    second = {'second', 'timestamp', 'score', 'min_score', 'max_score', 'num_frames', 'std_score'}
    assert second == set(result['per_second_results'][0])
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_averages_over_seconds_and_over_frames_are_those_of_numpy(ramp):
    result = assess(ramp, sampling='every')
    scores = np.array([frame['quality_score'] for frame in result['frame_results']])
    by_second = scores.reshape(5, 10)
    for number, second in enumerate(result['per_second_results']):
        assert (second['second'], second['num_frames']) == (number, 10)
        assert second['quality_score'] == pytest.approx(by_second[number].mean())
        assert second['std_score'] == pytest.approx(by_second[number].std())
        assert (second['min_score'], second['max_score']) == (by_second[number].min(), by_second[number].max())
    assert result['average_quality'] == pytest.approx(by_second.mean(axis=1).mean())
    assert result['std_quality'] == pytest.approx(by_second.mean(axis=1).std())
    assert result['mean_score'] == pytest.approx(scores.mean())


@pytest.mark.parametrize(('options', 'expected'), [
    (dict(sampling='uniform', num_frames=5), [0, 10, 20, 30, 40]),
    (dict(sampling='uniform', num_frames=7), [int(i * 50 / 7) for i in range(7)]),
    (dict(sampling='uniform', num_frames=500), list(range(50))),
    (dict(sampling='every', every=7), list(range(0, 50, 7))),
    (dict(sampling='fps', fps=2), list(range(0, 50, 5))),
    (dict(sampling='fps', fps=4), [i for i in range(50) if i % 5 in (0, 3)]),
    (dict(sampling='fps', fps=100), list(range(50))),
])  # fmt: skip
def test_a_sampling_takes_these_frames(ramp, options, expected):
    assert [frame['index'] for frame in assess(ramp, **options)['frame_results']] == expected


@pytest.mark.parametrize('total', [31, 59, 60, 61, 1000, 99_999])
def test_uniform_sampling_takes_the_positions_of_the_released_scripts(total):
    choose = Sampling('uniform', num_frames=30).chooser(total)
    taken = [index for index in range(total) if choose(index, index / 25)]
    assert taken == [int(i * (total / 30) + 1e-9) for i in range(30)]


def test_frames_come_in_batches_and_the_scores_do_not_depend_on_them(ramp):
    scores = {}
    for size in (1, 8, 64):
        model = Brightness()
        result = VideoMIQA(model=model, sampling='every', batch_size=size).assess_video(ramp)
        scores[size] = [frame['quality_score'] for frame in result['frame_results']]
        assert sum(model.batches) == 50 and max(model.batches) == min(size, 50)
    assert scores[1] == scores[8] == scores[64]


def test_frames_are_reported_while_the_video_is_scored(ramp):
    seen = []
    assert seen == assess(ramp, sampling='every', on_frame=seen.append)['frame_results']


def test_key_frames_come_without_the_frames_between(tmp_path):
    path = video_with_sound(tmp_path / 'sound.mp4', seconds=3)
    result = assess(path, sampling='keyframes')
    assert [frame['index'] for frame in result['frame_results']] == [0, 10, 20]
    assert [frame['timestamp'] for frame in result['frame_results']] == pytest.approx([0, 1, 2])
    assert result['metadata']['frames_read'] == 3 and result['complete']


def test_without_pyav_the_error_names_what_to_install(ramp, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'av', None)
    refused(ImportError, r"A video needs av.*pip install -e '\.\[video\]'", assess, ramp)


def test_frames_of_a_varying_rate_come_at_their_times_with_the_pixels_of_opencv(tmp_path):
    path = tmp_path / 'varying.mp4'
    # A frame rate that varies: half of the frames after the first two seconds are skipped.
    ffmpeg(
        '-f', 'lavfi', '-i', 'testsrc=size=64x48:rate=10:duration=5',
        '-vf', "select='lt(n,20)+not(mod(n,2))'", '-fps_mode', 'vfr', '-pix_fmt', 'yuv420p', path,
    )  # fmt: skip
    with open_video(path) as reader:
        frames = list(reader.frames())
    times = [i / 10 for i in range(50) if i < 20 or i % 2 == 0]
    assert [frame.timestamp for frame in frames] == pytest.approx(times, abs=2e-3)
    for frame, expected in zip(frames, opencv_frames(path), strict=True):
        np.testing.assert_array_equal(frame.image, expected)


@pytest.mark.parametrize('degrees', [90, 180, 270])
def test_a_video_that_was_filmed_turned_is_scored_upright(tmp_path, degrees):
    plain, turned = video_with_sound(tmp_path / 'a.mp4', seconds=1), tmp_path / 'b.mp4'
    ffmpeg('-display_rotation', str(degrees), '-i', plain, '-c', 'copy', turned)
    with open_video(plain) as reader:
        upright = next(reader.frames()).image
    with open_video(turned) as reader:
        np.testing.assert_array_equal(next(reader.frames()).image, np.rot90(upright, degrees // 90))
        assert reader.size == ((48, 64) if degrees != 180 else (64, 48))


def test_a_file_that_is_missing_is_named(tmp_path):
    refused(FileNotFoundError, r'There is no video file .*nothing\.mp4\.', assess, tmp_path / 'nothing.mp4')


@pytest.mark.parametrize(('name', 'content', 'sentence'), [
    ('empty.mp4', b'', 'is empty'),
    ('text.mp4', b'hello ' * 100, 'is not a video in a container that is read here'),
    ('notes.txt', b'hello ' * 100, 'is not a video in a container that is read here'),
    ('picture.mp4', cv2.imencode('.png', np.zeros((9, 9, 3), np.uint8))[1].tobytes(), 'is a single picture'),
])  # fmt: skip
def test_files_without_video_are_refused(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    refused(UnreadableVideo, sentence, assess, tmp_path / name)


def test_a_folder_is_not_a_video(tmp_path):
    refused(UnreadableVideo, 'is a folder', assess, tmp_path)


def test_a_file_with_sound_only_is_not_a_video(tmp_path):
    path = tmp_path / 'sound.m4a'
    ffmpeg('-f', 'lavfi', '-i', 'sine=440:duration=1', path)
    refused(UnreadableVideo, 'has no video stream', assess, path)


def test_a_recording_without_its_index_is_reported_as_cut_off(tmp_path):
    encode(tmp_path / 'whole.mp4', [0.2] * 6)
    whole = (tmp_path / 'whole.mp4').read_bytes()
    (tmp_path / 'cut.mp4').write_bytes(whole[: whole.index(b'moov') - 4])
    refused(UnreadableVideo, 'cut off before its index was written|is not a video', assess, tmp_path / 'cut.mp4')


def test_a_video_that_ends_early_keeps_its_partial_results_and_says_so(ramp):
    whole = assess(ramp, sampling='every')
    data = ramp.read_bytes()
    cut = ramp.with_name('cut.avi')
    cut.write_bytes(data[: len(data) // 2])
    result = assess(cut, sampling='every')
    read = result['metadata']['frames_read']
    assert 5 < read < 45 and not result['complete'] and result['shortfall'] == 'ends early'
    assert result['frame_results'] == whole['frame_results'][:read]
    assert result['warnings'] == [
        f'cut.avi ends early: {read} frames of 50 announced could be read. The results cover what is there.'
    ]


def test_a_video_without_a_frame_says_so(ramp):
    data = ramp.read_bytes()
    cut = ramp.with_name('none.avi')
    cut.write_bytes(data[: data.index(b'movi') + 4])
    refused(UnreadableVideo, r'none\.avi (has no frame that can be decoded|is not a video)', assess, cut)


@pytest.mark.parametrize('fps', [math.nan, 0.0, -1.0, math.inf, 90_000.0, None])
def test_an_implausible_frame_rate_is_replaced(fps):
    info = make_info(60, fps, None, 6, 4, 'made')
    assert (info.fps, info.fps_assumed, info.duration) == (25, True, 2.4)
    assert make_info(60, fps, 50, 6, 4, 'made').duration == 1.2


def test_an_implausible_frame_rate_is_reported(ramp, monkeypatch):
    def declaring_none(total, fps, *rest, **options):
        return make_info(total, math.nan, *rest, **options)

    monkeypatch.setattr('miqa.apis.video.pyav_reader.make_info', declaring_none)
    result = assess(ramp)
    assert result['metadata']['fps'] == 25 and result['metadata']['fps_assumed']
    assert 'declares no usable frame rate' in result['warnings'][0]
    assert assess(ramp, assume_fps=50)['warnings'] == []


def test_a_wrong_frame_rate_given_by_the_user_is_refused(ramp):
    refused(ValueError, 'assume_fps must be above 0', assess, ramp, assume_fps=math.nan)


def test_a_length_of_segments_that_cannot_be_is_known_before_frames_are_scored(ramp):
    scored: list[dict] = []
    refused(ValueError, 'longer than 0 s', assess, ramp, segment_seconds=0, on_frame=scored.append)
    assert not scored


def test_an_animated_gif_is_a_video(tmp_path):
    pictures = [Image.new('L', (32, 24), value) for value in (0, 100, 200)]
    pictures[0].save(tmp_path / 'a.gif', save_all=True, append_images=pictures[1:], duration=200, loop=0)
    scores = [frame['quality_score'] for frame in assess(tmp_path / 'a.gif')['frame_results']]
    np.testing.assert_allclose(scores, [0, 100 / 255, 200 / 255], atol=0.02)


def test_frames_are_counted_by_decoding(ramp):
    assert count_frames(ramp) == 50


@pytest.mark.parametrize(
    'options', [dict(sampling='best'), dict(num_frames=0), dict(every=0), dict(fps=-1), dict(batch_size=0)]
)
def test_settings_that_make_no_sense_are_refused(options):
    refused(ValueError, 'not|choose', VideoMIQA, model=Brightness(), **options)


@pytest.mark.parametrize(('answer', 'sentence'), [([math.nan] * 8, 'not a finite number'), ([0.5], '1 scores for 8')])
def test_a_model_that_gives_no_scores_is_found_out(ramp, answer, sentence):
    class Broken:
        def assess(self, images):
            return answer

    refused(ValueError, sentence, VideoMIQA(model=Broken()).assess_video, ramp)


def test_overall_statistics_are_those_of_numpy():
    scores = np.random.default_rng(0).random(101)
    actual = overall_statistics(scores)
    assert actual['std'] == pytest.approx(scores.std()) and actual['median'] == pytest.approx(np.median(scores))
    assert actual['p05'] == pytest.approx(np.percentile(scores, 5))


def test_temporal_consistency_sees_the_largest_changes_and_when_they_were():
    actual = temporal_consistency(results([0.5, 0.6, 0.2, 0.4]))
    assert actual['mean_absolute_change'] == pytest.approx(0.7 / 3)
    assert actual['score'] == pytest.approx(1 - 0.7 / 3)
    assert (actual['largest_drop'], actual['largest_drop_at']) == (pytest.approx(0.4), 1.0)
    assert (actual['largest_rise'], actual['largest_rise_at']) == (pytest.approx(0.2), 1.5)
    assert actual['lag1_autocorrelation'] == pytest.approx(np.corrcoef([0.5, 0.6, 0.2], [0.6, 0.2, 0.4])[0, 1])


def test_a_steady_video_is_perfectly_consistent_and_a_single_frame_has_no_consistency():
    steady = temporal_consistency(results([0.7] * 5))
    assert steady['score'] == 1 and steady['largest_drop'] == 0 and steady['lag1_autocorrelation'] is None
    assert set(temporal_consistency(results([0.7])).values()) == {None}
    assert set(temporal_consistency(results([0.7]))) == set(steady)


def test_worst_segments_are_found_worst_first_and_do_not_overlap():
    scores = [0.9] * 40
    scores[10:14] = [0.2, 0.1, 0.2, 0.2]
    scores[30:34] = [0.4] * 4
    first, second, third = worst_segments(results(scores), seconds=2, count=3)
    assert (first['start'], first['end'], first['worst_frame']) == (5.0, 6.5, 11)
    assert first['mean_score'] == pytest.approx(0.175) and first['min_score'] == 0.1
    assert (second['start'], second['end']) == (15.0, 16.5)
    assert third['mean_score'] == pytest.approx(0.9) and third['num_frames'] == 4


def test_one_bad_frame_at_the_very_end_does_not_make_a_segment_of_its_own():
    worst = worst_segments(results([0.9] * 19 + [0.1]), seconds=2, count=1)[0]
    assert worst['num_frames'] == 4 and worst['end'] == 9.5


def test_a_video_shorter_than_a_segment_is_one_segment():
    assert [s['num_frames'] for s in worst_segments(results([0.5, 0.6]), seconds=10)] == [2]


def test_seconds_without_a_scored_frame_are_left_out():
    actual = per_second(results([0.1, 0.2, 0.3], interval=1.5))
    assert [second['second'] for second in actual] == [0, 1, 3]
