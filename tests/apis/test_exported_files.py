"""An exported file from elsewhere is run only if it is what `miqa export` writes: plain layers between known ends."""

import json
import os

import numpy as np
import pytest
from helpers_apis import CNN, views_of

from machine_iqa import MIQAModel
from miqa.apis.runtimes import onnx_runtime
from miqa.apis.runtimes.exported import about
from miqa.apis.runtimes.onnx_scan import check_onnx
from miqa.apis.spec import ModelSpec
from miqa.errors import CheckpointError

onnx = pytest.importorskip('onnx', reason="no onnx (pip install 'miqa[export]')")
pytest.importorskip('onnxruntime', reason="no ONNX Runtime (pip install 'miqa[onnx]')")
helper, FLOAT, BYTE, INT64 = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8, onnx.TensorProto.INT64
PIXELS, SCORE = ('pixels', BYTE, ['B', 3, 64, 64]), ('score', FLOAT, ['B'])
ABOUT = json.dumps(about(ModelSpec('x', 'det', 'accuracy', CNN, views_of(), 72)))


def number(name, value):
    return onnx.numpy_helper.from_array(np.asarray(value), name)


def write(path, *more, takes=PIXELS, gives=SCORE, numbers=(), mean='score', axes=(1, 2, 3), kind=FLOAT, functions=()):
    """Write a network that gives the mean of the pixels, with further nodes."""
    nodes = [
        helper.make_node('Cast', [takes[0]], ['real'], to=FLOAT),
        helper.make_node('ReduceMean', ['real', 'axes'], ['mean'], keepdims=0),
        helper.make_node('Cast', ['mean'], [mean], to=kind),
        *more,
    ]
    ends = [helper.make_tensor_value_info(*takes)], [helper.make_tensor_value_info(*gives)]
    graph = helper.make_graph(nodes, 'graph', *ends, [number('axes', np.array(axes, np.int64)), *numbers])
    domains = [helper.make_opsetid('', 18), helper.make_opsetid('own', 1)]
    model = helper.make_model(graph, opset_imports=domains, ir_version=9, functions=functions)
    entry = model.metadata_props.add()
    entry.key, entry.value = 'miqa', ABOUT
    path.write_bytes(model.SerializeToString())
    return path


def test_a_plain_network_is_run(tmp_path):
    picture = np.full((64, 64, 3), 7, np.uint8)
    assert MIQAModel(write(tmp_path / 'x.onnx')).assess(picture) == 7


@pytest.mark.parametrize(
    'change',
    [
        {'takes': ('x', BYTE, ['B', 3, 64, 64])},
        {'takes': ('pixels', FLOAT, ['B', 3, 64, 64])},
        {'takes': ('pixels', BYTE, ['B', 3, 32, 32])},
        {'takes': ('pixels', BYTE, [5, 3, 64, 64]), 'gives': ('score', FLOAT, [5])},
        {'gives': ('y', FLOAT, ['B']), 'mean': 'y'},
        {'gives': ('score', INT64, ['B']), 'kind': INT64},
        {'gives': ('score', onnx.TensorProto.STRING, ['B']), 'kind': onnx.TensorProto.STRING},
        {'gives': ('score', FLOAT, ['B', 3]), 'axes': (2, 3)},
        {'gives': ('score', FLOAT, []), 'axes': (0, 1, 2, 3)},
    ],
    ids=str,
)
def test_other_inputs_and_outputs_are_named_before_anything_is_scored(tmp_path, change):
    with pytest.raises(CheckpointError, match=r'x\.onnx does not take pixels .* it has .*Export the model again'):
        MIQAModel(write(tmp_path / 'x.onnx', **change))


def endless():
    values = [helper.make_tensor_value_info(*each) for each in (('i', INT64, []), ('go', 9, []), ('v', FLOAT, ['B']))]
    results = [helper.make_tensor_value_info(*each) for each in (('on', 9, []), ('w', FLOAT, ['B']))]
    nodes = [helper.make_node('Identity', [a], [b]) for a, b in (('go', 'on'), ('v', 'w'))]
    body = helper.make_graph(nodes, 'body', values, results)
    return helper.make_node('Loop', ['times', 'yes', 'q'], ['score'], body=body)


def elsewhere(location):
    tensor = onnx.TensorProto(name='w', data_type=FLOAT, dims=[16], data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (('location', location), ('length', '64')):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


@pytest.mark.parametrize('place', ['number', 'attribute'])
@pytest.mark.parametrize('location', ['/etc/passwd', '../../etc/passwd', 'pipe', 'secret.bin'])
def test_numbers_of_other_files_are_not_read(tmp_path, location, place):
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'secret.bin').write_bytes(bytes(64))
    tensor = elsewhere(location)
    path = tmp_path / 'x.onnx'
    if place == 'number':
        write(path, helper.make_node('ReduceSum', ['w'], ['s'], keepdims=0), numbers=[tensor])
    else:
        write(path, helper.make_node('Constant', [], ['s'], value=tensor))
    with pytest.raises(CheckpointError, match='numbers in other files'):
        MIQAModel(path)


