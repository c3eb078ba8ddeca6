"""Read ONNX files safely: parsed by `onnx`, checked, and rewritten from the checked content.

ONNX Runtime never gets a stranger's bytes or path: two parsers may read one file in two ways. Fields that `onnx` does
not know are dropped; tensors in other files are handed over as bytes.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections import ChainMap
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miqa.errors import CheckpointError
from miqa.outside.regular_files import read_regular
from miqa.running.requirements import require

from .onnx_constants import TooCostly, check_constants
from .onnx_operators import MICROSOFT, PLAIN

if TYPE_CHECKING:
    from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto

ONNX_BYTES = (1 << 31) - 1  # Protocol Buffers hold no more in one message, in bytes
#: Fields of a file, and numbers of variable length in it: each takes up to 150 bytes once it is parsed. An export of
#: 500 layers has about 50,000.
_MOST_PARTS = 500_000
_MOST_NODES = 50_000  # Nodes of a graph, those of its functions counted at each call
_MOST_ROUNDS = 1_000_000  # Rounds of a loop whose number is written in the file
#: Attributes of trees: a node's number, and those of its two children.
_TREE_COLUMNS = ('nodes_nodeids', 'nodes_truenodeids', 'nodes_falsenodeids')
_STANDARD = ('', 'ai.onnx')  # Names of the standard's own domain


class _Refused(ValueError):
    """The file holds what it must not; the message is the reason."""


class _UnknownOperator(_Refused):
    """The file holds an operator that ONNX has not."""


@dataclass(frozen=True)
class OnnxFile:
    """A model as ONNX Runtime gets it."""

    model: bytes  # the checked graph, serialised again
    #: contents of the files beside it that hold tensors, by the names that the graph gives them.
    numbers: dict[str, bytes] = field(default_factory=dict)
    foldable: bool = True  # what depends on no input may be computed while it is opened
    #: SHA-256 of the bytes of each file that was read, by its name; of vision networks only.
    digests: dict[str, str] = field(default_factory=dict)


def read_onnx(path: str | os.PathLike, *, plain: bool) -> OnnxFile:
    """Read an ONNX file, check it and write it anew.

    Args:
        path: the file.
        plain: allow only what `miqa export` writes: operators on tensors. Otherwise a network of any program: branches,
            loops whose number of rounds is bounded or computed, functions, and tensors in files beside it.

    Raises:
        FileNotFoundError, NotARegularFile: there is no such file, or it is something else, or above 2 GiB.
        CheckpointError: it is not an ONNX file, or holds what is not allowed; the message says what.
        MissingPackage: `onnx` is not installed.
    """
    onnx = require('onnx', 'Running an ONNX file')
    data = read_regular(path, ONNX_BYTES, kind='ONNX file')
    try:
        if not data:
            raise ValueError('it is empty')
        _check_parts(data, onnx.ModelProto.DESCRIPTOR)
        try:
            model = onnx.ModelProto.FromString(data)
        except Exception as error:  # DecodeError, whose module depends on how protobuf is built
            raise ValueError(str(error)) from None
        digests = {} if plain else {Path(path).name: hashlib.sha256(data).hexdigest()}
        del data
        model.DiscardUnknownFields()
        if not model.HasField('graph'):
            raise ValueError('it holds no network')
        check = _Check(onnx, plain, model)
        check.model()
        numbers = {name: _beside(path, name) for name in sorted(check.files)}
        written = model.SerializeToString(deterministic=True)
        foldable = check_constants(onnx, model, len(written) + sum(map(len, numbers.values())))
        if not plain:
            digests |= {name: hashlib.sha256(content).hexdigest() for name, content in numbers.items()}
        return OnnxFile(written, numbers, foldable, digests)
    except (_Refused, TooCostly) as error:
        whose = 'no quality model that `miqa export` writes does' if plain else 'no vision network needs'
        if isinstance(error, _UnknownOperator) and not plain:
            whose = (
                'ONNX Runtime does not have: is it a plugin of TensorRT or MMDeploy? Export the network without it, '
                "with ONNX's NonMaxSuppression or with its boxes before any suppression"
            )
        raise CheckpointError(f'{path} is not run: it holds {error}, which {whose}.') from None
    except ValueError as error:
        raise CheckpointError(
            f'{path} is not a whole ONNX file: {str(error).rstrip(".")}. Export the model again.'
        ) from None


def _beside(path: str | os.PathLike, name: str) -> bytes:
    if name != Path(name).name or name in ('', '.', '..') or '\\' in name:
        raise _Refused(f'references to numbers in other files than those beside it ({name[:80]!r})')
    return read_regular(Path(path).parent / name, kind="file of the ONNX model's numbers")


@functools.cache
def _layout(descriptor: Any) -> dict[int, Any]:
    """Return for each field of a message: its message, True for numbers of variable length, None for others."""
    from google.protobuf.descriptor import FieldDescriptor as Field

    stepped_over = {Field.TYPE_STRING, Field.TYPE_BYTES, Field.TYPE_FLOAT, Field.TYPE_DOUBLE}
    return {
        each.number: each.message_type or (True if each.type not in stepped_over else None)
        for each in descriptor.fields
    }


def _check_parts(data: bytes, descriptor: Any) -> None:
    """Count what a parser would make of a file, before one does.

    Raises:
        _Refused: it would make too much of it.
        ValueError: it is not a message, or writes the number of a field in another way than the shortest, which parsers
            read differently.
    """
    parts, waiting = 0, [(0, len(data), descriptor)]
    while waiting:
        at, end, message = waiting.pop()
        layout = _layout(message)
        while at < end:
            parts += 1
            start = at
            tag, at = _number(data, at, end)
            if tag >> 32 or at - start != max(1, -(-tag.bit_length() // 7)):
                raise ValueError(f'byte {start} is of no known kind')
            kind, what = tag & 7, layout.get(tag >> 3)
            if kind == 0:
                _, at = _number(data, at, end)
            elif kind == 2:
                length, at = _number(data, at, end)
                if at + length > end:
                    raise ValueError(f'it is cut: byte {at + length} is missing')
                if what is True:
                    parts += length
                elif what is not None:
                    waiting.append((at, at + length, what))
                at += length
            elif kind in (1, 5):
                at += 8 if kind == 1 else 4
                if at > end:
                    raise ValueError(f'it is cut: byte {at} is missing')
            else:
                raise ValueError(f'byte {start} is of no known kind')
            if parts > _MOST_PARTS:
                raise _Refused(f'more than {_MOST_PARTS:,} parts')


def _number(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return a number of variable length, and the position after it."""
    value = 0
    for place in range(10):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << (7 * place)
        if byte < 128:
            return value, at
    raise ValueError(f'it is cut or damaged at byte {at}')


