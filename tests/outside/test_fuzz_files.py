"""Every reader answers a damaged or made-up file with a sentence, soon, and touches nothing else.

Each test damages a good file at places that hypothesis chooses (bytes changed, cut out, doubled, cut off), or replaces
it by bytes of its own. What comes back must be an error that readers promise (MIQAError, ValueError or OSError), or
what was written where the file has checksums, or else a result as its reader describes it.
"""

import io
import json
import math
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_apis import CNN, views_of, write_run
from helpers_database import write_database
from helpers_fuzz import examples
from helpers_pictures import file_of
from helpers_videos import write_video
from hypothesis import given
from hypothesis import strategies as st

from machine_iqa import MIQAModel
from miqa.annotations.coco import read_coco
from miqa.apis.gate_fit import Gate
from miqa.apis.gate_threshold import digest_of as gate_digest
from miqa.apis.results import COLUMNS, read_rows, write_rows
from miqa.apis.runtimes.exported import read_about
from miqa.apis.video.reading import count_frames
from miqa.datasets.index import SampleIndex
from miqa.datasets.index_store import open_index
from miqa.errors import MIQAError
from miqa.models import read_checkpoint
from miqa.outside.json_text import read_settings
from miqa.outside.tables import parse_table
from miqa.pictures import read_image
from miqa.pictures.reading import picture_size

PROMISED = (MIQAError, ValueError, OSError)
#: Seconds that reading a small file may take on a busy machine.
SOON = 20
few = examples(10)
many = examples(25)


@st.composite
def damage(draw):
    """A function from bytes to other bytes."""
    kind = draw(st.sampled_from(['change', 'remove', 'double', 'cut', 'replace', 'insert']))
    place = draw(st.floats(0, 1))
    length = draw(st.integers(1, 64))
    fresh = draw(st.binary(min_size=1, max_size=64))

    def apply(data: bytes) -> bytes:
        at = int(place * len(data))
        if kind == 'change':
            return data[:at] + fresh + data[at + len(fresh) :]
        if kind == 'remove':
            return data[:at] + data[at + length :]
        if kind == 'double':
            return data[:at] + data[at : at + length] * 2 + data[at + length :]
        if kind == 'insert':
            return data[:at] + fresh + data[at:]
        return data[:at] if kind == 'cut' else fresh

    return apply


