"""ONNX files of networks in PyTorch."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch


class Of(torch.nn.Module):
    """A module of a function."""

    def __init__(self, function: Callable):
        super().__init__()
        self.function = function

    def forward(self, image):
        return self.function(image)


def export(function: Callable, example: torch.Tensor, path: Path, outputs: Sequence[str] = ('y',), free=()) -> Path:
    """Write an ONNX file of a module or another function of ``x``, whose axes ``free`` may have any length."""
    pytest.importorskip('onnx', reason="onnx is missing: pip install -e '.[export]'")
    axes = {'x': {axis: f'a{axis}' for axis in free}} if free else {}
    torch.onnx.export(
        Of(function).eval().requires_grad_(False), example, str(path), input_names=['x'], output_names=list(outputs),
        dynamic_axes=axes, opset_version=17, dynamo=False,
    )  # fmt: skip
    return path
