"""Names of files are bytes; whatever they are, they are scored, written, and read back."""

# Names are bytes here, and paths are left as they are.
# ruff: noqa: PTH100, PTH102, PTH103, PTH113, PTH119, PTH207, PTH208, PTH211

import csv
import io
import json
import os
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers_apis import export_once, status_of
from helpers_pictures import file_of, smooth
from hypothesis import given
from hypothesis import strategies as st

from machine_iqa import MIQAModel
from miqa.apis.drawings.drawn_pictures import drawn_path
from miqa.cli.main import main
from miqa.keeping import atomic_write
from miqa.outside.names import NAME_BYTES, fitting_name, printable, read_name, write_name
from miqa.pictures.finding import find_images
from miqa.running.command_line import run_command

NAMES = [
    b'\xff\xfe.png', b'new\nline.png', b'return\r.png', b'return\r\n.png', b'"quotes\'and,commas;.png', b'-leading.png',
    b'--out.png', b' space .png', b'tab\t.png', b'percent:%41.png', b'100%.png', b'back\\slash.png', b'*?[1].png',
    b'$HOME.png', b'x' * 251 + b'.png', '画'.encode() * 83 + b'.png', 'schön 画.png'.encode(),
    'separator\u2028.png'.encode(), 'turned\u202egnp.exe.png'.encode(),
    '\u2066isolated\u2069 \u200f\u061c.png'.encode(),
]  # fmt: skip

#: Classes of Unicode's bidirectional algorithm: embeddings, overrides, isolates, and their ends.
TURNING = {'LRE', 'RLE', 'PDF', 'LRO', 'RLO', 'LRI', 'RLI', 'FSI', 'PDI'}


@pytest.fixture
def shots(tmp_path, monkeypatch):
    """A folder of pictures under all these names, as paths from the current folder."""
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    monkeypatch.chdir(tmp_path)
    os.mkdir('shots')
    data = file_of(smooth(), 'PNG')
    for name in NAMES:
        with open(b'shots/' + name, 'wb') as stream:
            stream.write(data)
    return sorted(os.fsdecode(b'shots/' + name) for name in NAMES)


def written_in(path: Path) -> list[str]:
    text = '' if path.suffix == '.parquet' else path.read_bytes().decode()
    return {
        '.csv': lambda: [row['image'] for row in csv.DictReader(io.StringIO(text, newline=''))],
        '.jsonl': lambda: [json.loads(line)['image'] for line in text.splitlines()],
        '.json': lambda: [row['image'] for row in json.loads(text)],
        '.parquet': lambda: list(pd.read_parquet(path).image),
    }[path.suffix]()


@given(st.binary(min_size=1, max_size=60).filter(lambda name: b'\0' not in name))
def test_every_name_is_written_in_one_line_of_utf8_and_read_back(name):
    path = os.fsdecode(name)
    text = write_name(path)
    assert os.fsencode(read_name(text)) == name
    assert text.encode('utf-8').decode('utf-8') == text and len(text.splitlines()) <= 1
    assert printable(path).encode('utf-8') and len(printable(path).splitlines()) <= 1


def test_ordinary_names_are_written_as_they_are():
    for path in ('a b/c.png', 'schön/画.png', 'it\'s 100%, "really" [1].png', 'C:\\pictures\\a.png', 'תמונה/صورة.png'):
        assert write_name(path) == path


def test_no_name_turns_the_direction_of_the_line_it_stands_in():
    turning = [chr(code) for code in range(0x110000) if unicodedata.bidirectional(chr(code)) in TURNING]
    for mark in (*turning, '\u061c', '\u200e', '\u200f'):
        path = f'a{mark}gnp.exe'
        assert write_name(path).isascii() and read_name(write_name(path)) == path
        assert printable(path) == f'a\\u{ord(mark):04x}gnp.exe'


@pytest.mark.parametrize('ending', ['.csv', '.json', '.jsonl', '.parquet'])
def test_all_names_are_scored_and_stand_in_every_format(ending, shots, weights, tmp_path, capsys):
    out = tmp_path / f'scores{ending}'
    command = ('image', 'shots', '--weights', weights, '--out', out)
    assert status_of(*command) == 0
    assert sorted(map(read_name, written_in(out))) == shots
    capsys.readouterr()
    assert status_of(*command) == 0
    assert f'0 images scored, {len(shots)} skipped' in capsys.readouterr().err


def test_names_on_stdout_may_be_given_back_on_stdin(shots, weights, capsys, monkeypatch):
    assert status_of('image', 'shots', '--weights', weights, '--quiet') == 0
    printed = [line.split(None, 2)[2] for line in capsys.readouterr().out.split('\n') if line]
    # Spaces at the beginning of a name belong to it.
    assert sorted(map(read_name, printed)) == shots
    lines = '\n'.join(printed).encode('utf-8')
    assert list(find_images(['-'], io.BytesIO(lines))) == list(map(read_name, printed))
    assert status_of('image', 'shots', '--weights', weights, '--quiet', '--json') == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.split('\n') if line]
    assert sorted(read_name(row['image']) for row in rows) == shots


def test_a_list_may_end_each_name_by_a_nul_byte_or_windows_line_ends(shots):
    data = b'\0'.join(map(os.fsencode, shots)) + b'\0'
    assert list(find_images(['-'], io.BytesIO(data))) == shots
    assert list(find_images(['-'], io.BytesIO(b'a.png\r\nb.png\r\n'))) == ['a.png', 'b.png']


