"""The command line from end to end, on small models."""

import io
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from helpers_apis import photo, status_of, write_photos, write_run
from helpers_pictures import file_of, smooth
from helpers_refusals import refused
from PIL import Image

from machine_iqa import MIQAModel
from miqa.apis.drawings.annotated import annotated, scale_position
from miqa.pictures import read_image
from miqa.pictures.finding import find_images


@pytest.fixture
def weights(ra_miqa_file):
    return str(ra_miqa_file)


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    monkeypatch.chdir(tmp_path)


def test_scores_are_printed_in_order_and_are_those_of_the_model(tmp_path, weights, capsys):
    paths = write_photos(tmp_path / 'shots', 3)
    assert status_of('image', *reversed(paths), '--weights', weights) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[2] for line in lines] == paths[::-1]
    expected = MIQAModel(weights=weights).assess(paths[::-1])
    assert [float(line[0]) for line in lines] == pytest.approx(expected, abs=6e-5)
    assert status_of('image', paths[0], '--weights', weights, '--json', '--thresholds', 9, -9) == 0
    row = json.loads(capsys.readouterr().out)
    assert row['quality'] == 'medium' and row['score'] == pytest.approx(expected[-1], abs=1e-6)


def test_a_folder_is_scored_once_bad_files_are_counted_and_a_second_run_does_the_rest(tmp_path, weights, capsys):
    write_photos(tmp_path / 'shots' / 'deep' / 'er', 3)
    (tmp_path / 'shots' / 'BAD.JPG').write_text('nothing')
    (tmp_path / 'shots' / 'notes.txt').write_text('no image')
    Image.fromarray(photo()).save(tmp_path / 'shots' / 'loud.JPG', 'JPEG')
    command = ('image', 'shots', '--weights', weights, '--out', 'scores.csv')
    assert status_of(*command) == 3
    output = capsys.readouterr().err
    assert '4 images scored, 1 could not be read' in output and 'BAD.JPG is not an image' in output
    table = pd.read_csv('scores.csv')
    assert len(table) == 5 and table.error.notna().sum() == 1
    shutil.copy('shots/loud.JPG', 'shots/BAD.JPG')
    write_photos(tmp_path / 'shots' / 'new', 1)
    assert status_of(*command) == 0
    assert '2 images scored, 4 skipped (done before)' in capsys.readouterr().err
    table = pd.read_csv('scores.csv')
    assert len(table) == 6 and table.error.isna().all()
    assert status_of(*command, '--batch-size', 1) == 0
    assert '0 images scored, 6 skipped' in capsys.readouterr().err


def test_patterns_stdin_and_parquet(tmp_path, weights, monkeypatch, capsys):
    paths = write_photos(tmp_path / 'shots', 2)
    assert status_of('image', 'shots/**/*.png', '--weights', weights, '--out', 'a.parquet', '--quiet') == 0
    assert sorted(pd.read_parquet('a.parquet').image) == ['shots/000.png', 'shots/001.png']
    monkeypatch.setattr('sys.stdin', io.StringIO('\n'.join([paths[1], '', paths[0], paths[1]])))
    assert status_of('image', '-', '--weights', weights) == 0
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()] == [paths[1], paths[0]]


def test_files_are_found_without_regard_to_case_and_without_others_files(tmp_path):
    for folder in ('shots/sub', 'shots/.git', 'empty'):
        (tmp_path / folder).mkdir(parents=True)
    for name in ('B.PNG', 'a.jpeg', '.hidden.png', 'x.txt', 'sub/C.TiFf', '.git/d.png'):
        (tmp_path / 'shots' / name).touch()
    result = [Path(path).relative_to('shots').as_posix() for path in find_images(['shots', 'shots/a.jpeg'])]
    assert result == ['B.PNG', 'a.jpeg', 'sub/C.TiFf']
    refused(FileNotFoundError, 'no images in the folder empty', list, find_images(['empty']))
    refused(FileNotFoundError, 'No file matches', list, find_images(['shots/*.gif']))


