"""The page of scored videos: worst first, whole in one file, with what the model says is wrong over time."""

import re

import pytest
from helpers_apis import status_of
from helpers_videos import write_video

from miqa.reports import scored_videos
from miqa.reports.scored_videos import columns_of, stretches


def frame(time, kind, score=0.5, strength=2.0):
    return {'timestamp': time, 'score': score, 'damage_kind': kind, 'damage_strength': strength}


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    """The page on two videos, one of which goes dark in the middle, and a file that is none."""
    folder = tmp_path_factory.mktemp('clips')
    write_video(folder / 'bright<b>.avi', [0.6] * 20)
    write_video(folder / 'dark.avi', [0.6] * 20 + [0.02] * 20 + [0.6] * 20)
    (folder / 'bad.mp4').write_bytes(b'no video' * 99)
    path = folder / 'page.html'
    arguments = ('--num-frames', 12, '--report', path, '--quiet')
    assert status_of('video', folder, *arguments) == 3
    return path.read_text(encoding='utf-8')


def test_each_video_has_its_curve_its_threshold_and_thumbnails_of_its_worst_segments(page):
    assert page.count('<h3>') == 2
    assert '<b>.avi' not in page and '&lt;b&gt;.avi' in page
    assert page.count('<polyline') == 2 and page.count('high from 0.') == 2
    assert page.count('data:image/jpeg;base64,') == page.count('<figure>') >= 2
    scores = [float(score) for score in re.findall(r'<p><span class="score">([\d.-]+)<', page)]
    assert scores == sorted(scores)


def test_the_kind_of_damage_is_shown_over_time_and_what_was_not_read_is_named(page):
    assert page.count('class="strip"') == 2 and page.count('class="legend"') == 2
    assert 'Not read: 1' in page and 'bad.mp4 is not a video' in page
    assert not re.search(r'(src|href)="(?!data:)', page), 'the page opens offline'


def test_neighbouring_frames_of_one_kind_are_one_stretch_that_meets_the_next():
    frames = [frame(0.0, 'fog'), frame(1.0, 'fog', strength=4.0), frame(2.0, 'none'), frame(4.0, 'fog')]
    runs = [(start, end, kind) for start, end, kind, _ in stretches(columns_of(frames))]
    assert runs == [(0.0, 1.5, 'fog'), (1.5, 3.0, 'none'), (3.0, 5.0, 'fog')]
    assert stretches(columns_of(frames))[0][3] == 3.0
    assert stretches(columns_of([{'timestamp': 0.0, 'score': 0.5}])) == []


def test_a_long_video_keeps_its_lowest_frames_in_few_columns():
    frames = [frame(float(number), 'fog', score=0.1 if number == 4321 else 0.9) for number in range(20_000)]
    columns = columns_of(frames)
    assert len(columns) == 1000 and min(column.score for column in columns) == 0.1
    assert columns[0].start == 0.0 and columns[-1].end == 20_000 - 0.5


def test_of_many_videos_the_lowest_are_shown_and_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(scored_videos, 'SHOWN', 1)
    for name, value in (('a', 0.6), ('b', 0.01), ('c', 0.6)):
        write_video(tmp_path / f'{name}.avi', [value] * 5)
    assert status_of('video', tmp_path, '--num-frames', 2, '--report', tmp_path / 'page.html', '--quiet') == 0
    page = (tmp_path / 'page.html').read_text()
    assert re.findall(r'<h3>.*/(\w)\.avi</h3>', page) == ['b'] and 'The 1 lowest of 3 videos are shown.' in page