def test_a_stdin_that_is_not_utf8_is_read_as_bytes(shots, weights, monkeypatch, capsys):
    name = next(path for path in shots if 'udcff' in ascii(path))
    monkeypatch.setattr(sys, 'stdin', io.TextIOWrapper(io.BytesIO(os.fsencode(name) + b'\n'), encoding='utf-8'))
    assert status_of('image', '-', '--weights', weights, '--quiet') == 0
    assert 'percent:shots/%FF%FE.png' in capsys.readouterr().out


def test_pictures_made_of_them_are_written_under_names_that_fit(shots, weights, capsys):
    command = ('image', 'shots', '--weights', weights, '--annotated', 'marked', '--out', 'scores.csv')
    assert status_of(*command) == 0
    made = [drawn_path('marked', path) for path in shots]
    assert len(set(made)) == len(shots) and all(path.is_file() for path in made)
    assert max(len(os.fsencode(path.name)) for path in made) <= NAME_BYTES
    capsys.readouterr()
    assert status_of(*command) == 0
    assert 'skipped (done before)' in capsys.readouterr().err


@pytest.mark.parametrize('mode', ['copy', 'link', 'hardlink'])
def test_filter_delivers_all_of_them(mode, shots, weights, capsys):
    command = ('filter', 'shots', '--keep', 1, '--weights', weights, '--quiet', '--scores', 'scores.csv')
    assert status_of(*command, '--to', 'good', '--mode', mode) == 0
    assert sorted(os.listdir(b'good')) == sorted(NAMES)
    assert status_of(*command) == 0
    assert sorted(map(read_name, capsys.readouterr().out.split('\n')[:-1])) == shots


def test_a_picture_that_cannot_be_written_is_its_own_error(shots, weights, capsys):
    drawn_path('marked', shots[3]).mkdir(parents=True)
    assert status_of('image', 'shots', '--weights', weights, '--annotated', 'marked', '--out', 'scores.csv') == 3
    assert 'pictures of 1 could not be written' in capsys.readouterr().err
    table = pd.read_csv('scores.csv')
    assert table.error.notna().sum() == 1 and table.score.notna().all() and len(table) == len(shots)


def test_a_picture_that_cannot_be_delivered_does_not_keep_the_others(shots, weights, capsys):
    os.makedirs('good')
    with open(os.fsencode(shots[3].replace('shots', 'good', 1)), 'wb') as stream:
        stream.write(b'another')
    command = ('filter', 'shots', '--keep', 1, '--weights', weights, '--quiet', '--to', 'good')
    assert status_of(*command) == 3
    assert sorted(os.listdir(b'good')) == sorted(NAMES)
    assert '1 good image did not reach good' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['a.csv', 'x' * 251 + '.csv', '画' * 83 + '.json', 'x.' + 'y' * 250])
def test_temporary_names_are_at_most_as_long_as_allowed(name, tmp_path):
    with atomic_write(tmp_path / name) as temporary:
        temporary.write_text('whole')
        assert len(os.fsencode(temporary.name)) <= NAME_BYTES
        assert temporary.name.startswith('.')
    assert (tmp_path / name).read_text() == 'whole' and len(list(tmp_path.iterdir())) == 1


def test_two_long_names_stay_two():
    long = ['x' * 255, 'x' * 254 + 'y', '画' * 85]
    names = [fitting_name(name, '_quality.mp4') for name in long]
    assert len(set(names)) == 3 and all(len(os.fsencode(name)) <= 255 for name in names)
    assert fitting_name('a', '.png') == 'a.png'
    assert names[2].encode('utf-8')


def test_a_result_file_with_a_name_of_255_bytes_is_written(shots, weights):
    out = 'r' * 251 + '.csv'
    assert status_of('image', shots[0], '--weights', weights, '--out', out, '--quiet') == 0
    assert Path(out).is_file()


@pytest.mark.parametrize('encoding', ['ascii', 'latin-1', 'utf-8'])
def test_stdout_of_any_encoding_names_them_all(encoding, shots, weights, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(written, encoding, write_through=True))
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: main(['image', *shots, '--model', str(weights), '--device', 'cpu', '--quiet']) or 7)
    assert ended.value.code == 7
    lines = written.getvalue().decode(encoding).splitlines()
    names = {os.path.basename(os.fsencode(read_name(line.split(None, 2)[2]))) for line in lines}
    assert names == {os.path.basename(os.fsencode(name)) for name in shots}


def test_what_stdout_cannot_hold_ends_no_command(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(written, 'ascii', write_through=True))
    run_command(lambda: print('sch\u00f6n'))
    assert written.getvalue() == b'sch\\xf6n\n'


def test_an_error_about_an_odd_name_sends_a_terminal_nothing_to_obey(shots, weights, capsys):
    assert status_of('image', shots[0], '--model', 'no\x1b[31m\udcff.pth')
    output = capsys.readouterr().err
    assert '\x1b' not in output and r'no\x1b[31m\xff.pth' in output


@pytest.fixture(scope='module')
def converted_once():
    with export_once():
        yield


@pytest.mark.parametrize('suffix', ['.onnx', '.xml'])
def test_models_are_exported_to_names_of_any_bytes_and_read_from_them(suffix, weights, converted_once, tmp_path):
    pytest.importorskip('onnx' if suffix == '.onnx' else 'openvino', reason='its package is not installed')
    pytest.importorskip('onnxscript', reason="no onnxscript (pip install 'miqa[export]')")
    picture = np.full((90, 90, 3), 90, np.uint8)
    model = MIQAModel(weights=weights, precision='fp32')
    path = model.export(os.fsdecode(os.fsencode(tmp_path) + b'/m\xff\n') + suffix)
    assert MIQAModel(path, precision='fp32').assess(picture) == pytest.approx(model.assess(picture), abs=1e-4)
