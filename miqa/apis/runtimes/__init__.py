"""Runtimes: PyTorch, ONNX Runtime or OpenVINO behind one interface, with equal scores."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # imported when they are first used
    from .base import Device, Runtime
    from .onnx_runtime import OnnxRuntime
    from .openvino_runtime import OpenVinoRuntime
    from .pixels import PixelsToScore
    from .torch_runtime import TorchRuntime

__all__, __getattr__, __dir__ = lazy_names(__name__, __file__)
