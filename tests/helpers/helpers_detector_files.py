"""Small ONNX files of detectors that always give the same known boxes, in the layout of each family."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

#: Input of the files, (height, width), and the strides of their grids.
SIZE, STRIDES = (96, 128), (8, 16, 32)
NAMES = ('car', 'bus', 'dog', 'cup')

#: What they find, in pixels of the input: boxes, scores, labels. The last two overlap much, but differ in class.
BOXES = np.array([[10, 20, 40, 60], [70, 8, 118, 50], [50, 55, 92, 90], [51, 54, 90, 89]], np.float32)
SCORES = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
LABELS = np.array([2, 0, 3, 1])


def cells(strides=STRIDES) -> np.ndarray:
    """Left, top and stride of each cell, (A, 3)."""
    rows = []
    for stride in strides:
        y, x = np.mgrid[0 : SIZE[0] : stride, 0 : SIZE[1] : stride]
        rows.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, stride)], 1))
    return np.concatenate(rows).astype(np.float32)


def centred(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)


def places(strides=STRIDES) -> list[int]:
    """The place that gives each box: a cell next to its centre, another one for each."""
    grid, taken = cells(strides), []
    middle = grid[:, :2] + grid[:, 2:] / 2
    for box in centred(BOXES):
        near = np.abs(middle - box[:2]).max(1) / grid[:, 2]
        near[taken] = np.inf
        taken.append(int(near.argmin()))
    return taken


def everywhere(strides=STRIDES) -> np.ndarray:
    """Boxes of all places, (A, 4) xyxy: somewhere near their cell, and the known ones where they belong."""
    grid = cells(strides)
    wobble = np.random.default_rng(0).uniform(-0.3, 0.3, (len(grid), 4)).astype(np.float32)
    middle = grid[:, :2] + grid[:, 2:] * (0.5 + wobble[:, :2])
    sides = grid[:, 2:] * (2 + wobble[:, 2:])
    boxes = np.concatenate([middle - sides / 2, middle + sides / 2], 1)
    boxes[places(strides)] = BOXES
    return boxes


def chances(strides=STRIDES, classes: int = len(NAMES)) -> np.ndarray:
    """Scores of all classes at all places, (A, K)."""
    values = np.random.default_rng(1).uniform(0.0001, 0.004, (len(cells(strides)), classes)).astype(np.float32)
    values[places(strides), LABELS % classes] = SCORES
    return values


def logit(values: np.ndarray) -> np.ndarray:
    return np.log(values) - np.log1p(-values)


def distances(strides=STRIDES, shift: float = 0.5, pixels: float = 0) -> np.ndarray:
    """Distances in cells from the point of each cell, which lies ``shift`` cells and ``pixels`` from its corner."""
    grid, boxes = cells(strides), everywhere(strides)
    points = grid[:, :2] + shift * grid[:, 2:] + pixels
    return np.concatenate([points - boxes[:, :2], boxes[:, 2:] - points], 1) / grid[:, 2:]


def distributions(bins: int, strides=STRIDES, shift: float = 0.5, pixels: float = 0) -> np.ndarray:
    """Logits of bins whose mean is each distance, (A, 4 * bins): two neighbouring bins share the probability."""
    values = np.clip(distances(strides, shift, pixels), 0, bins - 1.001)
    low = np.floor(values).astype(int)
    shares = np.full((*values.shape, bins), 1e-9)
    np.put_along_axis(shares, low[..., None], 1 - (values - low)[..., None] + 1e-9, 2)
    np.put_along_axis(shares, low[..., None] + 1, (values - low)[..., None] + 1e-9, 2)
    return (np.log(shares) + 3).reshape(len(values), -1).astype(np.float32)


def offsets() -> np.ndarray:
    """YOLOX's values before grid and strides, (A, 4)."""
    grid, boxes = cells(), centred(everywhere())
    return np.concatenate([(boxes[:, :2] - grid[:, :2]) / grid[:, 2:], np.log(boxes[:, 2:] / grid[:, 2:])], 1)


def maps(values: np.ndarray, strides=STRIDES, last: bool = False) -> list[np.ndarray]:
    """Values of places, (A, C), as one map (1, C, h, w) or (1, h, w, C) a grid."""
    parts, start = [], 0
    for stride in strides:
        rows, columns = -(-SIZE[0] // stride), -(-SIZE[1] // stride)
        part = values[start : start + rows * columns].reshape(1, rows, columns, -1)
        parts.append(part if last else part.transpose(0, 3, 1, 2))
        start += rows * columns
    return parts


def write(
    path: Path, outputs: dict[str, np.ndarray], kind: str = 'float', last: bool = False, free: bool = False,
    metadata: dict[str, str] | None = None, opset: int = 13, scaled: tuple[str, ...] | None = None,
) -> Path:  # fmt: skip
    """Write a file whose outputs are always these arrays; they depend on the picture by 0 times its mean.

    Args:
        path: of the file.
        outputs: arrays by name.
        kind: of the input: float, float16 or uint8.
        last: channels last.
        free: height, width and batch are not fixed.
        metadata: what the file says about itself.
        opset: version of the operators.
        scaled: outputs of boxes that are divided by the scale, which is a further input; None: there is no such input.
    """
    pytest.importorskip('onnx', reason="onnx is missing: pip install -e '.[export]'")
    from onnx import TensorProto, helper, numpy_helper, save

    types = {'float': TensorProto.FLOAT, 'float16': TensorProto.FLOAT16, 'uint8': TensorProto.UINT8}
    sides = ['h', 'w'] if free else list(SIZE)
    shape = ['n' if free else 1, *([*sides, 3] if last else [3, *sides])]
    image = helper.make_tensor_value_info('in', types[kind], shape)
    nodes = [
        helper.make_node('Cast', ['in'], ['f'], to=TensorProto.FLOAT),
        helper.make_node('ReduceMax', ['f'], ['top'], keepdims=0),
        helper.make_node('Mul', ['top', 'zero'], ['nothing']),
    ]
    constants, described = [numpy_helper.from_array(np.float32(0), 'zero')], []
    for number, (name, array) in enumerate(outputs.items()):
        constants.append(numpy_helper.from_array(np.asarray(array, np.float32), f'constant{number}'))
        if name in (scaled or ()):
            nodes.append(helper.make_node('Add', [f'constant{number}', 'nothing'], [f'o{number}']))
            nodes.append(helper.make_node('Div', [f'o{number}', 'scales'], [name]))
            described.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape))
            continue
        whole = np.issubdtype(array.dtype, np.integer)
        nodes.append(helper.make_node('Add', [f'constant{number}', 'nothing'], [f'o{number}' if whole else name]))
        if whole:
            nodes.append(helper.make_node('Cast', [f'o{number}'], [name], to=TensorProto.INT64))
        described.append(
            helper.make_tensor_value_info(name, TensorProto.INT64 if whole else TensorProto.FLOAT, array.shape)
        )
    inputs = [image]
    if scaled is not None:
        inputs.append(helper.make_tensor_value_info('scale_factor', TensorProto.FLOAT, [1, 2]))
        constants.append(numpy_helper.from_array(np.array([1, 0, 1, 0]), 'order'))
        nodes.insert(0, helper.make_node('Gather', ['scale_factor', 'order'], ['scales'], axis=1))
    model = helper.make_model(
        helper.make_graph(nodes, 'g', inputs, described, constants),
        opset_imports=[helper.make_opsetid('', opset)], ir_version=8,
    )  # fmt: skip
    if metadata:
        helper.set_model_props(model, metadata)
    save(model, str(path))
    return path
