"""Networks of 8-bit numbers from exported ones: ONNX by ONNX Runtime, OpenVINO by NNCF."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from miqa.keeping.temporaries import temporary_folder
from miqa.running import require

from .runtimes.base import Runtime
from .runtimes.exported import INPUT, KEY, about
from .spec import ModelSpec

#: How far scores of 8-bit numbers may be from those of 32-bit ones, on the pictures that they were fitted to.
TOLERANCE = 0.06
_BATCH = 8


def quantise(
    source: Path,
    target: Path,
    path: Path,
    pixels: np.ndarray,
    expected: np.ndarray,
    spec: ModelSpec,
    tolerance: float | None = None,
) -> float:
    """Write the exported model ``source`` with 8-bit weights and activations as ``target``, of the same suffix.

    Args:
        source: an ``.onnx`` or ``.xml`` file of 32-bit numbers.
        target: the new file; of an ``.xml`` also the ``.bin`` beside it.
        path: what the file will be called, for errors.
        pixels: pictures to fit the ranges of activations to, uint8 (N, 3, size, size).
        expected: their scores by 32-bit numbers, (N,).
        spec: of the model, for the metadata.
        tolerance: how far scores may be from these; None for :data:`TOLERANCE`.

    Returns:
        The largest difference of scores.

    Raises:
        MissingPackage: what quantises is not installed.
        ValueError: scores differ by more.
    """
    (_openvino if source.suffix == '.xml' else _onnx)(source, target, pixels, spec)
    return check_difference(open_file(target), pixels, expected, path, TOLERANCE if tolerance is None else tolerance)


def quantise_exported(
    spec: ModelSpec,
    runtime: Runtime,
    path: str | os.PathLike,
    pixels: np.ndarray,
    source: str | os.PathLike,
    tolerance: float | None = None,
) -> tuple[Path, float]:
    """Do the same to a file that was exported before; PyTorch is not needed.

    Returns:
        The path, and the largest difference from the scores of the exported file.

    Raises:
        ValueError: the two files are of different kinds, ``source`` has 8-bit numbers already, or scores differ.
        MissingPackage: what quantises is not installed.
    """
    path, source = Path(path), Path(source)
    if path.suffix.lower() != source.suffix.lower() or runtime.precision == 'int8' or path == source:
        raise ValueError(
            f'8-bit numbers for {path} are made of a checkpoint, or of another {path.suffix} file with 32-bit numbers; '
            f'{source} is none.'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(path) as folder:
        made = folder / f'int8{path.suffix.lower()}'
        difference = quantise(source, made, path, pixels, scores_of(runtime, pixels), spec, tolerance)
        put_in_place(made, path)
    return path, difference


def scores_of(run: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray) -> np.ndarray:
    """Score pixels in small batches: float32 (N,)."""
    return np.concatenate([run(batch) for batch in _batches(pixels)])


def check_difference(
    run: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, expected: np.ndarray, path: Path, tolerance: float
) -> float:
    """Return the largest difference of scores from ``expected``.

    Raises:
        ValueError: it is above ``tolerance``.
    """
    difference = float(np.abs(scores_of(run, pixels) - expected).max())
    if not difference <= tolerance:
        raise ValueError(
            f'The exported {path.name} differs from PyTorch by {difference:.2g} in its scores, more than '
            f'{tolerance:g}: not kept.'
        )
    return difference


def open_file(path: Path) -> Runtime:
    """Open an exported file on the CPU in the numbers that it holds."""
    if path.suffix == '.onnx':
        from .runtimes.onnx_runtime import OnnxRuntime

        return OnnxRuntime(path, 'cpu')
    from .runtimes.openvino_runtime import OpenVinoRuntime

    return OpenVinoRuntime(path)


def _batches(pixels: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(pixels), _BATCH):
        yield pixels[start : start + _BATCH]


def _onnx(source: Path, target: Path, pixels: np.ndarray, spec: ModelSpec) -> None:
    onnx = require('onnx', 'Quantising an ONNX file')
    quantization = require('onnxruntime.quantization', 'Quantising an ONNX file')
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[name-defined]  # imported when asked for
        def __init__(self):
            self._batches = _batches(pixels)

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


def _openvino(source: Path, target: Path, pixels: np.ndarray, spec: ModelSpec) -> None:
    openvino = require('openvino', 'Quantising an OpenVINO file')
    nncf = require('nncf', 'Quantising an OpenVINO file')
    from .runtimes.openvino_runtime import read_model

    nncf.set_log_level(logging.ERROR)
    model = read_model(source)
    dataset = nncf.Dataset(list(_batches(pixels)), lambda batch: {INPUT: batch})
    # Attention needs other ranges than convolutions; NNCF asks for the kind of network.
    has_attention = any('Softmax' in op.get_type_name() or 'Attention' in op.get_type_name() for op in model.get_ops())
    kind = nncf.ModelType.TRANSFORMER if has_attention else None
    quantised = nncf.quantize(model, dataset, model_type=kind, subset_size=-(-len(pixels) // _BATCH))
    quantised.set_rt_info(json.dumps(about(spec, 'int8')), [KEY])
    openvino.save_model(quantised, target, compress_to_fp16=False)


def put_in_place(made: Path, path: Path) -> None:
    """Move a finished file, of an ``.xml`` first its ``.bin``, to where it shall be, in place of what is there."""
    if made.suffix == '.xml':
        shutil.move(made.with_suffix('.bin'), path.with_suffix('.bin'))
    shutil.move(made, path)
