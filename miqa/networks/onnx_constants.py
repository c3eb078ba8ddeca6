"""Bound the constant folding of ONNX Runtime while it opens a file.

No limit on memory or time holds then. So the sizes of all such tensors are inferred before, without computing any.
"""

from __future__ import annotations

import copy
import math
from collections import ChainMap
from collections.abc import Iterator, MutableSequence
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

import numpy as np

from miqa.running.requirements import require

from .onnx_operators import LINEAR

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

#: What computed constants may take, in bytes, and how much may be computed for them, in multiplications; each byte of
#: the file allows a few more. A gigabyte, and 10 s at most, for the slowest of the operators and types.
_MOST_BYTES, _BYTES_FOR_ONE = 1 << 30, 8
_MOST_WORK, _WORK_FOR_ONE = 10**10, 100
_ELEMENT = 20  # Multiplications that take as long as one element of any other operator
#: Numbers in lists of whole numbers: ONNX Runtime follows their values as sizes, at 300 bytes each.
_MOST_LISTED = 4_000_000
#: Tensors with more numbers do not hold sizes of others; and how often those that may hold sizes are computed.
_SMALL, _ROUNDS = 1024, 10
#: Operators whose values are followed as sizes of tensors.
_FOLLOWED = {'Add', 'Cast', 'Concat', 'Gather', 'Mul', 'Shape', 'Size', 'Slice', 'Squeeze', 'Sub', 'Unsqueeze'}


class TooCostly(ValueError):
    """Constants would take too much; the message says what of."""


def check_constants(onnx: Any, model: ModelProto, stored: int) -> bool:
    """Return True if all that depends on no input can be computed while a file is opened.

    False where the size of some of it is unknown: then it must not be computed before the model runs. ``model`` is
    checked; what is left of it is its structure. ``stored`` are the bytes of its file, and of those beside it.

    Raises:
        TooCostly: it takes too much.
        CycleError: nodes wait for each other.
    """
    for function in model.functions:
        _strip_nodes(function.node)
    _strip(model.graph)
    if not model.functions and not _is_computing(model.graph, set()):
        return True
    inliner = require('onnx.inliner', 'Running an ONNX file')
    for _ in range(_ROUNDS):
        try:
            model = inliner.inline_local_functions(model) if model.functions else model
            graph = onnx.shape_inference.infer_shapes(model).graph
        except Exception:  # noqa: BLE001  of C++ code: `onnx` and ONNX Runtime differ in what they refuse
            return False
        costs = _Costs(onnx, stored)
        costs.graph(graph, ChainMap(), set())
        if not costs.unknown:
            return True
        if not _evaluate(onnx, model, costs):
            break
    return False


def _is_computing(graph: GraphProto, constant: set[str]) -> bool:
    """Return True if a node depends on no input, or perhaps on the shape of one alone."""
    constant = {'', *constant, *(tensor.name for tensor in graph.initializer)}
    for node in graph.node:
        if node.op_type == 'Constant':
            constant.update(node.output)
        elif node.op_type in ('Shape', 'Size') or constant.issuperset(node.input):
            return True
        if any(_is_computing(inner, constant) for inner in _graphs_of(node)):
            return True
    return False


