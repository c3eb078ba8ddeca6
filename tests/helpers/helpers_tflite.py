"""A TensorFlow Lite file whose one output is always the same array."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_tflite(path: Path, output: np.ndarray, size: tuple[int, int]) -> Path:
    """Write a file that takes float (1, h, w, 3): its mean times 0, added to the output."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    buffers, tensors = [schema.BufferT()], []

    def tensor(name: str, shape: list[int], kind: int, values: np.ndarray | None = None) -> int:
        item = schema.TensorT()
        item.name, item.shape, item.type, item.buffer = name.encode(), shape, kind, 0
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            item.buffer = len(buffers)
            buffers.append(buffer)
        tensors.append(item)
        return len(tensors) - 1

    real, whole = schema.TensorType.FLOAT32, schema.TensorType.INT32
    image = tensor('image', [1, *size, 3], real)
    axes = tensor('axes', [3], whole, np.array([1, 2, 3], np.int32))
    mean = tensor('mean', [1], real)
    zero = tensor('zero', [1], real, np.zeros(1, np.float32))
    nothing = tensor('nothing', [1], real)
    constant = tensor('constant', list(output.shape), real, output.astype(np.float32))
    result = tensor('Identity', list(output.shape), real)

    code_of, options_of = schema.BuiltinOperator, schema.BuiltinOptions
    codes, operators = [], []
    for code, options, kind, inputs, outputs in (
        (code_of.MEAN, schema.ReducerOptionsT(), options_of.ReducerOptions, [image, axes], [mean]),
        (code_of.MUL, schema.MulOptionsT(), options_of.MulOptions, [mean, zero], [nothing]),
        (code_of.ADD, schema.AddOptionsT(), options_of.AddOptions, [constant, nothing], [result]),
    ):
        entry = schema.OperatorCodeT()
        entry.builtinCode = entry.deprecatedBuiltinCode = code
        entry.version = 1
        codes.append(entry)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = len(codes) - 1, inputs, outputs
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        operators.append(operator)
    graph = schema.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = tensors, [image], [result], operators
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, codes, [graph], buffers
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b'TFL3')
    path.write_bytes(bytes(builder.Output()))
    return path
