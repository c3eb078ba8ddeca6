"""An exported file from elsewhere is run only if it is what `miqa export` writes: plain layers between known ends."""

import hashlib
import json
import os
import time
from types import SimpleNamespace

import numpy as np
import pytest
from helpers_apis import CNN, views_of
from helpers_refusals import refused

from machine_iqa import MIQAModel
from miqa.apis.runtimes import onnx_runtime
from miqa.apis.runtimes.exported import about
from miqa.apis.spec import ModelSpec
from miqa.errors import CheckpointError
from miqa.networks import onnx_session
from miqa.networks.onnx_files import read_onnx
from miqa.networks.onnx_session import open_onnx

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


@pytest.mark.parametrize('change', [
    {'takes': ('x', BYTE, ['B', 3, 64, 64])},
    {'takes': ('pixels', FLOAT, ['B', 3, 64, 64])},
    {'takes': ('pixels', BYTE, ['B', 3, 32, 32])},
    {'takes': ('pixels', BYTE, [5, 3, 64, 64]), 'gives': ('score', FLOAT, [5])},
    {'gives': ('y', FLOAT, ['B']), 'mean': 'y'},
    {'gives': ('score', INT64, ['B']), 'kind': INT64},
    {'gives': ('score', onnx.TensorProto.STRING, ['B']), 'kind': onnx.TensorProto.STRING},
    {'gives': ('score', FLOAT, ['B', 3]), 'axes': (2, 3)},
    {'gives': ('score', FLOAT, []), 'axes': (0, 1, 2, 3)},
], ids=str)  # fmt: skip
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
    refused(CheckpointError, 'numbers in other files', MIQAModel, path)


def test_loops_and_functions_are_not_run(tmp_path):
    path = tmp_path / 'x.onnx'
    numbers = [number('times', np.int64(2**62)), number('yes', np.bool_(True))]
    write(path, endless(), mean='q', numbers=numbers)
    refused(CheckpointError, 'loops or branches', MIQAModel, path)
    inner = [helper.make_node('Add', ['a', 'a'], ['b'])]
    double = helper.make_function('own', 'Double', ['a'], ['b'], inner, [helper.make_opsetid('', 18)])
    write(path, helper.make_node('Double', ['q'], ['score'], domain='own'), mean='q', functions=[double])
    refused(CheckpointError, 'functions of its own', MIQAModel, path)


