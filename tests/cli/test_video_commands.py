"""The commands ``miqa video`` and ``miqa camera``."""

import csv
import functools
import json
import os
import types

import numpy as np
import pytest
from helpers_apis import run_miqa
from helpers_videos import Named, write_video

from miqa.apis.video.assess import VideoMIQA
from miqa.apis.video.reading import count_frames
from miqa.cli import camera, video


@pytest.fixture
def miqa(monkeypatch, capsys):
    """Runs a command with the scorer of the tests; returns (exit status, what it printed, what it complained of)."""
    loaded = []
    for module in (video, camera):
        monkeypatch.setattr(module, 'load_model', lambda args: loaded.append(Named()) or loaded[-1])

    run = functools.partial(run_miqa, capsys)
    run.loaded = loaded
    return run


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / 'clips'
    (folder / 'deep').mkdir(parents=True)
    write_video(folder / 'a.avi', [0.2] * 10 + [0.8] * 10)
    write_video(folder / 'deep' / 'b.AVI', [0.5] * 20)
    (folder / 'notes.txt').write_text('not a video')
    return folder


def rows_of(log) -> list[dict[str, str]]:
    with open(log, newline='') as stream:
        return list(csv.DictReader(stream))


def test_a_video_gets_a_line(miqa, clips):
    status, out, _ = miqa('video', clips / 'a.avi', '--segment', '1', '--quiet')
    assert status == 0 and out.startswith('0.50') and 'medium' in out and 'worst 0.2' in out and '20 frames' in out


def test_a_folder_is_searched_and_each_video_gets_a_report(miqa, clips, tmp_path):
    reports = tmp_path / 'reports'
    status, out, _ = miqa('video', clips, '--out', reports, '--sampling', 'every', '--plots', 'both', '--quiet')
    assert status == 0 and len(out.splitlines()) == 2
    endings = ('.json', '_both.png', '_frames.csv', '_seconds.csv')
    assert {path.name for path in reports.iterdir()} == {n + e for n in ('a.avi', 'b.AVI') for e in endings}
    assert json.loads((reports / 'a.avi.json').read_text())['num_frames_analyzed'] == 20


def test_running_again_does_only_what_is_missing_or_has_changed(miqa, clips, tmp_path):
    command = ('video', clips, '--out', tmp_path / 'reports', '--plots', '--quiet')
    miqa(*command)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / 'reports').iterdir()}
    status, out, _ = miqa(*command)
    assert status == 0 and out.count('scored before') == 2 and miqa.loaded[-1].batches == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'reports').iterdir()} == times
    modified = (clips / 'a.avi').stat().st_mtime_ns
    content = bytearray((clips / 'a.avi').read_bytes())
    content[-1] ^= 1
    (clips / 'a.avi').write_bytes(content)
    os.utime(clips / 'a.avi', ns=(modified, modified))  # of equal size and time: told by the time of change
    status, out, err = miqa(*command)
    assert status == 3 and 'of an earlier a.avi' in err and out.count('scored before') == 1
    write_video(clips / 'a.avi', [0.9] * 12)
    status, out, _ = miqa(*command, '--overwrite')
    assert status == 0 and out.startswith('0.90')
    status, _, err = miqa(*command, '--sampling', 'every')
    assert status == 3 and err.count('of other settings') == 2


def test_a_bad_file_is_reported_and_the_rest_goes_on(miqa, clips):
    (clips / 'bad.mp4').write_bytes(b'hello' * 99)
    status, out, err = miqa('video', clips, clips / 'missing.mp4', '--quiet')
    assert status == 3 and len(out.splitlines()) == 2
    assert 'bad.mp4 is not a video' in err and 'There is no video file' in err and '2 of 4 videos' in err


def test_a_report_that_is_damaged_is_not_believed(miqa, clips, tmp_path):
    (tmp_path / 'a.avi.json').write_text('{"half":')
    status, _, err = miqa('video', clips / 'a.avi', '--out', tmp_path, '--quiet')
    assert status == 3 and '--overwrite' in err


def test_videos_of_one_name_and_empty_folders_are_reported(miqa, clips, tmp_path):
    write_video(clips / 'deep' / 'a.avi', [0.5] * 5)
    status, _, err = miqa('video', clips, '--out', tmp_path / 'reports')
    assert status == 1 and 'have the same name' in err
    # Where nothing is written, names may be the same; patterns are understood.
    status, out, _ = miqa('video', str(clips / '**' / 'a.avi'), '--quiet')
    assert status == 0 and len(out.splitlines()) == 2
    (tmp_path / 'empty').mkdir()
    status, _, err = miqa('video', tmp_path / 'empty')
    assert status == 1 and 'There are no videos in the folder' in err


def test_an_annotated_video_is_written_beside_the_scores(miqa, clips, tmp_path):
    status, out, err = miqa('video', clips / 'a.avi', '--annotate', tmp_path / 'marked', '--json', '--quiet')
    assert status == 0 and json.loads(out)['mean_score'] == pytest.approx(0.5, abs=0.01)
    assert 'Saved' in err and count_frames(tmp_path / 'marked' / 'a_quality.mp4') == 20


def test_a_file_plays_through_the_camera_command_and_is_logged(miqa, clips, tmp_path):
    log = tmp_path / 'log.csv'
    arguments = ('camera', clips / 'a.avi', '--every-frame', '--no-window', '--alert-below', '0.4', '--log', log)
    status, out, err = miqa(*arguments)
    assert status == 0 and len(out.splitlines()) == 20 and 'ALERT' in out.splitlines()[0]
    assert '20 of 20 frames scored' in err and '0 dropped' in err and '1 alerts' in err
    rows = rows_of(log)
    assert len(rows) == 20 and float(rows[0]['score']) < 0.3 and rows[0]['alert'] == 'True'
    assert list(rows[0])[-1] == 'passed'  # a scorer that cannot tell what is wrong has no columns for it
    status, _, err = miqa(*arguments)
    assert status == 1 and 'exists already' in err


def test_the_log_says_what_is_wrong_with_each_frame_as_the_results_of_a_video_do(clips, tmp_path, capsys):
    video_path, log = str(clips / 'a.avi'), tmp_path / 'log.csv'
    status, printed, _ = run_miqa(capsys, 'camera', video_path, '--every-frame', '--no-window', '--log', log)
    assert status == 0
    frames = VideoMIQA(sampling='every').assess_video(video_path)['frame_results']
    rows = rows_of(log)
    words = ('damage', 'damage_kind', 'damage_place')
    assert [[row[name] for name in words] for row in rows] == [[frame[name] for name in words] for frame in frames]
    np.testing.assert_allclose(
        [float(row['damage_strength']) for row in rows], [frame['damage_strength'] for frame in frames], atol=0.002
    )
    assert all(f'damage: {row["damage"]}' in line for row, line in zip(rows, printed.splitlines(), strict=True))


def test_a_camera_that_is_not_there_ends_the_command_with_a_sentence(miqa, monkeypatch):
    nothing = types.SimpleNamespace(isOpened=lambda: False, release=lambda: None)
    monkeypatch.setattr('cv2.VideoCapture', lambda device: nothing)
    status, _, err = miqa('camera', '0', '--no-window')
    assert status == 1 and 'Error: Camera 0 cannot be opened. Check that it is plugged in' in err


@pytest.mark.parametrize('command', ['video', 'camera', 'serve'])
def test_help_teaches_with_examples(command, capsys):
    status, text, _ = run_miqa(capsys, command, '--help')
    assert status == 0 and 'Examples:' in text and f'  miqa {command}' in text and '--weights' in text
