"""Optional packages, asked for by name with the command that installs them."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from types import ModuleType

from miqa.errors import MissingPackage

_EXTRAS = {
    'pycocotools': 'machines',
    'av': 'video',
    'imageio_ffmpeg': 'video',
    'fastapi': 'serve',
    'uvicorn': 'serve',
    'multipart': 'serve',
    'prometheus_client': 'serve',
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


#: Module -> the package that brings it, where that is called otherwise.
_PACKAGES = {
    'PIL': 'pillow', 'cv2': 'opencv-python', 'mmengine': 'onedl-mmengine', 'mmcv': 'onedl-mmcv',
    'mmseg': 'onedl-mmsegmentation', 'yaml': 'pyyaml', 'markupsafe': 'jinja2',
}  # fmt: skip


def install_command(extra: str = '') -> str:
    """Return the command that installs MIQA, or an extra of it, from where it came: a checkout, or a wheel."""
    named = f'[{extra}]' if extra else ''
    checkout = Path(__file__).parents[2]
    if not (checkout / 'setup.py').is_file():
        return f'pip install {shlex.quote("miqa" + named)}'
    setup = Path('setup.py')
    here = setup.is_file() and setup.samefile(checkout / 'setup.py')
    return f'pip install -e {shlex.quote(("." if here else str(checkout)) + named)}'


def explained(error: ModuleNotFoundError) -> str:
    """Return what to say of a module that is missing; of those that MIQA itself requires, also how to get it."""
    from importlib import metadata  # here, as most commands never need it

    module = (error.name or '').partition('.')[0]
    package = _PACKAGES.get(module, module).lower().replace('_', '-')
    try:
        lines = [line for line in metadata.requires('miqa') or () if 'extra ==' not in line]
    except metadata.PackageNotFoundError:
        lines = []
    needed = {re.split(r'[^\w.-]', line, maxsplit=1)[0].lower() for line in lines}
    if isinstance(error, MissingPackage) or package not in needed:
        return str(error)
    return f'{error}. Only a part of what MIQA requires is installed here. The rest: {install_command()}'


def require(module: str, purpose: str) -> ModuleType:
    """Import and return ``module``, or say which command installs what ``purpose`` needs.

    Raises:
        MissingPackage: the module is not installed (or cannot be imported, with its own reason); an ImportError.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        extra = _EXTRAS.get(module, _EXTRAS.get(module.split('.')[0]))
        command = install_command(extra) if extra else f'pip install {module.split(".")[0]}'
        command = _SCRIPTS.get(module, command)
        raise MissingPackage(
            f'{purpose} needs {module}, which cannot be imported ({error}). Install it: {command}'
        ) from error
