"""ONNX export, for ONNX Runtime and most other runtimes."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from miqa.apis.methods import LITE, LITE_SHA256
from miqa.apis.runtimes.base import Device
from miqa.apis.runtimes.exported import INPUT, KEY, OUTPUT, about
from miqa.apis.runtimes.onnx_runtime import OnnxRuntime
from miqa.apis.runtimes.precision import AUTO
from miqa.apis.spec import ModelSpec
from miqa.running import require

from .format import ExportFormat, Run, batches_of

if TYPE_CHECKING:
    import torch

    from miqa.apis.runtimes.pixels import PixelsToScore

OPSET = 18  # ONNX operator set: 18 is the newest that both PyTorch's exporter writes directly and older runtimes read


def write_onnx(module: PixelsToScore, pixels: torch.Tensor, path: Path, spec: ModelSpec) -> Run:
    """Write an ONNX file whose metadata say how pictures are prepared; return what scores with it.

    Raises:
        MissingPackage: a package that exports is not installed.
    """
    import torch

    from .program import exported_program

    onnx = require('onnx', 'Export to ONNX')
    require('onnxscript', 'Export to ONNX')
    require('onnxruntime', 'Checking the exported ONNX file')
    # Exported here, and not by torch.onnx, which falls back on a graph of a fixed batch size where this would fail.
    program = torch.onnx.export(
        exported_program(module, pixels),
        (),
        input_names=[INPUT],
        output_names=[OUTPUT],
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise RuntimeError('torch.onnx.export returned no program.')
    proto = program.model_proto
    entry = proto.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(about(spec))
    onnx.save(proto, str(path))
    return OnnxRuntime(path, 'cpu')


def open_onnx_model(
    path: Path, device: str | Device | torch.device | None = None, precision: str | None = None
) -> tuple[ModelSpec, OnnxRuntime]:
    """Open an ONNX file in the numbers that it holds.

    Raises:
        ValueError: other numbers are asked for.
        FileNotFoundError, CheckpointError, MissingPackage: see :class:`miqa.apis.runtimes.OnnxRuntime`.
    """
    runtime = OnnxRuntime(path, device, sha256=LITE_SHA256 if path.name == f'{LITE}.onnx' else None)
    if precision not in (None, AUTO, runtime.precision):
        raise ValueError(
            f'{path} is run as it was exported, in {runtime.precision}: leave out precision={precision!r}, or export '
            'it again.'
        )
    return runtime.spec, runtime


def quantise_onnx(source: Path, target: Path, pixels: np.ndarray, spec: ModelSpec) -> None:
    """Write a file with 8-bit weights and activations, fitted to pictures uint8 (N, 3, size, size).

    Raises:
        MissingPackage: what quantises is not installed.
    """
    onnx = require('onnx', 'Quantising an ONNX file')
    quantization = require('onnxruntime.quantization', 'Quantising an ONNX file')
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[name-defined]  # imported when asked for
        def __init__(self):
            self._batches = batches_of(pixels)

        def get_next(self) -> dict | None:
            batch = next(self._batches, None)
            return None if batch is None else {INPUT: batch}

    # ONNX Runtime's advice about itself.
    logging.getLogger().disabled, before = True, logging.getLogger().disabled
    try:
        with tempfile.TemporaryDirectory() as folder:
            prepared = Path(folder, 'prepared.onnx')
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            quantization.quantize_static(
                str(prepared),
                str(target),
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                # Products with weights take nearly all of the time; those of attention would lose digits.
                op_types_to_quantize=['Conv', 'Gemm', 'MatMul'],
                extra_options={'MatMulConstBOnly': True},
            )
    finally:
        logging.getLogger().disabled = before
    proto = onnx.load(str(target))
    del proto.metadata_props[:]
    entry = proto.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(about(spec, 'int8'))
    onnx.save(proto, str(target))


FORMAT = ExportFormat('ONNX Runtime', write_onnx, open_onnx_model, quantise_onnx)
