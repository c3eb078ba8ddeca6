"""Register a run of your own as the model `demo`, and an exported file as `demo-fast`."""

from __future__ import annotations

import os
from pathlib import Path

from miqa.apis.methods import DEMO, DEMO_FAST
from miqa.errors import CheckpointError
from miqa.keeping import atomic_write
from miqa.outside import copy_regular
from miqa.outside.regular_files import WEIGHTS_BYTES

from .catalogue import demo_path
from .loading import read_model


def register_demo(checkpoint: str | os.PathLike) -> Path:
    """Make a run's checkpoint the zoo's ``demo`` model of its task, replacing the previous one; return the copy's path.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is not a checkpoint that can be used.
    """
    spec, _ = read_model(Path(checkpoint))
    return _copied(checkpoint, demo_path(DEMO, spec.task))


def register_demo_fast(file: str | os.PathLike) -> Path:
    """Make an exported ``.onnx`` file the zoo's ``demo-fast`` model of its task; return the copy's path.

    Raises:
        FileNotFoundError, CheckpointError: there is no such file, or it is no ONNX file of this project.
        MissingPackage: ONNX Runtime is not installed.
    """
    from miqa.apis.runtimes.onnx_runtime import OnnxRuntime

    if Path(file).suffix.lower() != '.onnx':
        raise CheckpointError(f'{file} is not an .onnx file: write it with `miqa export a.onnx --model best.pth`.')
    return _copied(file, demo_path(DEMO_FAST, OnnxRuntime(file, 'cpu').spec.task))


def _copied(file: str | os.PathLike, path: Path) -> Path:
    with atomic_write(path) as temporary:
        copy_regular(file, temporary, WEIGHTS_BYTES, kind='model')
    return path
