"""From a trained network to the file that ships: ONNX with half-precision weights and what must be known, as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from classifiers import export_onnx, open_session
from kinds import KINDS, PLACES
from network import BoxNetwork
from onnx import TensorProto, helper, numpy_helper

from miqa.apis.diagnosis import DiagnosisWords
from miqa.apis.runtimes.exported import SEVERAL_OUTPUTS, about
from miqa.apis.spec import ModelSpec
from miqa.networks.packaged_weights import EFFICIENTNET_LITE_MEAN, EFFICIENTNET_LITE_STD

#: Outputs, in the order of :meth:`network.BoxNetwork.forward`.
OUTPUTS = tuple(SEVERAL_OUTPUTS)
_SMALL = 1024  # Tensors of fewer numbers stay in single precision


def export(network: BoxNetwork, side: int, about: dict, path: Path) -> None:
    """Write the network as ONNX: weights in half precision, cast when the file is opened, arithmetic in single.

    Args:
        network: trained.
        side: of its square input, in pixels.
        about: JSON-ready, stored under the key ``miqa``.
        path: of the file.
    """
    network = network.eval().cpu().to(memory_format=torch.contiguous_format)
    temporary = path.with_suffix('.part')
    export_onnx(network, torch.zeros(2, 3, side, side, dtype=torch.uint8), temporary, 'pixels', list(OUTPUTS))
    model = onnx.load(str(temporary))
    temporary.unlink()
    merge_padding(model)
    halve(model)
    entry = model.metadata_props.add()
    entry.key, entry.value = 'miqa', json.dumps(about)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())


def merge_padding(model: onnx.ModelProto) -> None:
    """Let convolutions pad by themselves: nodes that do it before them keep ONNX Runtime from its fast layout.

    The trunk pads as TensorFlow's ``SAME``. Of sides that the stride divides, which those of 224 pixels are at every
    stage, it adds kernel minus stride, the odd pixel behind.

    Raises:
        ValueError: an output changes.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (2, *_sides(model)), dtype=np.uint8)
    pixels[1] //= 8  # a dark picture, which is seen twice
    before = _run(model, pixels)
    pads = {node.output[0]: node for node in model.graph.node if node.op_type == 'Pad'}
    for node in model.graph.node:
        if node.op_type == 'Conv' and (pad := pads.get(node.input[0])) is not None:
            attributes = {entry.name: entry for entry in node.attribute}
            strides = attributes['strides'].ints
            total = [kernel - stride for kernel, stride in zip(attributes['kernel_shape'].ints, strides, strict=True)]
            attributes['pads'].ints[:] = [side // 2 for side in total] + [side - side // 2 for side in total]
            node.input[0] = pad.input[0]
    unused = True
    while unused:
        used = {name for node in model.graph.node for name in node.input} | {one.name for one in model.graph.output}
        unused = [node for node in model.graph.node if not used.intersection(node.output)]
        for node in unused:
            model.graph.node.remove(node)
    for name, was, now in zip(OUTPUTS, before, _run(model, pixels), strict=True):
        if not np.allclose(was, now, rtol=1e-5, atol=1e-6):
            raise ValueError(f'The output {name} changes where convolutions pad by themselves.')


def _sides(model: onnx.ModelProto) -> list[int]:
    return [side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim[1:]]


def _run(model: onnx.ModelProto, pixels: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    return session.run(list(OUTPUTS), {model.graph.input[0].name: pixels})


def halve(model: onnx.ModelProto) -> None:
    """Store the large weights of a model in half precision, each followed by a cast to single."""
    casts, tensors = [], []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < _SMALL:
            tensors.append(tensor)
            continue
        half = values.astype(np.float16)
        if not np.isfinite(half).all():
            raise ValueError(f'The weights {tensor.name} do not fit half precision.')
        tensors.append(numpy_helper.from_array(half, f'{tensor.name}.half'))
        casts.append(helper.make_node('Cast', [f'{tensor.name}.half'], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:]
    del model.graph.node[:]
    model.graph.initializer.extend(tensors)
    model.graph.node.extend(nodes)


def about_model(side: int, least: tuple[float, float], made: dict) -> dict:
    """Return what stands in the file, as :func:`miqa.apis.runtimes.exported.read_about` reads it.

    Args:
        side: of the view, in pixels.
        least: probabilities from which on kinds and places are said.
        made: seed, commit, threads and script.
    """
    view = {'size': side, 'mean': EFFICIENTNET_LITE_MEAN, 'std': EFFICIENTNET_LITE_STD}
    heads = {'heads': ['consistency', 'accuracy'], 'tasks': ['cls', 'det', 'ins']}
    spec = ModelSpec('miqa_lite', 'cls', 'composite', heads, {'image': view}, side, 'bicubic', 'stretch')
    words = DiagnosisWords(KINDS, PLACES, *least)
    return {**about(spec), 'diagnosis': words.to_dict(), 'made': made}


def open_outputs(path: Path) -> Callable[[Sequence[np.ndarray]], dict[str, np.ndarray]]:
    """Return what computes all outputs of views, uint8 RGB (side, side, 3), on one thread."""
    session = open_session(path)

    def outputs_of(views: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        parts = []
        for start in range(0, len(views), 8):
            pixels = np.ascontiguousarray(np.stack(views[start : start + 8]).transpose(0, 3, 1, 2))
            parts.append(session.run(list(OUTPUTS), {'pixels': pixels}))
        return {name: np.concatenate(column) for name, column in zip(OUTPUTS, zip(*parts, strict=True), strict=True)}

    return outputs_of
