"""Optional packages, asked for by name with the command that installs them."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import MissingPackage

_EXTRAS = {
    'pycocotools': 'machines',
    'av': 'video',
    'imageio_ffmpeg': 'video',
    'gradio': 'serve',
    'fastapi': 'api',
    'uvicorn': 'api',
    'multipart': 'api',
    'prometheus_client': 'api',
    'pyiqa': 'pyiqa',
    'onnx': 'export',
    'onnxruntime': 'export',
    'onnxscript': 'export',
    'openvino': 'openvino',
    'transformers': 'transformers',
    'ultralytics': 'ultralytics',
    'ray': 'cluster',
    'dask': 'cluster',
    'distributed': 'cluster',
    'fiftyone': 'fiftyone',
    'datasets': 'datasets',
    'supervision': 'supervision',
}
# MMCV's operators must be compiled, which no extra of pip can ask for.
_SCRIPTS = {'mmdet': 'bash tools/install_machines.sh', 'mmcv._ext': 'bash tools/install_machines.sh'}


def require(module: str, purpose: str) -> ModuleType:
    """Import and return ``module``, or say which command installs what ``purpose`` needs.

    Raises:
        MissingPackage: the module is not installed (or cannot be imported, with its own reason); an ImportError.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        extra = _EXTRAS.get(module, _EXTRAS.get(module.split('.')[0]))
        command = f"pip install -e '.[{extra}]'" if extra else f'pip install {module.split(".")[0]}'
        command = _SCRIPTS.get(module, command)
        raise MissingPackage(
            f'{purpose} needs {module}, which cannot be imported ({error}). Install it: {command}'
        ) from error