def test_loops_and_functions_are_not_run(tmp_path):
    path = tmp_path / 'x.onnx'
    numbers = [number('times', np.int64(2**62)), number('yes', np.bool_(True))]
    write(path, endless(), mean='q', numbers=numbers)
    with pytest.raises(CheckpointError, match='loops or branches'):
        MIQAModel(path)
    inner = [helper.make_node('Add', ['a', 'a'], ['b'])]
    double = helper.make_function('own', 'Double', ['a'], ['b'], inner, [helper.make_opsetid('', 18)])
    write(path, helper.make_node('Double', ['q'], ['score'], domain='own'), mean='q', functions=[double])
    with pytest.raises(CheckpointError, match='functions of its own'):
        MIQAModel(path)


def test_tensors_of_any_size_do_not_eat_the_memory(tmp_path, capfd):
    huge = number('shape', np.array([3 << 30], np.int64))
    nodes = [
        helper.make_node('ConstantOfShape', ['shape'], ['huge'], value=number('', np.ones(1, np.float32))),
        helper.make_node('ReduceMean', ['huge'], ['one'], keepdims=0),
        helper.make_node('Mul', ['q', 'one'], ['score']),
    ]
    path = write(tmp_path / 'x.onnx', *nodes, mean='q', numbers=[huge])
    with pytest.raises(CheckpointError, match=r'x\.onnx cannot score 1 pictures at once: .*--batch-size'):
        MIQAModel(path).assess(np.zeros((64, 64, 3), np.uint8))
    assert capfd.readouterr().err == ''


def test_a_cut_or_damaged_file_is_refused_by_name(tmp_path):
    path = write(tmp_path / 'x.onnx')
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for data in (
        b'',
        whole[:-3],
        whole[: len(whole) // 2],
        rng.bytes(3000),
        b'\x08' * 3000,
        b'\x3a\xff\xff\xff\xff\x7f',
    ):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r'x\.onnx is not a whole ONNX file: .*Export the model again'):
            check_onnx(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match='pipe'):
        MIQAModel(path)


def test_more_parts_than_any_network_has_are_not_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr('miqa.apis.runtimes.onnx_scan._MOST_FIELDS', 1000)
    path = tmp_path / 'x.onnx'
    path.write_bytes(b'\x08\x01' * 2000)
    with pytest.raises(CheckpointError, match='more than 1,000 parts'):
        check_onnx(path)


def test_what_fails_while_it_runs_is_a_sentence(tmp_path, monkeypatch):
    model = MIQAModel(write(tmp_path / 'x.onnx'))
    assert isinstance(model.runtime, onnx_runtime.OnnxRuntime)

    class Failing:
        def run(self, *_):
            raise Exception('first line\n  the reason')  # noqa: TRY002  as ONNX Runtime's are

    model.runtime._session = Failing()
    with pytest.raises(CheckpointError, match='the reason'):
        model.assess(np.zeros((64, 64, 3), np.uint8))


@pytest.fixture(scope='module')
def openvino_file(tmp_path_factory):
    openvino = pytest.importorskip('openvino', reason="no OpenVINO (pip install 'miqa[openvino]')")
    folder = tmp_path_factory.mktemp('openvino')
    model = openvino.convert_model(write(folder / 'x.onnx'))
    model.set_rt_info(ABOUT, ['miqa'])
    openvino.save_model(model, folder / 'x.xml')
    return folder / 'x.xml'


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        ('shape="?,3,64,64"', 'shape="?,3,32,32"', 'does not take pixels'),
        ('element_type="u8"', 'element_type="f32"', 'does not take pixels'),
        ('<net ', '<not ', 'does not begin as one'),
        ('<?xml', 'xml', 'does not begin as one'),
        ('</layers>', '<body></body></layers>', 'loops or branches'),
        ('</net>', '', 'not a whole OpenVINO model'),
    ],
)
def test_an_openvino_file_of_another_kind_is_refused_by_name(openvino_file, tmp_path, old, new, words):
    text = openvino_file.read_text()
    assert old in text
    (tmp_path / 'x.xml').write_text(text.replace(old, new))
    (tmp_path / 'x.bin').write_bytes(openvino_file.with_suffix('.bin').read_bytes())
    with pytest.raises(CheckpointError, match=rf'x\.xml .*{words}'):
        MIQAModel(tmp_path / 'x.xml')


def test_an_openvino_file_of_another_program_or_beside_a_pipe_is_not_opened(openvino_file, tmp_path):
    (tmp_path / 'x.xml').write_bytes(openvino_file.with_suffix('.onnx').read_bytes())
    (tmp_path / 'x.bin').write_bytes(b'')
    with pytest.raises(CheckpointError, match='does not begin as one'):
        MIQAModel(tmp_path / 'x.xml')
    (tmp_path / 'x.xml').write_bytes(openvino_file.read_bytes())
    (tmp_path / 'x.bin').unlink()
    os.mkfifo(tmp_path / 'x.bin')
    with pytest.raises(ValueError, match='pipe'):
        MIQAModel(tmp_path / 'x.xml')