class _Check:
    """Checks a parsed model.

    Attributes:
        files: names of the files that hold its tensors.
    """

    def __init__(self, onnx: Any, plain: bool, model: ModelProto):
        self._onnx, self._plain, self._model = onnx, plain, model
        self._functions = {(each.domain, each.name): each for each in model.functions}
        self._sizes: dict[tuple[str, str], int | None] = {}
        self.files: set[str] = set()

    def model(self) -> None:
        """Raise _Refused where something is not allowed."""
        if self._plain and self._functions:
            raise _Refused('functions of its own')
        if len(self._functions) < len(self._model.functions):
            raise _Refused('two functions of one name')
        if self._model.training_info:
            raise _Refused('instructions for training')
        try:
            if self._graph(self._model.graph, ChainMap()) > _MOST_NODES:
                raise _Refused(f'more than {_MOST_NODES:,} nodes')
        except RecursionError:
            raise _Refused('functions or graphs that are nested too deep') from None
        # What was not called was not looked at.
        called = [each for each in self._model.functions if (each.domain, each.name) in self._sizes]
        if len(called) < len(self._model.functions):
            called = [type(each).FromString(each.SerializeToString()) for each in called]
            del self._model.functions[:]
            self._model.functions.extend(called)

    def _graph(self, graph: GraphProto, outer: ChainMap[str, TensorProto]) -> int:
        if graph.sparse_initializer:
            raise _Refused('sparse numbers')
        for value in (*graph.input, *graph.output, *graph.value_info):
            if self._plain and value.type.WhichOneof('value') not in (None, 'tensor_type'):
                raise _Refused(f'{value.name[:80]!r}, which is not a tensor')
        constants = outer.new_child({tensor.name: tensor for tensor in graph.initializer})
        for tensor in graph.initializer:
            self._tensor(tensor)
        return self._nodes(graph.node, constants)

    def _nodes(self, nodes: Iterable[NodeProto], constants: ChainMap[str, TensorProto]) -> int:
        """Return how many nodes some nodes are, with those of the graphs and functions in them."""
        total = 0
        for node in nodes:
            total += 1 + self._operator(node)
            for attribute in node.attribute:
                total += self._attribute(attribute, constants)
                if node.op_type == 'Constant' and attribute.HasField('t'):
                    constants.update(dict.fromkeys(node.output, attribute.t))
            if node.op_type == 'Loop' and node.input and node.input[0] in constants:
                self._rounds(constants[node.input[0]])
            if total > _MOST_NODES:
                break
        return total

    def _operator(self, node: NodeProto) -> int:
        """Check that an operator is known; return how many nodes the function of its name has."""
        name, domain = node.op_type, node.domain
        if (domain, name) in self._functions:
            return self._function(self._functions[domain, name])
        if domain in _STANDARD:
            graphs = any(each.HasField('g') or each.graphs for each in node.attribute)
            if self._plain and (graphs or name in ('If', 'Loop', 'Scan', 'SequenceMap')):
                raise _Refused('loops or branches')
            is_known = name in PLAIN if self._plain else self._onnx.defs.has(name)
        elif domain == 'ai.onnx.ml':
            # Heads of gates are trees; of strangers' networks any operator of that domain.
            is_known = name == 'TreeEnsembleRegressor' if self._plain else self._onnx.defs.has(name, domain)
            if is_known and self._plain:
                self._trees(node)
        else:
            is_known = domain == 'com.microsoft' and not self._plain and name in MICROSOFT
        if not is_known:
            raise _UnknownOperator(f'the operator {".".join(filter(None, (domain, name)))[:80]!r}')
        return 0

    @staticmethod
    def _trees(node: NodeProto) -> None:
        """Check that every tree ends: the children of a branch come after it."""
        lists = {attribute.name: attribute for attribute in node.attribute}
        columns = [list(lists[name].ints) if name in lists else [] for name in _TREE_COLUMNS]
        modes = list(lists['nodes_modes'].strings) if 'nodes_modes' in lists else []
        if len({len(modes), *map(len, columns)}) != 1 or any(
            mode != b'LEAF' and min(left, right) <= own for mode, own, left, right in zip(modes, *columns, strict=True)
        ):
            raise _Refused('trees whose branches lead back')

    def _function(self, function: FunctionProto) -> int:
        key = (function.domain, function.name)
        if key in self._sizes:
            size = self._sizes[key]
            if size is None:
                raise _Refused('functions that call themselves')
            return size
        self._sizes[key] = None
        for attribute in function.attribute_proto:
            self._attribute(attribute, ChainMap())
        self._sizes[key] = size = self._nodes(function.node, ChainMap())
        return size

    def _attribute(self, attribute: AttributeProto, constants: ChainMap[str, TensorProto]) -> int:
        """Check an attribute; return how many nodes its graphs have."""
        if attribute.HasField('sparse_tensor') or attribute.sparse_tensors:
            raise _Refused('sparse numbers')
        if self._plain and (attribute.HasField('g') or attribute.graphs):
            raise _Refused('loops or branches')
        if self._plain and (attribute.HasField('tp') or attribute.type_protos or attribute.ref_attr_name):
            raise _Refused('attributes of functions or sequences')
        for tensor in (attribute.t, *attribute.tensors) if attribute.HasField('t') else attribute.tensors:
            self._tensor(tensor)
        graphs = [attribute.g] if attribute.HasField('g') else []
        return sum(self._graph(graph, constants) for graph in (*graphs, *attribute.graphs))

    def _tensor(self, tensor: TensorProto) -> None:
        if not tensor.external_data and tensor.data_location != tensor.EXTERNAL:
            return
        if self._plain:
            raise _Refused('references to numbers in other files')
        places = [entry.value for entry in tensor.external_data if entry.key == 'location']
        if len(places) != 1 or tensor.data_location != tensor.EXTERNAL:
            raise _Refused('references to numbers in other files that do not name one file')
        self.files.update(places)

    def _rounds(self, tensor: TensorProto) -> None:
        try:
            rounds = self._onnx.numpy_helper.to_array(tensor) if len(tensor.dims) < 2 else None
        except Exception:  # `onnx` checks little of a tensor before it reads it
            rounds = None
        if rounds is None or rounds.size != 1 or not 0 <= int(rounds.reshape(-1)[0]) <= _MOST_ROUNDS:
            raise _Refused(f'a loop of more than {_MOST_ROUNDS:,} rounds')
