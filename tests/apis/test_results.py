"""Result files survive stops, changes and other models."""

import csv
import json
import os
import sys
from pathlib import Path

import pandas as pd
import pytest
from helpers_refusals import refused

from miqa.apis.results import COLUMNS, ResultFile, read_rows, try_out
from miqa.keeping.files import has_mark, mark_of_file
from miqa.reports.score_summary import Summary

SUFFIXES = ['.csv', '.json', '.jsonl', '.parquet']


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / name for name in ('a.png', 'b, "odd".png', 'ü\u200b.png')]
    for path in paths:
        path.write_text(path.name)
    return [str(path) for path in paths]


def fill(results, images):
    for index, image in enumerate(images):
        results.add(image, 0.125 * index, 'low', None)


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_all_formats_hold_the_same_and_can_be_gone_on_with(tmp_path, images, suffix):
    out = tmp_path / f'out{suffix}'
    first = ResultFile(out, 'm')
    fill(first, images[:2])
    first.add('gone.png', None, None, FileNotFoundError('There is no image file gone.png.'))
    first.finish()
    second = ResultFile(out, 'm')
    assert [second.has(image) for image in (*images, 'gone.png')] == [True, True, False, False]
    fill(second, images[2:])
    second.finish()
    rows = list(read_rows(out))
    assert [row['image'] for row in rows] == [images[0], images[1], 'gone.png', images[2]]
    assert [row['score'] for row in rows] == [0.0, 0.125, None, 0.0]
    assert rows[2]['error'] == 'There is no image file gone.png.' and rows[2]['bytes'] is None
    assert rows[0]['bytes'] == len('a.png')
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith('out')} == {f'out{suffix}'}


def test_other_programs_can_read_them(tmp_path, images):
    for suffix in SUFFIXES:
        results = ResultFile(tmp_path / f'out{suffix}', 'm')
        fill(results, images)
        results.finish()
    for table in (
        pd.read_csv(tmp_path / 'out.csv'), pd.read_json(tmp_path / 'out.json'),
        pd.read_json(tmp_path / 'out.jsonl', lines=True), pd.read_parquet(tmp_path / 'out.parquet'),
    ):  # fmt: skip
        assert list(table.columns) == list(COLUMNS)
        assert table.image.tolist() == images
        assert table.score.tolist() == [0.0, 0.125, 0.25]
    with open(tmp_path / 'out.csv', newline='') as stream:
        assert len(list(csv.reader(stream))) == 4
    assert len(json.loads((tmp_path / 'out.json').read_text())) == 3


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_a_killed_run_loses_nothing_but_its_torn_line(tmp_path, images, suffix):
    out = tmp_path / f'out{suffix}'
    killed = ResultFile(out, 'm')
    fill(killed, images)
    killed.close()
    journal = out if suffix == '.jsonl' else tmp_path / f'out{suffix}.part.jsonl'
    journal.write_bytes(journal.read_bytes()[:-25])
    repeated = ResultFile(out, 'm')
    assert [repeated.has(image) for image in images] == [True, True, False]
    repeated.add(images[2], 0.25, 'low', None)
    repeated.finish()
    assert [row['image'] for row in read_rows(out)] == images


