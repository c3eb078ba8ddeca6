"""Runtimes: PyTorch, ONNX Runtime or OpenVINO behind one interface, with equal scores."""

from miqa.lazy import lazy_names

#: Public names and their modules, imported when they are first asked for: exported files do without PyTorch.
_HOMES = {
    'Device': 'base',
    'OnnxRuntime': 'onnx_runtime',
    'OpenVinoRuntime': 'openvino_runtime',
    'PixelsToScore': 'pixels',
    'Runtime': 'base',
    'TorchRuntime': 'torch_runtime',
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