def read(reader, data: bytes, suffix: str, check=lambda result: None) -> None:
    """Call a reader with a file of these bytes, and ``check`` with its result; other errors, or a long time, fail."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f'x{suffix}')
        path.write_bytes(data)
        started = time.process_time()
        try:
            result = reader(path)
        except PROMISED as error:
            assert path.name in str(error), 'an error must name the file'
        else:
            check(result)
        assert time.process_time() - started < SOON
        # Locks and journals of our own may lie beside the file; nothing that the file asked for.
        assert {item.name.lstrip('.').partition('.')[0] for item in Path(folder).iterdir()} <= {'x'}


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    write_run(folder / 'best.pth', CNN)
    return (folder / 'best.pth').read_bytes()


def tensors_of(data: bytes) -> dict:
    return torch.load(io.BytesIO(data), weights_only=True)['state_dict']


@few
@given(change=damage())
def test_checkpoints(checkpoint, change):
    def check(result):
        # Each record of a zip file has a checksum.
        truth = tensors_of(checkpoint)
        assert {name: value.tolist() for name, value in result['state_dict'].items()} == {
            name: value.tolist() for name, value in truth.items()
        }

    read(read_checkpoint, change(checkpoint), '.pth', check)


@few
@given(change=damage())
def test_checkpoints_of_the_old_format(change):
    stream = io.BytesIO()
    torch.save({'network.x': torch.zeros(3), 'meta': {'a': 1}}, stream, _use_new_zipfile_serialization=False)
    read(read_checkpoint, change(stream.getvalue()), '.pth')


@few
@given(change=damage())
def test_weights_and_configs_of_a_folder(checkpoint, change):
    with tempfile.TemporaryDirectory() as folder:
        good = Path(folder, 'good.pth')
        good.write_bytes(checkpoint)
        saved = MIQAModel(weights=good).save_pretrained(Path(folder, 'saved'))
        for name in ('config.json', 'model.safetensors'):
            whole = (saved / name).read_bytes()
            (saved / name).write_bytes(change(whole))
            try:
                MIQAModel.from_pretrained(saved)
            except PROMISED as error:
                assert str(error).strip()
            (saved / name).write_bytes(whole)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@many
@given(change=damage())
def test_settings(change):
    data = change(json.dumps({'a': [1, {'b': None}], 'c': 'd'}).encode())

    def check(result):
        assert result == json.loads(data.decode('utf-8-sig'))

    read(read_settings, data, '.json', check)


@many
@given(value=json_values, key=st.sampled_from(['spec', 'precision', 'input']))
def test_the_metadata_of_exported_files(value, key):
    spec = {'method': 'x', 'task': None, 'label': None, 'network': {}, 'views': value, 'short_side': 288}
    strange = [{**spec, 'network': value, 'method': value}, {**spec, 'interpolation': value, 'views': views_of()}]
    for about in ({key: value}, {'spec': value}, *({'spec': one} for one in (spec, *strange))):
        try:
            read_about(json.dumps(about), 'x.onnx')
        except PROMISED as error:
            assert 'x.onnx' in str(error)


@pytest.fixture(scope='module')
def index(tmp_path_factory):
    root = write_database(tmp_path_factory.mktemp('db'), 'cls', sources=3)
    return open_index(root, 'cls', 'train').path.read_bytes()


@few
@given(change=damage())
def test_indexes(index, change):
    def use(path):
        actual = SampleIndex(path)
        return [actual.image(row) for row in range(len(actual))], actual.labels('composite').tolist()

    def check(result):
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder, 'x.arrow')
            whole.write_bytes(index)
            assert result == use(whole)

    read(use, change(index), '.arrow', check)


@many
@given(change=damage(), entry=json_values)
def test_coco_files(change, entry):
    instance = {'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [1, 2, 3, 4], 'segmentation': [[1, 2, 3, 4, 5, 6]]}
    whole = {
        'images': [{'id': 1, 'file_name': 'a.jpg', 'width': 9, 'height': 9}],
        'annotations': [instance, {**instance, 'id': 2, 'segmentation': {'size': [9, 9], 'counts': [40, 41]}}],
        'categories': [{'id': 1, 'name': 'x'}],
    }
    read(read_coco, change(json.dumps(whole).encode()), '.json')
    for kind, fields in (('images', 4), ('annotations', 5), ('categories', 2)):
        for field in list(whole[kind][0])[:fields]:
            read(read_coco, json.dumps({**whole, kind: [{**whole[kind][0], field: entry}]}).encode(), '.json')


@many
@given(data=st.binary(max_size=200) | st.text(max_size=200).map(str.encode), change=damage())
def test_tables(data, change):
    for content in (data, change('a;b,c\n1;2,3\r\n"x",y\n'.encode('utf-8-sig'))):
        try:
            parse_table(content, ['a'], 'The file x', optional=['b'])
        except PROMISED as error:
            assert 'The file x' in str(error)


GATE = Gate(0.5, 0.9, None, 0.95, 0.8, 0.93, 0.1, 120, 12, None)


def written(gate: dict) -> bytes:
    """The bytes of a gate file with these fields, whose checksum fits; of NaN and infinity there is none."""
    try:
        digest = gate_digest(gate)
    except ValueError:
        digest = 'none'
    return json.dumps({'format': 1, 'gate': gate, 'sha256': digest}).encode()


def test_the_gate_that_is_damaged_below_is_whole():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'x.json')
        path.write_bytes(written(asdict(GATE)))
        assert Gate.load(path) == GATE


@many
@given(change=damage())
def test_gates(change):
    def check(gate):
        assert gate == GATE

    read(Gate.load, change(written(asdict(GATE))), '.json', check)


@many
@given(field=st.sampled_from(sorted(asdict(GATE))), value=json_values)
def test_a_gate_with_any_value_in_a_field_is_a_gate_or_a_sentence(field, value):
    def use(path):
        gate = Gate.load(path)
        assert gate.passes([0.0, 1.0]).dtype == bool
        assert gate.describe().startswith('Pictures with a score')

    read(use, written({**asdict(GATE), field: value}), '.json')


@many
@given(value=json_values)
def test_gates_of_any_content(value):
    read(Gate.load, json.dumps(value).encode(), '.json')
    read(Gate.load, json.dumps({'format': 1, 'gate': value, 'sha256': 'x'}).encode(), '.json')


noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
PICTURES = {suffix: file_of(noise, kind) for suffix, kind in (
    ('png', 'PNG'), ('webp', 'WEBP'), ('tif', 'TIFF'), ('bmp', 'BMP'), ('gif', 'GIF'),
)}  # fmt: skip
PICTURES['jpg'] = file_of(noise, 'JPEG', exif=b'Exif\0\0MM\0*\0\0\0\x08\0\0')


@pytest.mark.parametrize('suffix', PICTURES)
@few
@given(change=damage())
def test_pictures(suffix, change):
    data = change(PICTURES[suffix])

    def check(pixels):
        width, height = picture_size(data)
        assert (pixels.shape, pixels.dtype) == ((height, width, 3), np.uint8)
        # Each chunk of a PNG file has a checksum.
        assert suffix != 'png' or np.array_equal(pixels, noise)

    read(read_image, data, f'.{suffix}', check)


@pytest.fixture(scope='module', params=['.csv', '.jsonl', '.json'])
def results(request, tmp_path_factory):
    path = tmp_path_factory.mktemp('results') / f'x{request.param}'
    row = {'image': 'a.jpg', 'score': 0.5, 'quality': 'high', 'error': None, 'model': 'm', 'bytes': 9, 'modified_ns': 7}
    row |= {'changed_ns': 8, 'file_crc32': 6}
    rows = [{**row, 'path': '/a.jpg'}, {**row, 'image': 'b, "c".jpg', 'path': '/b, "c".jpg'}]
    write_rows(path, rows)
    assert list(read_rows(path)) == rows
    return path


@few
@given(change=damage())
def test_results(results, change):
    read(lambda path: list(read_rows(path)), change(results.read_bytes()), results.suffix, check_rows)


def check_rows(rows):
    for row in rows:
        for name, kind in COLUMNS.items():
            assert row[name] is None or type(row[name]) is kind, (name, row[name])
        assert math.isfinite(row['score'] or 0)


@many
@given(field=st.sampled_from(sorted(COLUMNS)), value=json_values)
def test_a_row_with_any_value_in_a_field_is_a_row_or_a_sentence(field, value):
    row = {**dict.fromkeys(COLUMNS), 'image': 'a.jpg', field: value}
    for suffix, text in (('.json', json.dumps([row])), ('.jsonl', json.dumps(row) + '\n')):
        read(lambda path: list(read_rows(path)), text.encode(), suffix, check_rows)


@pytest.fixture(scope='module')
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp('video') / 'x.avi', [0.1, 0.5, 0.9]).read_bytes()


@few
@given(change=damage())
def test_videos(video, change):
    def check(frames):
        # A second recording in one file may double them; more can only be made up.
        assert 0 <= frames <= 6

    read(count_frames, change(video), '.avi', check)