def test_a_changed_or_repaired_picture_is_done_again(tmp_path, images):
    out = tmp_path / 'out.csv'
    results = ResultFile(out, 'm')
    fill(results, images[:1])
    results.add(images[1], None, None, ValueError('damaged'))
    results.finish()
    status = Path(images[0]).stat()
    os.utime(images[0], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    repeated = ResultFile(out, 'm')
    assert [repeated.has(image) for image in images[:2]] == [False, False]
    repeated.add(images[0], 0.5, 'medium', None)
    repeated.add(images[1], 0.75, 'medium', None)
    repeated.finish()
    result = [(row['image'], row['score'], row['error']) for row in read_rows(out)]
    assert result == [(images[0], 0.5, None), (images[1], 0.75, None)]


@pytest.mark.parametrize('how', ['replaced', 'replaced while it was scored', 'linked'])
def test_a_picture_replaced_with_equal_size_and_time_is_done_again_and_a_linked_one_is_not(tmp_path, images, how):
    def replace():
        os.link(images[0], tmp_path / 'link') if how == 'linked' else Path(images[0]).write_text('A.PNG')
        os.utime(images[0], ns=(10**18, 10**18))

    os.utime(images[0], ns=(10**18, 10**18))
    results = ResultFile(tmp_path / 'out.csv', 'm')
    assert not results.has(images[0])
    if how == 'replaced while it was scored':
        replace()
    fill(results, images[:1])
    results.finish()
    if how != 'replaced while it was scored':
        replace()
    repeated = ResultFile(tmp_path / 'out.csv', 'm')
    assert repeated.has(images[0]) == (how == 'linked')
    repeated.close()


def test_of_a_large_file_the_time_of_change_decides_and_it_is_not_read(tmp_path):
    (tmp_path / 'drive.mp4').touch()
    os.truncate(tmp_path / 'drive.mp4', 65 * 1024**2)
    mark = mark_of_file(tmp_path / 'drive.mp4')
    assert mark['file_crc32'] is None and has_mark(tmp_path / 'drive.mp4', mark)
    assert not has_mark(tmp_path / 'drive.mp4', mark | {'changed_ns': mark['changed_ns'] - 1})


def test_a_score_that_was_deleted_is_made_again(tmp_path, images):
    results = ResultFile(tmp_path / 'out.csv', 'm')
    results.add(images[0], 0.75, 'high', None)
    results.finish()
    (tmp_path / 'out.csv').write_text((tmp_path / 'out.csv').read_text().replace('0.75', ''))
    repeated = ResultFile(tmp_path / 'out.csv', 'm')
    assert not repeated.has(images[0])
    repeated.close()


def test_results_of_another_model_are_not_mixed_in(tmp_path, images):
    out = tmp_path / 'out.csv'
    results = ResultFile(out, 'mine')
    fill(results, images)
    results.finish()
    refused(ValueError, 'holds results of the model mine, not of yours', ResultFile, out, 'yours')
    fresh = ResultFile(out, 'yours', overwrite=True)
    assert not fresh.has(images[0])
    fresh.finish()
    assert list(read_rows(out)) == []


def test_files_of_others_are_left_alone(tmp_path):
    for name, text in (('a.csv', 'x,y\n1,2\n'), ('b.json', '{"x": 1}'), ('c.jsonl', 'hello'), ('d.parquet', 'no')):
        (tmp_path / name).write_text(text)
        refused(ValueError, 'is not a file of results', ResultFile, tmp_path / name, 'm')
        assert (tmp_path / name).read_text() == text
    # A file cut within the path of its last row, by an editor or a copy.
    cut = 'image,score,quality,error,model,bytes,modified_ns,path\nshots/a.png,0.5,low,,m,9,9,/home/sh'
    (tmp_path / 'cut.csv').write_text(cut)
    refused(ValueError, 'a row of a.png has the path of sh: it was cut', ResultFile, tmp_path / 'cut.csv', 'm')
    for name, text in (('e.csv', 'x,y\n'), ('f.json', '{}'), ('g.csv', 'x,y\n1,2\n'), ('h.json', '[1]')):
        (tmp_path / name).write_text(text)
        refused(ValueError, 'is not a file of results.*--force', ResultFile, tmp_path / name, 'm', overwrite=True)
        assert (tmp_path / name).read_text() == text
        ResultFile(tmp_path / name, 'm', force=True).finish()
        assert list(read_rows(tmp_path / name)) == []
    refused(ValueError, 'out.xlsx does not end in one of: .csv', ResultFile, tmp_path / 'out.xlsx', 'm')


@pytest.fixture
def cameras(tmp_path):
    """Two folders with pictures of the same names, sizes and times."""
    for camera in ('one', 'two'):
        for name in ('a.png', 'b.png'):
            path = tmp_path / camera / 'frames' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(camera)
            os.utime(path, ns=(10**18, 10**18))
    return tmp_path


def score(out, folder, images, value, monkeypatch, model='m'):
    """Do what the command does in a folder; return which images it scored."""
    monkeypatch.chdir(folder)
    results = ResultFile(out, model)
    todo = [image for image in images if not results.has(image)]
    for image in todo:
        results.add(image, value, 'low', None)
    results.finish()
    return todo


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_a_file_is_known_by_where_it_lies_not_by_what_was_typed(cameras, suffix, monkeypatch):
    out, typed = cameras / f'scores{suffix}', ['frames/a.png', 'frames/b.png']
    assert score(out, cameras / 'one', typed, 0.25, monkeypatch) == typed
    assert [row['image'] for row in read_rows(out)] == typed
    assert score(out, cameras / 'two', typed, 0.5, monkeypatch) == typed
    (cameras / 'link').symlink_to(cameras / 'one')
    ways = [f'{way}/a.png' for way in ('./frames', cameras / 'one/frames', '../link/frames', 'frames/../frames')]
    assert score(out, cameras / 'one', ways, 1.0, monkeypatch) == []
    rows = list(read_rows(out))
    assert [row['path'] for row in rows] == [str(cameras / c / name) for c in ('one', 'two') for name in typed]
    assert len({row['image'] for row in rows}) == 4 and [row['score'] for row in rows] == [0.25, 0.25, 0.5, 0.5]


def test_a_result_file_of_version_0_2_is_read_and_gone_on_with(cameras, monkeypatch):
    out = cameras / 'scores.csv'
    out.write_text(
        'image,score,quality,error,model,bytes,modified_ns\n'
        f'frames/a.png,0.5,low,,m,3,{10**18}\nframes/gone.png,0.5,low,,m,3,7\n'
    )
    with pytest.warns(UserWarning, match='1 rows of .* are of version 0.2'):
        assert score(out, cameras / 'one', ['frames/a.png', 'frames/b.png'], 1, monkeypatch) == ['frames/b.png']
    rows = {row['image']: row['path'] for row in read_rows(out)}
    assert rows == {
        'frames/a.png': str(cameras / 'one/frames/a.png'), 'frames/gone.png': None,
        'frames/b.png': str(cameras / 'one/frames/b.png'),
    }  # fmt: skip


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize('year', [1600, 2300])
def test_pictures_of_any_date_have_their_row(tmp_path, suffix, year, monkeypatch):
    (tmp_path / 'a.png').write_text('x')
    seconds = (year - 1970) * 31_556_952
    os.utime(tmp_path / 'a.png', (seconds, seconds))
    if (tmp_path / 'a.png').stat().st_mtime_ns != seconds * 10**9:
        pytest.skip('this disk does not keep such dates')
    out = tmp_path / f'out{suffix}'
    assert score(out, tmp_path, ['a.png'], 0.5, monkeypatch) == ['a.png']
    assert score(out, tmp_path, ['a.png'], 0.5, monkeypatch) == []


@pytest.mark.parametrize('name', ['=1+1.png', '+a.png', '-a.png', '@a.png', "'=a.png", "'a.png", '=a,"b".png'])
def test_no_name_becomes_a_formula_in_a_spreadsheet(tmp_path, name, monkeypatch):
    (tmp_path / name).write_text('x')
    assert score(tmp_path / 'out.csv', tmp_path, [name], 0.5, monkeypatch) == [name]
    with open(tmp_path / 'out.csv', newline='') as stream:
        assert not list(csv.DictReader(stream))[0]['image'].startswith(('=', '+', '-', '@'))
    assert [row['image'] for row in read_rows(tmp_path / 'out.csv')] == [name]
    assert score(tmp_path / 'out.csv', tmp_path, [name], 0.5, monkeypatch) == []


@pytest.mark.parametrize('name', ['out.csv', 'out.csv.part.jsonl', '.out.csv.lock.owner'])
def test_a_pipe_in_the_place_of_a_file_hangs_nothing(tmp_path, name):
    os.mkfifo(tmp_path / name)
    if name.endswith('owner'):
        ResultFile(tmp_path / 'out.csv', 'm').close()
    else:
        refused(ValueError, 'is a named pipe', ResultFile, tmp_path / 'out.csv', 'm')


def test_a_missing_package_of_a_format_is_reported_before_anything_is_scored(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    refused(ImportError, 'pyarrow', try_out, tmp_path / 'out.parquet')
    assert list(tmp_path.iterdir()) == []


def test_the_summary_counts_as_numpy_does():
    import numpy as np

    scores = np.random.default_rng(0).normal(0.5, 0.4, 500)
    summary = Summary()
    for score in scores:
        summary.add(float(score), 'high')
    assert summary.mean == pytest.approx(scores.mean())
    assert summary.deviation == pytest.approx(scores.std())
    inside = scores[(scores >= 0) & (scores <= 1)]
    assert summary.bins[1:-1] == np.histogram(inside, bins=10, range=(0, 1))[0].tolist()
    assert (summary.bins[0], summary.bins[-1]) == ((scores < 0).sum(), (scores > 1).sum())
    edges = Summary()
    for score in (0.0, 1.0, -0.001, 1.001) * 5:
        edges.add(score, 'low')
    assert (edges.bins[0], edges.bins[1], edges.bins[10], edges.bins[11]) == (5, 5, 5, 5)
    edges.fail('x.png', ValueError('x.png is empty'))
    text = edges.text()
    assert '20 images scored, 1 could not be read' in text and 'x.png is empty' in text and 'below 0' in text
    assert Summary().text() == '0 images scored'
