"""OpenVINO export: ``.xml``, with the weights in ``.bin`` beside it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from miqa.apis.runtimes.base import Device, Runtime
from miqa.apis.runtimes.exported import INPUT, KEY, about
from miqa.apis.runtimes.openvino_files import NUMBERS
from miqa.apis.runtimes.openvino_runtime import (
    OpenVinoRuntime,
    faster_precisions,
    openvino_core,
    read_model,
    settings_of,
)
from miqa.apis.runtimes.precision import AUTO, choose_runtime, default_precision
from miqa.apis.spec import ModelSpec
from miqa.keeping import sha256_of_file
from miqa.running import require

from .format import ExportFormat, Run, batch_count, batches_of

if TYPE_CHECKING:
    import torch

    from miqa.apis.runtimes.pixels import PixelsToScore


def write_openvino(module: PixelsToScore, pixels: torch.Tensor, path: Path, spec: ModelSpec) -> Run:
    """Write ``.xml`` and ``.bin``; return what scores with them.

    Raises:
        MissingPackage: a package that exports is not installed.
    """
    from .onnx_file import write_onnx

    openvino = require('openvino', 'Export to OpenVINO')
    onnx_file = path.with_suffix('.onnx')
    write_onnx(module, pixels, onnx_file, spec)
    # Read by the core, and not by openvino.convert_model, which reports its use to its maker.
    model = openvino_core().read_model(onnx_file)
    _save(openvino, model, path, about(spec))
    return OpenVinoRuntime(path)


def _save(openvino, model, path: Path, content: dict) -> None:
    openvino.save_model(model, path, compress_to_fp16=False)
    # The text names its numbers: those of another model, of the same length, would fit as well.
    numbers = sha256_of_file(path.with_suffix('.bin'))
    model.set_rt_info(json.dumps({**content, NUMBERS: numbers}), [KEY])
    openvino.save_model(model, path, compress_to_fp16=False)


def open_openvino_model(
    path: Path, device: str | Device | torch.device | None = None, precision: str | None = None
) -> tuple[ModelSpec, Runtime]:
    """Open OpenVINO's files in a number format of the device, ``auto`` being the fastest that keeps the scores.

    Raises:
        ValueError: 8-bit numbers are asked for, and the file has none.
        FileNotFoundError, CheckpointError, MissingPackage: see :class:`miqa.apis.runtimes.OpenVinoRuntime`.
    """
    requested = default_precision(precision)
    if requested not in (AUTO, 'int8'):
        runtime = OpenVinoRuntime(path, device, requested)
        return runtime.spec, runtime
    reference = OpenVinoRuntime(path, device)
    if reference.precision == 'int8' or requested == 'int8':
        if reference.precision != requested != AUTO:
            raise ValueError(f'{path} does not hold 8-bit numbers: export it with --int8, or leave precision out.')
        return reference.spec, reference

    def open_in(number_format: str) -> Runtime:
        return reference if number_format == 'fp32' else OpenVinoRuntime(path, device, number_format)

    numbers = str(path.with_suffix('.bin'))
    candidates = faster_precisions(device)
    return reference.spec, choose_runtime(open_in, candidates, reference.spec.view_size, numbers, settings_of(device))


def quantise_openvino(source: Path, target: Path, pixels: np.ndarray, spec: ModelSpec) -> None:
    """Write files with 8-bit weights and activations by NNCF, fitted to pictures uint8 (N, 3, size, size).

    Raises:
        MissingPackage: what quantises is not installed.
    """
    openvino = require('openvino', 'Quantising an OpenVINO file')
    nncf = require('nncf', 'Quantising an OpenVINO file')
    nncf.set_log_level(logging.ERROR)
    model = read_model(source)
    dataset = nncf.Dataset(list(batches_of(pixels)), lambda batch: {INPUT: batch})
    # Attention needs other ranges than convolutions; NNCF asks for the kind of network.
    has_attention = any('Softmax' in op.get_type_name() or 'Attention' in op.get_type_name() for op in model.get_ops())
    kind = nncf.ModelType.TRANSFORMER if has_attention else None
    quantised = nncf.quantize(model, dataset, model_type=kind, subset_size=batch_count(pixels))
    _save(openvino, quantised, target, about(spec, 'int8'))


FORMAT = ExportFormat('OpenVINO', write_openvino, open_openvino_model, quantise_openvino, beside=('.bin',))
