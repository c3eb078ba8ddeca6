"""Read OpenVINO models safely: the XML is parsed, checked, and rewritten from the checked content.

OpenVINO never gets a stranger's path or text: two parsers may read one file in two ways.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import xml.etree.ElementTree as ET  # noqa: S405  _Tree refuses document types, and with them entities
from pathlib import Path
from typing import TYPE_CHECKING

from miqa.errors import CheckpointError
from miqa.outside.regular_files import WEIGHTS_BYTES, read_regular

if TYPE_CHECKING:
    import openvino

NUMBERS = 'numbers_sha256'  # Key of the metadata for the SHA-256 of the file of numbers
# Bytes of the text beside the numbers; one of 500 layers has 0.5 million.
_LARGEST_XML = 64 << 20
#: Elements of the text, of which a layer has about 20, and how deep they may be nested.
_MOST_ELEMENTS, _DEEPEST = 500_000, 16
_LARGEST_TENSOR = 1 << 28  # Numbers of one tensor for one picture
#: Elements of a network, beside what stands under ``rt_info``.
_ELEMENTS = frozenset(('net', 'layers', 'layer', 'data', 'input', 'output', 'port', 'dim', 'edges', 'edge', 'rt_info'))
#: Kinds of layers of one quality model: of tensors, without loops, states, random numbers and texts.
_LAYERS = """
Abs Acos Acosh AdaptiveAvgPool AdaptiveMaxPool Add Asin Asinh Atan Atanh AvgPool BatchNormInference BatchToSpace
BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Broadcast Bucketize Ceiling Clamp Col2Im Concat Const Convert ConvertLike
ConvertPromoteTypes Convolution ConvolutionBackpropData Cos Cosh CumSum DFT DeformableConvolution DepthToSpace Divide
Einsum Elu Equal Erf ErfInv Exp ExtractImagePatches Eye FakeConvert FakeQuantize Floor FloorMod GRN Gather
GatherElements GatherND Gelu Greater GreaterEqual GridSample GroupConvolution GroupConvolutionBackpropData
GroupNormalization HSigmoid HSwish HardSigmoid IDFT IRDFT Identity Interpolate Inverse IsFinite IsInf IsNaN LRN Less
LessEqual Log LogSoftmax LogicalAnd LogicalNot LogicalOr LogicalXor MVN MatMul MaxPool Maximum Minimum Mish Mod
Multiply Negative NonZero NormalizeL2 NotEqual OneHot PRelu Pad Parameter Power RDFT ROIAlign ROIPooling Range ReLU
ReduceL1 ReduceL2 ReduceLogicalAnd ReduceLogicalOr ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Reshape Result
ReverseSequence Roll Round STFT ScaledDotProductAttention ScatterElementsUpdate ScatterNDUpdate ScatterUpdate Select
Selu ShapeOf ShuffleChannels Sigmoid Sign Sin Sinh Slice SoftMax SoftPlus SoftSign Softmax Softplus SpaceToBatch
SpaceToDepth Split Sqrt SquaredDifference Squeeze StridedSlice Subtract Swish Tan Tanh Tile TopK Transpose Unsqueeze
VariadicSplit
"""


class _Refused(ValueError):
    """The file holds what it must not; the message is the reason."""


class _Tree(ET.TreeBuilder):
    """Builds a tree of bounded size, without a document type."""

    def __init__(self) -> None:
        super().__init__()
        self._elements = self._depth = 0

    def start(self, tag: str, attrs: dict[str, str]) -> ET.Element:
        self._elements += 1
        self._depth += 1
        if self._elements > _MOST_ELEMENTS or self._depth > _DEEPEST:
            raise _Refused(f'more than {_MOST_ELEMENTS:,} elements, or more than {_DEEPEST} within one another')
        return super().start(tag, attrs)

    def end(self, tag: str) -> ET.Element:
        self._depth -= 1
        return super().end(tag)

    def doctype(self, *_: object) -> None:
        raise _Refused('a document type')


def read_model_files(core: openvino.Core, path: str | os.PathLike, keep: str) -> openvino.Model:
    """Read a model from its ``.xml`` file and the ``.bin`` file beside it; of the metadata only the key ``keep`` stays.

    Raises:
        FileNotFoundError, NotARegularFile: one of the two files is not there, or is something else.
        CheckpointError: they are not a whole model, or it holds what no quality model does.
    """
    path = Path(path)
    for file, description in (
        (path, 'OpenVINO file'),
        (path.with_suffix('.bin'), 'file of numbers of the OpenVINO model'),
    ):
        if not file.exists():
            raise FileNotFoundError(
                f'There is no {description} {file}: a model is two files, .xml and .bin, of one name.'
            )
    text = read_regular(path, _LARGEST_XML, kind='OpenVINO file')
    numbers = read_regular(path.with_suffix('.bin'), WEIGHTS_BYTES, kind='file of numbers of the OpenVINO model')
    # OpenVINO tries other programs' formats if this file is not its own.
    if not re.match(rb'(\xef\xbb\xbf)?\s*(<\?xml[^>]*\?>\s*)?<net\s', text[:1000]):
        raise CheckpointError(
            f'{path} is not a whole OpenVINO model: it does not begin as one. Export the model again.'
        )
    try:
        parser = ET.XMLParser(target=_Tree())  # noqa: S314
        parser.feed(text)
        model = core.read_model(ET.tostring(_checked(parser.close(), keep), 'utf-8', xml_declaration=True), numbers)
        _check_sizes(model)
        recorded = model.get_rt_info([keep]).astype(str) if model.has_rt_info([keep]) else ''
    except _Refused as error:
        raise CheckpointError(
            f'{path} is refused: it holds {error}, which no quality model from `miqa export` has.'
        ) from None
    except (ET.ParseError, RuntimeError, LookupError, ValueError) as error:
        raise CheckpointError(
            f'{path} is not a whole OpenVINO model: {last_line(error)}. Export the model again.'
        ) from error
    number_format = re.search(rf'"{NUMBERS}": "(\w+)"', recorded)
    if number_format and number_format[1] != hashlib.sha256(numbers).hexdigest():
        raise CheckpointError(
            f'{path.with_suffix(".bin")} does not hold the weights of {path}: it is damaged, or another '
            "model's. Export the model again."
        )
    return model


def _checked(net: ET.Element, keep: str) -> ET.Element:
    for element in net.iterfind('rt_info'):
        for child in [child for child in element if child.tag != keep]:
            element.remove(child)
    about = {id(child) for element in net.iterfind('rt_info') for child in element.iter()}
    for element in net.iter():
        if element.tag in ('body', 'then_body', 'else_body'):
            raise _Refused('loops or branches')
        if element.tag not in _ELEMENTS and id(element) not in about and element.tag != 'attribute':
            raise _Refused(f'an element {str(element.tag)[:80]!r}')
    kinds = set(_LAYERS.split())
    for layer in net.iter('layer'):
        if layer.get('type') not in kinds or not re.fullmatch(r'opset\d{1,2}', layer.get('version', '')):
            name = f'{layer.get("version", "")[:80]}.{layer.get("type", "")[:80]}'
            raise _Refused(f'a layer of kind {name!r}')
    return net


def _check_sizes(model: openvino.Model) -> None:
    for operation in model.get_ops():
        for output in operation.outputs():
            shape = output.get_partial_shape()
            if shape.rank.is_dynamic:
                continue
            sizes = [1 if size.is_dynamic else size.get_length() for size in shape]
            if math.prod(sizes) > _LARGEST_TENSOR:
                raise _Refused(f'tensors of {math.prod(sizes):,} numbers')


def last_line(error: Exception) -> str:
    """Return what an error of OpenVINO says; the lines before it name source files of OpenVINO."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip('.')
