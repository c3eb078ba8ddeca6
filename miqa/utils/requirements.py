"""Optional packages, asked for by name with the command that installs them."""

from __future__ import annotations

import importlib
from types import ModuleType

_EXTRAS = {'mmdet': 'machines', 'mmcv._ext': 'machines', 'av': 'video'}


def require(module: str, purpose: str) -> ModuleType:
    """Import and return ``module``, or say which command installs what ``purpose`` needs.

    Raises:
        ImportError: the module is not installed (or cannot be imported, with its own reason).
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        extra = _EXTRAS.get(module)
        command = f"pip install -e '.[{extra}]'" if extra else f'pip install {module.split(".")[0]}'
        raise ImportError(
            f'{purpose} needs {module}, which cannot be imported ({error}). Install it: {command}'
        ) from error
