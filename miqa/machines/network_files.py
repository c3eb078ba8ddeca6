"""Open network files by suffix."""

from __future__ import annotations

import os
from pathlib import Path

from .exported_networks import ExportedNetwork, OnnxNetwork
from .ncnn_network import NcnnNetwork
from .tflite_network import TfliteNetwork


def open_network(file: str | os.PathLike, device: str = 'cpu') -> ExportedNetwork:
    """Open a network in a file, by the ending of its name.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is not a whole file of its kind.
        MissingPackage: the package that runs it is not installed.
        ValueError: it cannot compute on the device, or has no input for images.
    """
    suffix = Path(file).suffix.lower()
    if suffix == '.tflite':
        return TfliteNetwork(file)
    if suffix == '.param':
        return NcnnNetwork(file)
    return OnnxNetwork(file, device)