def test_annotated_images_and_heat_maps_are_made_and_made_again_if_missing(tmp_path, weights, capsys):
    write_photos(tmp_path / 'shots', 2)
    before = {path: path.read_bytes() for path in (tmp_path / 'shots').iterdir()}
    command = ('image', 'shots', '--weights', weights, '--out', 's.jsonl', '--annotated', 'marked', '--heatmaps', 'h')
    assert status_of(*command) == 0
    assert Image.open('marked/shots/000.png.png').height > 90
    heat, shot = Image.open('h/shots/001.png.png'), Image.open('shots/001.png')
    # Below the picture stands the scale of the colours: blue at its left end, red at its right one.
    assert heat.height > shot.height and heat.info['miqa source'] == str(Path('shots/001.png').resolve())
    row = np.asarray(heat.convert('RGB'))[shot.height + (heat.height - shot.height) // 3].astype(int)
    bar = row[np.ptp(row, axis=1) > 60]
    assert bar[0, 2] > bar[0, 0] and bar[-1, 0] > bar[-1, 2]
    Path('h/shots/001.png.png').unlink()
    assert status_of(*command) == 0
    assert '1 image scored, 1 skipped' in capsys.readouterr().err
    assert Path('h/shots/001.png.png').is_file()
    assert {path: path.read_bytes() for path in (tmp_path / 'shots').iterdir()} == before
    assert status_of('image', 'shots', '--weights', weights, '--annotated', 'shots/marked') == 1
    assert 'lies in the input folder' in capsys.readouterr().err


@pytest.mark.parametrize('score', [0.0, 0.25, 0.5, 1.0, -0.3, 1.4])
def test_the_mark_stands_where_the_score_is_on_a_scale_from_0_to_1(score):
    picture = np.zeros((100, 300, 3), np.uint8)
    drawn = np.asarray(annotated(picture, score, 'low')).astype(int)
    assert np.array_equal(drawn[:100, :300], picture)
    row = drawn[112]
    coloured = np.flatnonzero(row.max(axis=1) - row.min(axis=1) > 25)
    white = np.flatnonzero((row > 250).all(axis=1) & (np.arange(len(row)) > 90))
    left, right = min(coloured.min(), white.min()), max(coloured.max(), white.max())
    assert white.mean() == pytest.approx(left + min(max(score, 0), 1) * (right - left), abs=4)
    assert scale_position(score, 10, 110) == round(10 + 100 * min(max(score, 0), 1))
    red, green = row[coloured[2]], row[coloured[-3]]
    assert red[0] > red[1] + 50 and green[1] > green[0] + 50


def test_the_gate_copies_or_links_the_best_and_deletes_nothing(tmp_path, weights, capsys):
    paths = write_photos(tmp_path / 'shots', 5)
    (tmp_path / 'shots' / 'bad.png').write_text('bad')
    before = sorted((tmp_path / 'shots').iterdir())
    scores = dict(zip(paths, MIQAModel(weights=weights).assess(paths), strict=True))
    best = sorted(Path(path).name for path in sorted(paths, key=scores.get)[-3:])
    command = ('filter', 'shots', '--keep', 0.6, '--weights', weights, '--to', 'good', '--scores', 'scores.json')
    assert status_of(*command) == 3
    assert sorted(path.name for path in Path('good').iterdir()) == best
    assert sorted((tmp_path / 'shots').iterdir()) == before
    output = capsys.readouterr().err
    assert 'Kept 3 of 6 images in good (3 new)' in output and 'bad.png is not an image' in output
    assert status_of(*command) == 3
    assert '(0 new); lowest' in capsys.readouterr().err
    assert status_of(*('filter', 'shots', '--keep', 0.2, '--weights', weights, '--to', 'good')) == 3
    assert '(0 new), which also holds 2 images of an earlier run that this one did not keep' in capsys.readouterr().err
    linked = [word.replace('good', 'linked') if isinstance(word, str) else word for word in command]
    assert status_of(*linked, '--mode', 'link') == 3
    assert [path.is_symlink() for path in Path('linked').iterdir()] == [True] * 3
    assert status_of('filter', 'shots', '--keep', 0.5, '--weights', weights, '--to', 'shots/good') == 1
    assert 'lies in the input folder' in capsys.readouterr().err
    middle = sorted(scores.values())[2]
    assert status_of('filter', 'shots', '--threshold', middle, '--weights', weights, '--quiet') == 3
    assert sorted(Path(line).name for line in capsys.readouterr().out.splitlines()) == best
    assert status_of('filter', 'shots', '--threshold', 9, '--weights', weights, '--quiet') == 3
    assert capsys.readouterr().out == ''


def test_models_are_listed(capsys):
    assert status_of('models', '--task', 'ins', '--label', 'consistency') == 0
    output = capsys.readouterr().out
    assert 'RA-MIQA' in output and '0.8632' in output and 'no checksums' in output
    assert status_of('models', '--method', 'ra-miqa', '--json') == 0
    result = json.loads(capsys.readouterr().out)
    assert len(result) == 9
    assert result[0]['views']['image']['mean'] == [0.5, 0.5, 0.5] and result[0]['score_range'] == [0, 1]
    assert status_of('models', '--task', 'det', '--label', 'accuracy', '--method', 'resnet18') == 0


def test_the_demo_model_is_used_by_name(tmp_path, weights, capsys):
    paths = write_photos(tmp_path / 'shots', 1)
    assert status_of('image', paths[0], '--model', 'demo') == 1
    assert 'bash tools/quickstart.sh' in capsys.readouterr().err
    assert status_of('models', '--register-demo', weights) == 0
    assert status_of('image', paths[0], '--model', 'demo') == 0


def test_export_writes_once(tmp_path, capsys):
    pytest.importorskip('onnxscript', reason="needs the extra 'export'")
    write_run(tmp_path / 'best.pth')
    assert status_of('export', 'm.onnx', '--weights', 'best.pth') == 0
    assert 'pixels uint8 (batch, 3, 64, 64) RGB' in capsys.readouterr().out
    assert status_of('export', 'm.onnx', '--weights', 'best.pth') == 1
    assert '--overwrite' in capsys.readouterr().err
    (tmp_path / 'm.bin').write_bytes(b'mine')
    assert status_of('export', 'm.xml', '--weights', 'best.pth') == 1
    assert 'm.bin exists' in capsys.readouterr().err and (tmp_path / 'm.bin').read_bytes() == b'mine'
    path = write_photos(tmp_path / 'shots', 1)[0]
    scores = []
    for model in ('best.pth', 'm.onnx'):
        assert status_of('image', path, '--weights', model, '--json') == 0
        scores.append(json.loads(capsys.readouterr().out)['score'])
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


@pytest.fixture
def vit_weights(vit_file):
    return str(vit_file)


def test_fast_decoding_gives_nearly_the_same_pixels_of_large_jpegs_and_is_named_in_results(
    vit_weights, tmp_path, capsys
):
    path = tmp_path / 'large.jpg'
    path.write_bytes(file_of(smooth(1600, 1200), 'JPEG', quality=95))
    exact, fast = (MIQAModel(weights=vit_weights, decode=way) for way in ('exact', 'fast'))
    assert np.array_equal(exact.prepare(path), exact.prepare(read_image(path)[:, :, ::-1]))
    difference = np.abs(exact.prepare(path).astype(int) - fast.prepare(path))
    assert 0 < difference.mean() < 1
    # Small and other pictures are the same either way.
    for other, kind, size in (('a.jpg', 'JPEG', (150, 120)), ('b.png', 'PNG', (1600, 1200))):
        (tmp_path / other).write_bytes(file_of(smooth(*size), kind))
        assert np.array_equal(exact.prepare(tmp_path / other), fast.prepare(tmp_path / other))
    assert exact.identity != fast.identity == f'{exact.identity} decode=fast'
    refused(ValueError, 'way of decoding', MIQAModel, weights=vit_weights, decode='faster')
    assert status_of('image', path, '--weights', vit_weights, '--out', 'a.csv', '--decode', 'fast') == 0
    assert pd.read_csv('a.csv').model[0].endswith('decode=fast')
    assert status_of('image', path, '--weights', vit_weights, '--out', 'a.csv') == 1
    assert 'holds results of the model' in capsys.readouterr().err


def test_a_value_range_is_an_option_of_the_command_line(vit_weights, tmp_path, capsys):
    grey = smooth()[:, :, 0]
    cv2.imwrite('eight.png', grey)
    cv2.imwrite('twelve.png', grey.astype(np.uint16) * 16)
    assert status_of('image', 'twelve.png', '--weights', vit_weights) == 3
    assert '--value-range 4095' in capsys.readouterr().err
    for given in ('4095', '0,4095'):
        assert status_of('image', 'eight.png', 'twelve.png', '--weights', vit_weights, '--value-range', given) == 0
        scores = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
        assert scores[0] == scores[1]
    twelve = MIQAModel(weights=vit_weights, value_range=4095).assess('twelve.png')
    assert twelve == pytest.approx(MIQAModel(weights=vit_weights).assess('eight.png'), abs=1e-6)


@pytest.mark.parametrize(('given', 'expected'), [('white', 2), ('1,2,3', 1), ('5,5', 1), ('nan', 1)])
def test_an_invalid_range_is_refused(given, expected, vit_weights, capsys):
    cv2.imwrite('eight.png', smooth())
    assert status_of('image', 'eight.png', '--weights', vit_weights, '--value-range', given) == expected
    assert 'value of white, such as 4095' in capsys.readouterr().err
