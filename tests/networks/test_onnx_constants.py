"""What ONNX Runtime computes while it opens a file is bounded, whatever a file makes of its constants."""

import numpy as np
import pytest

from miqa.errors import CheckpointError
from miqa.networks.onnx_files import read_onnx

onnx = pytest.importorskip('onnx', reason="no onnx (pip install 'miqa[export]')")
runtime = pytest.importorskip('onnxruntime', reason="no ONNX Runtime (pip install 'miqa[onnx]')")
helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT
node = helper.make_node


def number(name, value, kind=None):
    return onnx.numpy_helper.from_array(np.asarray(value, kind), name)


def model(nodes, numbers=(), result=None, sides=(1, 3, 8, 8), functions=(), turned=False):
    """Return a network that adds the sum of a tensor to that of its input."""
    result = result or nodes[-1].output[0]
    rest = [
        node('Cast', [result], ['real'], to=FLOAT), node('ReduceSum', ['real'], ['s'], keepdims=0),
        node('ReduceSum', ['x'], ['t'], keepdims=0), node('Add', ['s', 't'], ['y']),
    ]  # fmt: skip
    ends = helper.make_tensor_value_info('x', FLOAT, sides), helper.make_tensor_value_info('y', FLOAT, [])
    nodes = [*nodes, *rest]
    graph = helper.make_graph(nodes[::-1] if turned else nodes, 'g', ends[:1], ends[1:], list(numbers))
    domains = [helper.make_opsetid('', 17), *([helper.make_opsetid('own', 1)] if functions else [])]
    return helper.make_model(graph, opset_imports=domains, ir_version=8, functions=list(functions))


def chain(kind, times, first='c0', **attributes):
    return [node(kind, [f'c{i}' if i else first] * 2, [f'c{i + 1}'], **attributes) for i in range(times)]


def filled(n):
    return node('ConstantOfShape', ['n'], ['c0'], value=number('', [1], np.float32)), number('n', [n, n], np.int64)


def products(n=3000, times=20, **options):
    square, size = filled(n)
    return model([square, *chain('MatMul', times)], [size], **options)


def of_a_function():
    square, size = filled(3000)
    body = helper.make_function('own', 'F', ['c0'], ['c20'], chain('MatMul', 20), [helper.make_opsetid('', 17)])
    return model([square, node('F', ['c0'], ['f'], domain='own')], [size], functions=[body])


def in_a_branch():
    square, size = filled(3000)
    branches = {
        name: helper.make_graph(
            [*chain('MatMul', 20), node('ReduceSum', ['c20'], ['r'], keepdims=0)], name, [],
            [helper.make_tensor_value_info('r', FLOAT, [])],
        )
        for name in ('then_branch', 'else_branch')
    }  # fmt: skip
    some = [node('ReduceMax', ['x'], ['m'], keepdims=0), node('Cast', ['m'], ['b'], to=9)]
    return model([square, *some, node('If', ['b'], ['i'], **branches)], [size])


def claimed():
    """The file itself says that its large tensors are small."""
    models = products()
    for i in range(1, 21):
        models.graph.value_info.append(helper.make_tensor_value_info(f'c{i}', FLOAT, [1, 1]))
    return models


def of_the_inputs_shape(**options):
    return model([node('Shape', ['x'], ['c0']), *chain('Concat', 21, axis=0)], **options)


def as_exported(n):
    """The shape of an Expand as PyTorch's older exporter computes it."""
    nodes = [
        node('Concat', ['n', 'm'], ['shape'], axis=0),
        node('ConstantOfShape', ['two'], ['ones'], value=number('', [1], np.int64)),
        node('Equal', ['shape', 'm'], ['e']),
        node('Where', ['e', 'ones', 'shape'], ['w']),
        node('Expand', ['v', 'w'], ['c']),
    ]
    numbers = {'n': [n], 'm': [-1], 'two': [2]}
    return model(nodes, [number('v', [[1, 2]], np.float32), *(number(*each, np.int64) for each in numbers.items())])


def reduced(times=200):
    square, size = filled(10_000)
    sums = [node('ReduceSum', ['c0', f'a{i % 2}'], [f's{i}']) for i in range(times)]
    return model([square, *sums], [size, number('a0', [0], np.int64), number('a1', [1], np.int64)])


def one(kind, *numbers, **attributes):
    return lambda: model([node(kind, [f'i{i}' for i in range(len(numbers))], ['c'], **attributes)],
                         [number(f'i{i}', value) for i, value in enumerate(numbers)])  # fmt: skip


