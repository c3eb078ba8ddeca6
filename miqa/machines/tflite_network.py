"""TensorFlow Lite networks, run by LiteRT on the CPU."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from miqa.errors import CheckpointError
from miqa.outside import read_regular
from miqa.outside.regular_files import WEIGHTS_BYTES
from miqa.running.devices import Device
from miqa.running.forks import OpeningProcess
from miqa.running.requirements import require

from .exported_networks import ExportedNetwork, NetworkOutput, image_input
from .onnx_preparation import Placement

#: Ultralytics appends this file, as a ZIP archive, to its exports.
_METADATA_FILE, _MOST_METADATA = 'metadata.json', 1 << 20


class TfliteNetwork(ExportedNetwork):
    """A network in a ``.tflite`` file. Quantised inputs and outputs are real numbers here.

    Args:
        file: path of the file.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is not a whole file of TensorFlow Lite.
        MissingPackage: LiteRT is not installed.
        ValueError: it has no input for images.
    """

    def __init__(self, file: str | os.PathLike):
        self.file, self.device = Path(file), Device('cpu')
        content = read_regular(file, WEIGHTS_BYTES, kind='file of TensorFlow Lite')
        self.files = {self.file.name: hashlib.sha256(content).hexdigest()}
        litert = require('ai_edge_litert.interpreter', 'Running a .tflite')
        try:
            self._interpreter = litert.Interpreter(model_content=content)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = next(iter(str(error).splitlines()), '')
            raise CheckpointError(f'{file} is not a whole file of TensorFlow Lite: {reason}') from error
        inputs, self._outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(inputs[0]['shape']) != 4:
            raise ValueError(f'{file} must have one input, for images; it has {len(inputs)}.')
        self._input = inputs[0]
        shape = [int(side) for side in self._input.get('shape_signature', self._input['shape'])]
        pixels = self._input['dtype'] is np.uint8 and not self._input['quantization'][0]
        self.input = image_input(self.file, self._input['name'], np.uint8 if pixels else np.float32, shape)
        self.outputs = tuple(
            NetworkOutput(item['name'], tuple(int(side) if side > 0 else None for side in item['shape']))
            for item in self._outputs
        )
        self.metadata = _metadata(self.file)
        self._opened = OpeningProcess()

    def run(
        self, images: np.ndarray, place: Placement | None = None, names: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Return outputs by name; see :class:`miqa.machines.exported_networks.ExportedNetwork`."""
        self._opened.check(self.file, 'LiteRT')
        results: list[dict[str, np.ndarray]] = []
        step = max(1, self.input.batch or 0)
        for start in range(0, len(images), step):
            group = images[start : start + step]
            fed = _quantised(self.fed(group), self._input)
            if list(fed.shape) != list(self._input['shape']):
                self._interpreter.resize_tensor_input(self._input['index'], fed.shape)
                self._interpreter.allocate_tensors()
                self._input = self._interpreter.get_input_details()[0]
            self._interpreter.set_tensor(self._input['index'], fed)
            self._interpreter.invoke()
            outputs = {
                item['name']: _real(self._interpreter.get_tensor(item['index']), item)
                for item in self._outputs
                if names is None or item['name'] in names
            }
            results.append(self.of_images(outputs, len(group)))
        return {name: np.concatenate([result[name] for result in results]) for name in results[0]}


def _quantised(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    scale, zero = detail['quantization']
    if not scale or values.dtype == np.uint8:
        return values
    limits = np.iinfo(detail['dtype'])
    return np.clip(np.rint(values / scale + zero), limits.min, limits.max).astype(detail['dtype'])


def _real(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    scale, zero = detail['quantization']
    return (values.astype(np.float32) - zero) * np.float32(scale) if scale else values


def _metadata(file: Path) -> dict[str, str]:
    """Return what the file says about itself, text by key; nothing where it says nothing that can be read."""
    if not zipfile.is_zipfile(file):
        return {}
    try:
        with zipfile.ZipFile(file) as archive:
            if archive.getinfo(_METADATA_FILE).file_size > _MOST_METADATA:
                return {}
            with archive.open(_METADATA_FILE) as stream:
                values = json.loads(stream.read(_MOST_METADATA))
    except (KeyError, ValueError, zipfile.BadZipFile, RecursionError, NotImplementedError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
