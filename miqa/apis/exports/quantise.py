"""Quantise exported networks to int8: ONNX by ONNX Runtime, OpenVINO by NNCF."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from miqa.apis.runtimes.base import Runtime
from miqa.apis.spec import ModelSpec
from miqa.keeping.temporaries import temporary_folder

from .format import check_difference, scores_of
from .formats import export_format, put_in_place

#: How far scores of 8-bit numbers may be from those of 32-bit ones, on the pictures that they were fitted to.
TOLERANCE = 0.06


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
        tolerance: largest difference of scores; None for :data:`TOLERANCE`.

    Returns:
        The largest difference of scores.

    Raises:
        MissingPackage: what quantises is not installed.
        ValueError: scores differ by more.
    """
    chosen = export_format(source.suffix)
    if chosen.quantise is None or chosen.open is None:
        raise ValueError(f'There are no 8-bit numbers for {source.suffix} files.')
    chosen.quantise(source, target, pixels, spec)
    # On the CPU, in the numbers that the file holds.
    _, runtime = chosen.open(target, 'cpu', 'int8')
    return check_difference(runtime, pixels, expected, path, TOLERANCE if tolerance is None else tolerance)


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
            f'{path} is quantised from a checkpoint or a {path.suffix} file with 32-bit numbers, not from {source}.'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(path) as folder:
        quantised = folder / f'int8{path.suffix.lower()}'
        difference = quantise(source, quantised, path, pixels, scores_of(runtime, pixels), spec, tolerance)
        put_in_place(quantised, path)
    return path, difference