ONE, HUGE = np.ones(1, np.float32), np.int64(1 << 29)
COSTLY = {
    'products': products,
    'products in any order': lambda: products(turned=True),
    'products in a function': of_a_function,
    'products in a branch': in_a_branch,
    'products of claimed size': claimed,
    'products of many small ones': lambda: products(300, 2000),
    'doubled': lambda: model(chain('Concat', 29, axis=0), [number('c0', ONE)]),
    'sizes doubled': of_the_inputs_shape,
    'sizes doubled in any order': lambda: of_the_inputs_shape(turned=True),
    'reduced often': reduced,
    'products beside sides that are none': lambda: products(sides=(1, 3, -(1 << 60), 8)),
    'as exported': lambda: as_exported(1 << 28),
    'Expand': one('Expand', ONE, [HUGE]),
    'Tile': one('Tile', ONE, [HUGE]),
    'ConstantOfShape': one('ConstantOfShape', [HUGE]),
    'Range': one('Range', np.float32(0), np.float32(1e9), np.float32(1)),
    'Pad': one('Pad', ONE, np.array([0, HUGE])),
    'OneHot': one('OneHot', np.zeros(1000, np.int64), np.int64(1 << 22), np.array([0, 1], np.float32)),
    'Resize': one('Resize', np.ones((1, 1, 2, 2), np.float32), np.empty(0, np.float32), np.array([1, 1, 2e4, 2e4],
                  np.float32)),
    'Conv': one('Conv', np.ones((1, 1, 800, 800), np.float32), np.ones((1, 1, 400, 400), np.float32)),
    'ConvTranspose': one('ConvTranspose', np.ones((1, 1, 400, 400), np.float32), np.ones((1, 1, 400, 400),
                         np.float32)),
    'MaxPool': one('MaxPool', np.ones((1, 1, 600, 600), np.float32), kernel_shape=[300, 300]),
    'Einsum': one('Einsum', *[np.ones(3000, np.float32)] * 3, equation='i,j,k->'),
}  # fmt: skip


@pytest.mark.parametrize('made', COSTLY.values(), ids=COSTLY)
def test_what_takes_long_or_much_is_refused_before_it_is_opened(tmp_path, made):
    path = tmp_path / 'm.onnx'
    path.write_bytes(made().SerializeToString())
    with pytest.raises(CheckpointError, match=r'm\.onnx is not run: it holds (constants|lists) .*which no vision'):
        read_onnx(path, plain=False)


CHEAP = {
    'few products': lambda: products(64, 20),
    'few products in any order': lambda: products(64, 20, turned=True),
    'an addition of columns': lambda: model(chain('Add', 20, first='r'), [number('r', np.ones((20, 1), np.float32))]),
    'as exported': lambda: as_exported(1 << 10),
    'the size of the input': lambda: model([node('Shape', ['x'], ['c0']), *chain('Concat', 5, axis=0)]),
    'the size of any input': lambda: model(
        [node('Shape', ['x'], ['c0']), node('ConstantOfShape', ['c0'], ['c'])], sides=('b', 3, 'h', 'w')
    ),
    'the size of a large input': lambda: model(
        [node('Shape', ['x'], [f'c{i}']) for i in range(20)], sides=(1, 3, 4096, 4096)
    ),
    'sides that are none': lambda: model([node('Shape', ['x'], ['c'])], sides=(1, 3, -(1 << 60), 8)),
    'positions': one('Resize', np.ones((1, 64, 16, 16), np.float32), np.empty(0, np.float32), np.array([1, 1, 3, 3],
                     np.float32)),
    'numbers': one('Range', np.float32(0), np.float32(1e6), np.float32(1)),
    'a layer': one('Gemm', np.ones((64, 40), np.float32), np.ones((40, 100), np.float32)),
}  # fmt: skip


@pytest.mark.parametrize('made', CHEAP.values(), ids=CHEAP)
def test_what_exporters_write_is_opened_as_it_is(tmp_path, made):
    path = tmp_path / 'm.onnx'
    path.write_bytes(made().SerializeToString())
    file = read_onnx(path, plain=True)
    assert file.foldable and file.model == made().SerializeToString(deterministic=True)
    shape = [side if isinstance(side, int) and side > 0 else 8 for side in runtime.InferenceSession(
        file.model, providers=['CPUExecutionProvider']).get_inputs()[0].shape]  # fmt: skip
    pixels = np.ones(shape, np.float32)
    scores = [
        runtime.InferenceSession(data, providers=['CPUExecutionProvider']).run(None, {'x': pixels})[0]
        for data in (file.model, path.read_bytes())
    ]
    assert scores[0] == scores[1]


def test_what_nobody_can_tell_is_not_computed_before_the_first_run(tmp_path):
    nodes = [node('NonZero', ['v'], ['z']), node('Reshape', ['z', 'all'], ['r']), node('Expand', ['one', 'r'], ['c'])]
    numbers = [number('v', np.r_[np.zeros(2000), 1]), number('all', [-1], np.int64), number('one', ONE)]
    path = tmp_path / 'm.onnx'
    path.write_bytes(model(nodes, numbers).SerializeToString())
    assert not read_onnx(path, plain=True).foldable


def test_a_cycle_of_nodes_is_refused(tmp_path):
    path = tmp_path / 'm.onnx'
    path.write_bytes(model([node('Neg', ['b'], ['a']), node('Neg', ['a'], ['b'])]).SerializeToString())
    with pytest.raises(CheckpointError, match='not a whole ONNX file: .*cycle'):
        read_onnx(path, plain=True)
