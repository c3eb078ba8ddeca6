"""ncnn networks (``.param`` and ``.bin``), run on the CPU."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from miqa.errors import CheckpointError
from miqa.keeping import sha256_of_file
from miqa.outside import check_regular, read_regular_text
from miqa.running.devices import Device
from miqa.running.forks import OpeningProcess
from miqa.running.requirements import require

from .exported_networks import ExportedNetwork, ImageInput, NetworkOutput
from .onnx_preparation import Placement

_METADATA_FILE = 'metadata.yaml'  # Ultralytics writes this file beside its exports
_MOST_TEXT = 4 << 20
_MAGIC = '7767517'  # What a file of the graph, as text, begins with


class NcnnNetwork(ExportedNetwork):
    """A network of ncnn. It does not say the lengths of its outputs, nor often the size of its input.

    Args:
        file: path of the ``.param``; the ``.bin`` of the same name lies beside it.

    Raises:
        FileNotFoundError: one of the files is not there.
        CheckpointError: they are not a whole network.
        MissingPackage: ncnn is not installed.
        ValueError: it has several inputs.
    """

    def __init__(self, file: str | os.PathLike):
        self.file, self.device = Path(file), Device('cpu')
        weights = self.file.with_suffix('.bin')
        graph = read_regular_text(self.file, _MOST_TEXT)
        check_regular(weights, kind='file of weights')
        if not graph.startswith(_MAGIC):
            raise CheckpointError(f'{file} is not the graph of an ncnn network: it does not begin with {_MAGIC}.')
        ncnn = require('ncnn', 'Running a network of ncnn')
        unknown = sorted({layer for layer in _layers(graph) if ncnn.layer_to_index(layer) < 0})
        if unknown:
            raise CheckpointError(
                f'{file} has layers that ncnn {ncnn.__version__} lacks: {", ".join(unknown)[:200]}. Convert the '
                'network again with a pnnx of the same date, or use its ONNX file.'
            )
        self._ncnn, self._net = ncnn, ncnn.Net()
        # Two threads that wait for each other in a loop took twelve times the processor time beside other programs.
        self._net.opt.num_threads = 1
        if self._net.load_param(str(self.file)) or self._net.load_model(str(weights)):
            raise CheckpointError(f'{file} and {weights.name} are not a whole network of ncnn.')
        inputs = list(self._net.input_names())
        if len(inputs) != 1:
            raise ValueError(f'{file} must have one input, for images; it has {", ".join(inputs) or "none"}.')
        self.input = ImageInput(inputs[0], np.float32, 1, False, *_size_and_channels(graph))
        self.outputs = tuple(NetworkOutput(name, ()) for name in self._net.output_names() if name not in inputs)
        self.metadata = _metadata(self.file.with_name(_METADATA_FILE))
        self.files = {path.name: sha256_of_file(path) for path in (self.file, weights)}
        self._opened = OpeningProcess()

    def run(
        self, images: np.ndarray, place: Placement | None = None, names: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Return outputs by name; see :class:`miqa.machines.exported_networks.ExportedNetwork`."""
        self._opened.check(self.file, 'ncnn')
        results: list[dict[str, np.ndarray]] = []
        for image in images:
            extractor = self._net.create_extractor()
            fed = np.ascontiguousarray(image, np.float32)
            extractor.input(self.input.name, self._ncnn.Mat(fed).clone())
            outputs = {}
            for name in self.output_names if names is None else names:
                code, values = extractor.extract(name)
                if code:
                    raise ValueError(f'{self.file} cannot be run on a picture of {fed.shape[2]}x{fed.shape[1]} pixels.')
                outputs[name] = np.array(values)[None]
            results.append(outputs)
        return {name: np.concatenate([result[name] for result in results]) for name in results[0]}


def _layers(graph: str) -> list[str]:
    """Return the types of the layers of a graph."""
    return [line.split()[0] for line in graph.splitlines()[2:] if line.strip()]


def _size_and_channels(graph: str) -> tuple[tuple[int | None, int | None], int]:
    """Return (height, width) and channels of the input, as its line says: ``Input name 0 1 blob 0=w 1=h 2=c``."""
    for line in graph.splitlines()[2:]:
        words = line.split()
        if words and words[0] == 'Input':
            sizes = dict(word.split('=', 1) for word in words[5:] if '=' in word)
            sides = [int(sizes[key]) if sizes.get(key, '').isdigit() else 0 for key in ('1', '0')]
            return (sides[0] or None, sides[1] or None), 1 if sizes.get('2') == '1' else 3
    return (None, None), 3


def _metadata(path: Path) -> dict[str, str]:
    """Return the text by key of the file beside the network; nothing if it is missing or unreadable."""
    if not path.is_file():
        return {}
    try:
        values = yaml.safe_load(read_regular_text(path, _MOST_TEXT))
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {
        str(key): value if isinstance(value, str) else json.dumps(value, default=str) for key, value in values.items()
    }