def enlarging(path, most):
    """Write a network that holds a little more than so many bytes while it computes."""
    nodes = [
        helper.make_node('Expand', ['q', 'shape'], ['huge']),
        helper.make_node('ReduceMean', ['huge', 'first'], ['score'], keepdims=0),
    ]
    shape = np.array([most // 4 + 1, 1], np.int64)
    return write(path, *nodes, mean='q', numbers=[number('shape', shape), number('first', np.array([0], np.int64))])


def test_tensors_of_any_size_do_not_eat_the_memory(tmp_path, capfd):
    path = enlarging(tmp_path / 'x.onnx', onnx_session.MOST_MEMORY)
    with pytest.raises(CheckpointError, match=r'x\.onnx cannot score 1 pictures at once: .*--batch-size'):
        MIQAModel(path).assess(np.zeros((64, 64, 3), np.uint8))
    session, _ = open_onnx(enlarging(path, onnx_session.MOST_MEMORY_OF_MACHINES))
    refused(Exception, 'memory', session.run, None, {'pixels': np.zeros((1, 3, 64, 64), np.uint8)})
    assert capfd.readouterr().err == ''


def test_a_cut_or_damaged_file_is_refused_by_name(tmp_path):
    path = write(tmp_path / 'x.onnx')
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    strange = b'', rng.bytes(3000), b'\x08' * 3000, b'\x3a\xff\xff\xff\xff\x7f'
    for data in (whole[:-3], whole[: len(whole) // 2], *strange):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r'x\.onnx is not a whole ONNX file: .*Export the model again'):
            read_onnx(path, plain=True)
    path.unlink()
    os.mkfifo(path)
    refused(ValueError, 'pipe', MIQAModel, path)


def test_what_fails_while_it_runs_is_a_sentence(tmp_path, monkeypatch):
    model = MIQAModel(write(tmp_path / 'x.onnx'))
    assert isinstance(model.runtime, onnx_runtime.OnnxRuntime)

    class Failing:
        def run(self, *_):
            raise Exception('first line\n  the reason')  # noqa: TRY002  as ONNX Runtime's are

    model.runtime._session = Failing()
    refused(CheckpointError, 'the reason', model.assess, np.zeros((64, 64, 3), np.uint8))


def varint(value):
    out = b''
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, data, tag=None):
    return (tag or varint(number << 3 | 2)) + varint(len(data)) + data


def hidden_graph():
    return onnx.GraphProto(node=[endless()], initializer=[elsewhere('secret.bin')]).SerializeToString()


TAGS = varint(7 << 3 | 2 | 1 << 32), b'\xba\x80\x80\x80\x10', b'\xba\x80\x80\x80\x00', b'\xba\x00'


@pytest.mark.parametrize('tag', [*TAGS, b'\xba' + b'\x80' * 8 + b'\x01'], ids=bytes.hex)
def test_a_field_that_parsers_read_differently_is_refused(tmp_path, tag):
    (tmp_path / 'secret.bin').write_bytes(bytes(64))
    path = write(tmp_path / 'x.onnx')
    for data in (path.read_bytes() + field(7, hidden_graph(), tag), field(7, hidden_graph(), tag) + path.read_bytes()):
        path.write_bytes(data)
        refused(CheckpointError, r'x\.onnx is not a whole ONNX file: .*no known kind', MIQAModel, path)


def test_a_second_graph_is_merged_before_the_check_and_not_after(tmp_path):
    path = write(tmp_path / 'x.onnx')
    path.write_bytes(path.read_bytes() + field(7, hidden_graph()))
    refused(CheckpointError, 'loops or branches|other files', MIQAModel, path)


def test_onnx_runtime_gets_what_was_checked_and_neither_path_nor_bytes_of_the_file(tmp_path, monkeypatch):
    import onnxruntime

    path = write(tmp_path / 'x.onnx')
    model = onnx.load(path)
    # Its fifth to eighth byte are then those by which ONNX Runtime tells its own format.
    model.producer_name = 'ORTM'
    path.write_bytes(b'\x08\x09\x12\x04ORTM' + model.SerializeToString() + field(999, b'unknown'))
    given, session = [], onnxruntime.InferenceSession

    def recorded(source, *args, **options):
        given.append(source)
        return session(source, *args, **options)

    monkeypatch.setattr(onnxruntime, 'InferenceSession', recorded)
    assert MIQAModel(path).assess(np.full((64, 64, 3), 7, np.uint8)) == 7
    assert given == [model.SerializeToString(deterministic=True)] and b'unknown' not in given[0]


@pytest.mark.parametrize(('node', 'message'), [
    (('EPContext', 'com.microsoft'), 'EPContext'),
    (('RandomUniformLike', ''), 'RandomUniformLike'),
    (('SequenceConstruct', ''), 'SequenceConstruct'),
    (('Mine', 'own'), 'own.Mine'),
], ids=lambda each: each[0] if isinstance(each, tuple) else '')  # fmt: skip
def test_operators_beyond_the_list_are_not_run(tmp_path, node, message):
    kind, domain = node
    more = {'ep_cache_context': 'secret'} if kind == 'EPContext' else {}
    node = helper.make_node(kind, ['q'], ['score'], domain=domain, **more)
    refused(CheckpointError, message, MIQAModel, write(tmp_path / 'x.onnx', node, mean='q'))


def functions(*calls):
    """Functions of one name each; ``calls`` are the names that the n-th one calls."""
    made = []
    for place, names in enumerate(calls):
        nodes = [helper.make_node(name, ['a'], ['b'], domain='own' * (name != 'Identity')) for name in names]
        domains = [helper.make_opsetid('own', 1), helper.make_opsetid('', 17)]
        made.append(helper.make_function('own', f'F{place}', ['a'], ['b'], nodes, domains))
    return made


@pytest.mark.parametrize(('calls', 'message'), [
    ([['F1'], ['F0']], 'functions that call themselves'),
    ([[f'F{place + 1}'] * 2 for place in range(40)] + [[]], 'more than 50,000 nodes'),
    ([[f'F{place + 1}'] for place in range(2000)] + [[]], 'functions or graphs that are nested too deep'),
    ([['Identity'], ['F1', 'Unknown']], None),
], ids=['circle', 'doubling', 'chain', 'uncalled'])  # fmt: skip
def test_functions_of_a_machine_end(tmp_path, calls, message):
    call = helper.make_node('F0', ['q'], ['score'], domain='own')
    path = write(tmp_path / 'x.onnx', call, mean='q', functions=functions(*calls))
    if message is None:  # what nothing calls was not looked at, and is not handed on
        assert [each.name for each in onnx.ModelProto.FromString(read_onnx(path, plain=False).model).functions] == [
            'F0'
        ]
        open_onnx(path)
    else:
        refused(CheckpointError, message, open_onnx, path)


def test_loops_of_a_machine_are_run_up_to_a_number_of_rounds(tmp_path):
    for rounds in (10, 10**15):
        numbers = [number('times', np.int64(rounds)), number('yes', np.bool_(True))]
        path = write(tmp_path / 'x.onnx', endless(), mean='q', numbers=numbers)
        if rounds == 10:
            pixels = np.full((1, 3, 64, 64), 7, np.uint8)
            assert open_onnx(path)[0].run(None, {'pixels': pixels})[0].tolist() == [7]
        else:
            refused(CheckpointError, 'a loop of more than 1,000,000 rounds', open_onnx, path)


def test_a_loop_whose_rounds_are_computed_ends_with_its_time(tmp_path, monkeypatch, caplog):
    rounds = [
        helper.make_node('ReduceMax', ['q'], ['most'], keepdims=0),
        helper.make_node('Mul', ['most', 'many'], ['product']),
        helper.make_node('Cast', ['product'], ['times'], to=INT64),
    ]
    numbers = [number('many', np.float32(1e12)), number('yes', np.bool_(True))]
    session, _ = open_onnx(write(tmp_path / 'x.onnx', *rounds, endless(), mean='q', numbers=numbers))
    monkeypatch.setattr(onnx_session, 'FIRST_RUN_SECONDS', 0.1)
    for value in (7, 0):  # what was given up is not tried again
        with pytest.raises(CheckpointError, match=r'x\.onnx has computed for 0\.1 seconds without an end'):
            session.run(None, {'pixels': np.full((1, 3, 64, 64), value, np.uint8)})

    def one_operator(names, feeds, options):
        while not caplog.records:
            time.sleep(0.01)

    monkeypatch.setattr(onnx_session, 'SECONDS_OF_AN_OPERATOR', 0.0)
    onnx_session.OnnxSession(SimpleNamespace(run=one_operator), (tmp_path / 'x.onnx',)).run(None, {})
    assert 'x.onnx computes one operator without an end' in caplog.text


def test_numbers_of_a_machine_may_lie_beside_it_and_nowhere_else(tmp_path):
    (tmp_path / 'w.data').write_bytes(np.full(16, 2, np.float32).tobytes())
    nodes = [
        helper.make_node('ReduceMean', ['w'], ['two'], keepdims=0),
        helper.make_node('Mul', ['q', 'two'], ['score']),
    ]
    path = write(tmp_path / 'x.onnx', *nodes, mean='q', numbers=[elsewhere('w.data')])
    pixels = np.full((1, 3, 64, 64), 7, np.uint8)
    assert open_onnx(path)[0].run(None, {'pixels': pixels})[0].tolist() == [14]
    for place in ('/etc/passwd', '../w.data', 'folder/w.data', ''):
        write(path, *nodes, mean='q', numbers=[elsewhere(place)])
        refused(CheckpointError, 'other files', open_onnx, path)
    os.mkfifo(tmp_path / 'pipe')
    write(path, *nodes, mean='q', numbers=[elsewhere('pipe')])
    refused(ValueError, 'pipe', open_onnx, path)


def test_a_shipped_file_is_not_inspected(tmp_path, monkeypatch):
    path = write(tmp_path / 'x.onnx')
    monkeypatch.setattr('miqa.networks.onnx_session.read_onnx', None)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert onnx_runtime.OnnxRuntime(path, sha256=digest)(np.full((1, 3, 64, 64), 7, np.uint8)).tolist() == [7]
    refused(TypeError, '', onnx_runtime.OnnxRuntime, path, sha256='0' * 64)


def test_more_parts_than_any_network_has_are_counted_before_they_are_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr('miqa.networks.onnx_files._MOST_PARTS', 10_000)
    monkeypatch.setattr(onnx.ModelProto, 'FromString', None)
    path = tmp_path / 'x.onnx'
    nodes, numbers_of_a_tensor = b'\x0a\x00' * 11_000, field(5, field(7, b'\x01' * 11_000))
    for data in (b'\x08\x01' * 11_000, field(7, nodes), field(7, numbers_of_a_tensor)):
        path.write_bytes(data)
        refused(CheckpointError, 'more than 10,000 parts', MIQAModel, path)


@pytest.fixture(scope='module')
def openvino_file(tmp_path_factory):
    openvino = pytest.importorskip('openvino', reason="no OpenVINO (pip install 'miqa[openvino]')")
    folder = tmp_path_factory.mktemp('openvino')
    model = openvino.convert_model(write(folder / 'x.onnx'))
    model.set_rt_info(ABOUT, ['miqa'])
    openvino.save_model(model, folder / 'x.xml')
    return folder / 'x.xml'


@pytest.mark.parametrize(('old', 'new', 'message'), [
    ('shape="?,3,64,64"', 'shape="?,3,32,32"', 'does not take pixels'),
    ('element_type="u8"', 'element_type="f32"', 'does not take pixels'),
    ('<net ', '<not ', 'does not begin as one'),
    ('<?xml', 'xml', 'does not begin as one'),
    ('</layers>', '<body></body></layers>', 'loops or branches'),
    ('<layer ', '<body></body><layer ', 'loops or branches'),
    ('</layers>', '<port_map></port_map></layers>', "an element 'port_map'"),
    ('type="ReduceMean" version="opset1"', 'type="ReadValue" version="opset6"', "'opset6.ReadValue'"),
    ('type="ReduceMean" version="opset1"', 'type="ReduceMean" version="extension"', "'extension.ReduceMean'"),
    ('<net ', '<!DOCTYPE net [<!ENTITY a "a">]><net ', 'does not begin as one'),
    ('</net>', '<a>' * 20 + '</a>' * 20 + '</net>', 'within one another'),
    ('</net>', '', 'not a whole OpenVINO model'),
    ('<?xml version="1.0"?>', '<?xml version="1.0" encoding="x"?>', 'not a whole OpenVINO model'),
])  # fmt: skip
def test_an_openvino_file_of_another_kind_is_refused_by_name(openvino_file, tmp_path, old, new, message):
    text = openvino_file.read_text()
    assert old in text
    (tmp_path / 'x.xml').write_text(text.replace(old, new))
    (tmp_path / 'x.bin').write_bytes(openvino_file.with_suffix('.bin').read_bytes())
    refused(CheckpointError, rf'x\.xml .*{message}', MIQAModel, tmp_path / 'x.xml')


def test_openvino_gets_what_was_checked_and_neither_path_nor_text_of_the_file(openvino_file, tmp_path, monkeypatch):
    from miqa.apis.runtimes import openvino_runtime

    text = openvino_file.read_text().replace('</net>', '<!-- a word --></net>')
    before, _, after = text.rpartition('<rt_info>')
    (tmp_path / 'x.xml').write_text(f'{before}<rt_info><other value="1" />{after}')
    (tmp_path / 'x.bin').write_bytes(openvino_file.with_suffix('.bin').read_bytes())
    given, core = [], openvino_runtime.openvino_core()

    class Recording:
        def read_model(self, *arguments):
            given.append(arguments)
            return core.read_model(*arguments)

    monkeypatch.setattr(openvino_runtime, 'openvino_core', Recording)
    openvino_runtime.read_model(tmp_path / 'x.xml')
    ((text, numbers),) = given
    assert b'<net' in text and b'a word' not in text and b'other' not in text
    assert numbers == (tmp_path / 'x.bin').read_bytes()


def test_an_openvino_file_of_huge_tensors_is_not_run(tmp_path):
    openvino = pytest.importorskip('openvino', reason="no OpenVINO (pip install 'miqa[openvino]')")
    op = openvino.opset13
    pixels = op.parameter([-1, 3, 64, 64], np.uint8, name='pixels')
    huge = op.broadcast(op.constant(np.float32(1)), op.constant(np.array([1 << 15, 1 << 15], np.int64)))
    ends = op.reduce_sum(op.convert(pixels, 'f32'), [1, 2, 3]), op.reduce_sum(huge, [0, 1])
    openvino.save_model(openvino.Model([op.multiply(*ends)], [pixels], 'huge'), tmp_path / 'x.xml')
    refused(CheckpointError, 'tensors of 1,073,741,824 numbers', MIQAModel, tmp_path / 'x.xml')


def test_an_openvino_file_of_another_program_or_beside_a_pipe_is_not_opened(openvino_file, tmp_path):
    (tmp_path / 'x.xml').write_bytes(openvino_file.with_suffix('.onnx').read_bytes())
    (tmp_path / 'x.bin').write_bytes(b'')
    refused(CheckpointError, 'does not begin as one', MIQAModel, tmp_path / 'x.xml')
    (tmp_path / 'x.xml').write_bytes(openvino_file.read_bytes())
    (tmp_path / 'x.bin').unlink()
    os.mkfifo(tmp_path / 'x.bin')
    refused(ValueError, 'pipe', MIQAModel, tmp_path / 'x.xml')