def _graphs_of(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        yield from (attribute.g, *attribute.graphs) if attribute.HasField('g') else attribute.graphs


def _evaluate(onnx: Any, model: ModelProto, costs: _Costs) -> bool:
    """Put small constants that may tell the size of others in the place of the nodes that compute them.

    Returns:
        False where there are none.
    """
    needed = {name for node in costs.unknown for name in node.input}
    places, numbers = [], []
    for place in range(len(model.graph.node) - 1, -1, -1):
        node = model.graph.node[place]
        if needed.isdisjoint(node.output):
            continue
        if node.output[0] in costs.sides:
            value = np.array(costs.sides[node.output[0]], np.int64)
            numbers.append(onnx.numpy_helper.from_array(value, node.output[0]))
            places.append(place)
        elif node.op_type not in ('Shape', 'Size'):
            needed.update(node.input)
            if costs.small.issuperset((*node.input, *node.output)) and node.op_type in ('Constant', *LINEAR):
                places.append(place)
    nodes = [node for place in reversed(places) if (node := model.graph.node[place]).output[0] not in costs.sides]
    if not numbers and all(node.op_type == 'Constant' for node in nodes):
        return False
    names = [name for node in nodes for name in node.output if name]
    outputs = [onnx.ValueInfoProto(name=name) for name in names]
    constants = [tensor for tensor in model.graph.initializer if tensor.name in costs.small & needed]
    graph = onnx.helper.make_graph(nodes, 'g', [], outputs, [*constants, *numbers])
    small = onnx.helper.make_model(graph, opset_imports=model.opset_import)
    reference = require('onnx.reference', 'Running an ONNX file')
    try:
        with np.errstate(all='ignore'):
            values = reference.ReferenceEvaluator(small).run(None, {})
    except Exception:  # noqa: BLE001  of any operator, whose inputs are unchecked
        return False
    numbers += [
        onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in zip(names, values, strict=True)
    ]
    for place in places:
        del model.graph.node[place]
    model.graph.initializer.extend(numbers)
    return True


def _strip(graph: GraphProto) -> None:
    """Remove what is not structure, or only claimed: large tensors, and shapes that follow from others."""
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField('shape')
    for tensor in graph.initializer:
        _strip_tensor(tensor)
    _strip_nodes(graph.node)


def _strip_nodes(nodes: MutableSequence[NodeProto]) -> None:
    _sort(nodes)
    for node in nodes:
        for attribute in node.attribute:
            for tensor in (attribute.t, *attribute.tensors) if attribute.HasField('t') else attribute.tensors:
                _strip_tensor(tensor)
        for graph in _graphs_of(node):
            _strip(graph)


def _sort(nodes: MutableSequence[NodeProto]) -> None:
    """Put nodes into the order in which they compute, as ONNX Runtime does where a file lacks it.

    Raises:
        CycleError: the graph has a cycle.
    """
    makers = {name: place for place, node in enumerate(nodes) for name in node.output if name}
    needed = {place: {makers[name] for name in _used(node) if name in makers} for place, node in enumerate(nodes)}
    if any(max(before, default=-1) >= place for place, before in needed.items()):
        ordered = [copy.deepcopy(nodes[place]) for place in TopologicalSorter(needed).static_order()]
        del nodes[:]
        nodes.extend(ordered)


def _used(node: NodeProto) -> Iterator[str]:
    yield from filter(None, node.input)
    for graph in _graphs_of(node):
        for inner in graph.node:
            yield from _used(inner)


def _strip_tensor(tensor: TensorProto) -> None:
    if math.prod(tensor.dims) > _SMALL:
        for name in ('raw_data', 'float_data', 'int32_data', 'int64_data', 'double_data', 'uint64_data', 'string_data'):
            tensor.ClearField(name)


class _Costs:
    """Adds up what constants of a graph cost.

    Attributes:
        unknown: nodes with outputs of unknown size.
        small: names of constants that may tell the size of others; and '', which stands for what an operator lacks.
        sides: constants that are the shape, or the size, of another tensor.
    """

    def __init__(self, onnx: Any, stored: int):
        self._onnx = onnx
        self._bytes, self._work = _MOST_BYTES + _BYTES_FOR_ONE * stored, _MOST_WORK + _WORK_FOR_ONE * stored
        self._listed = _MOST_LISTED
        self.unknown: list[NodeProto] = []
        self.small = {''}
        self.sides: dict[str, list[int] | int] = {}

    def graph(self, graph: GraphProto, outer: ChainMap[str, list[int | None] | None], constant: set[str]) -> None:
        """Count a graph."""
        shapes = outer.new_child()
        kinds: dict[str, int] = {}
        for value in (*graph.input, *graph.output, *graph.value_info):
            shapes[value.name], kinds[value.name] = _shape_of(value), value.type.tensor_type.elem_type
        constant = {'', *constant}
        for tensor in graph.initializer:
            self._constant(tensor.name, [side if side >= 0 else None for side in tensor.dims], shapes, constant)
            kinds[tensor.name] = tensor.data_type
        lengths: dict[str, int] = {}
        for node in graph.node:
            for inner in _graphs_of(node):
                self.graph(inner, shapes, constant)
            self._follow(node, shapes, kinds, lengths)
            if node.op_type in ('Shape', 'Size') and node.output:
                if (sides := shapes.get(node.input[0]) if node.input else None) is None or None in sides:
                    continue  # not a constant
                ends = {attribute.name: attribute.i for attribute in node.attribute}
                shape = [side or 0 for side in sides]
                part = shape[ends.get('start', 0) : ends.get('end', len(shape))]
                self.sides[node.output[0]] = part if node.op_type == 'Shape' else math.prod(shape)
            elif not constant.issuperset(node.input):
                continue
            for name in node.output:
                self._constant(name, shapes.get(name), shapes, constant)
            if node.op_type != 'Constant':
                self._count(node, shapes, kinds)

    def _constant(self, name: str, shape: list[int | None] | None, shapes, constant: set[str]) -> None:
        constant.add(name)
        shapes[name] = shape
        if (size := _size(shape)) is not None and size <= _SMALL:
            self.small.add(name)

    def _follow(self, node: NodeProto, shapes, kinds: dict[str, int], lengths: dict[str, int]) -> None:
        if node.op_type not in _FOLLOWED:
            return
        for name in filter(None, node.output):
            shape = shapes.get(name)
            if shape is not None and (len(shape) > 1 or kinds.get(name) not in (6, 7)):
                continue
            length = _size(shape)
            if length is None:
                length = sum(lengths.get(each, 0) or _size(shapes.get(each)) or 0 for each in node.input)
            lengths[name] = length
            self._listed -= length
        if self._listed < 0:
            raise TooCostly(f'lists of more than {_MOST_LISTED:,} sizes')

    def _count(self, node: NodeProto, shapes, kinds: dict[str, int]) -> None:
        """Count a node whose inputs are constants."""
        outputs = [name for name in node.output if name]
        read = [] if node.output and node.output[0] in self.sides else list(filter(None, node.input))
        sizes = [size for name in (*outputs, *read) if (size := _size(shapes.get(name))) is not None]
        if len(sizes) < len(outputs) + len(read):
            self.unknown.append(node)
            return
        self._bytes -= sum(size * self._width(kinds.get(name, 0)) for name, size in zip(outputs, sizes, strict=False))
        self._work -= self._work_of(node, [shapes.get(name) for name in node.input], sizes[: len(outputs)], sum(sizes))
        if self._bytes < 0:
            raise TooCostly('constants of more than a gigabyte that are to be computed')
        if self._work < 0:
            raise TooCostly('constants that take long to compute')

    def _width(self, kind: int) -> int:
        try:
            return self._onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize
        except (KeyError, TypeError, ValueError):
            return 8

    @staticmethod
    def _work_of(node: NodeProto, inputs: list, outputs: list[int], elements: int) -> int:
        """Return how many multiplications an operator does at most."""
        name, work = node.op_type, sum(outputs)
        first, second = [*inputs, None, None][:2]
        if name == 'MatMul' and first:
            work *= first[-1]
        elif name == 'Gemm' and first:
            work *= max(first)
        elif name in ('Conv', 'ConvTranspose') and first and second:
            work = (math.prod(first) if name == 'ConvTranspose' else work) * math.prod(second[1:])
        elif name not in LINEAR:
            kernel = next((each.ints for each in node.attribute if each.name == 'kernel_shape'), ())
            work = (work + 1) * math.prod(max(1, _size(shape) or 1) for shape in inputs) * max(1, math.prod(kernel))
        return work + _ELEMENT * elements


def _shape_of(value: ValueInfoProto) -> list[int | None] | None:
    """Return the sides of a tensor, None for those that are not known; None where their number is not."""
    if not value.type.tensor_type.HasField('shape'):
        return None
    sides = value.type.tensor_type.shape.dim
    return [side.dim_value if side.HasField('dim_value') and side.dim_value >= 0 else None for side in sides]


def _size(shape: list[int | None] | None) -> int | None:
    return None if shape is None or None in shape else math.prod(side or 0 for side in shape)
