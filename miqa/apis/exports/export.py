"""Export a model to ONNX, OpenVINO or torch.export, including normalisation and view cropping."""

from __future__ import annotations

import copy
import logging
import os
import warnings
from pathlib import Path

import numpy as np
import torch

from miqa.apis.runtimes.base import Runtime
from miqa.apis.runtimes.pixels import PixelsToScore
from miqa.apis.spec import ModelSpec
from miqa.keeping.temporaries import temporary_folder

from .format import Run, check_difference, scores_of
from .formats import export_format, put_in_place
from .quantise import quantise
from .released import SUFFIX, export_released

TOLERANCE = 1e-4  # How far an exported model's scores may be from PyTorch's


def export_model(
    spec: ModelSpec,
    runtime: Runtime,
    path: str | os.PathLike,
    *,
    int8: bool = False,
    pixels: np.ndarray | None = None,
    tolerance: float | None = None,
) -> tuple[Path, float]:
    """Write a model in the format that the suffix names, and check that it gives the same scores.

    - ``.onnx``: runs in ONNX Runtime and as ``MIQAModel('x.onnx')``. The preprocessing is in the
      file's metadata, as JSON under the key ``miqa``.
    - ``.xml`` (and ``.bin`` beside it): runs in OpenVINO and as ``MIQAModel('x.xml')``; the same JSON is in its
      ``rt_info``.
    - ``.pt2``: ``torch.export.load(path).module()(pixels)``.
    - ``.pth.tar``: the weights alone, as the paper's authors store theirs, for their scripts; see
      :func:`miqa.apis.exports.released.export_released`.

    All but the last take ``pixels``, uint8 RGB (B, 3, size, size) with any B, and give ``score``, float32 (B,). To get
    the pixels: resize with Pillow's antialiased filter of the name ``interpolation`` so that the shorter side has
    ``short_side`` pixels, then cut the centre. The size and both are in ``model.spec``. An existing file of that name
    is replaced.

    Args:
        spec: of the model.
        runtime: of the model: PyTorch's, at any precision, but what is exported is float32.
        path: ends in one of the suffixes.
        int8: write 8-bit weights and activations (``.onnx`` by ONNX Runtime, ``.xml`` by NNCF).
        pixels: with ``int8``: pictures to fit them to, see :func:`miqa.apis.calibration.calibration_pixels`.
        tolerance: how far scores may be from PyTorch's; None for 1e-4, with ``int8`` for 0.06 on ``pixels``.

    Returns:
        The path, and the largest difference of scores that was found.

    Raises:
        ValueError: the suffix is another, the model is itself an exported file, or the scores differ by more.
        MissingPackage: the packages of the format are not installed.
    """
    path = Path(path)
    if path.name.lower().endswith(SUFFIX):
        if int8 or runtime.module is None:
            raise ValueError(
                f'{SUFFIX} holds the weights of a checkpoint as they are: neither 8-bit numbers nor an export.'
            )
        return export_released(spec, runtime.module, path), 0.0
    suffix = path.suffix.lower()
    chosen = export_format(suffix)
    if int8 and (chosen.quantise is None or pixels is None):
        raise ValueError('8-bit numbers need pictures to fit them to (--calibrate FOLDER), and .onnx or .xml.')
    if runtime.module is None:
        name = spec.method.replace('_', '-')
        raise ValueError(f'{name} is an exported model already. Name the checkpoint of another: --model CHECKPOINT')
    path.parent.mkdir(parents=True, exist_ok=True)
    # The writers of these formats take only paths that are Unicode: the name is given at the end.
    with temporary_folder(path.with_name('export')) as folder:
        exported = folder / f'model{suffix}'
        module = _plain_module(runtime.module)
        tried = _noise(spec.view_size) if pixels is None else pixels
        expected = _module_scores(module, tried)
        run = _written(suffix, module, exported, spec)
        allowed = TOLERANCE if int8 or tolerance is None else tolerance
        difference = check_difference(run, tried, expected, path, allowed)
        if int8 and pixels is not None:
            plain, exported = exported, folder / f'int8{suffix}'
            difference = quantise(plain, exported, path, pixels, expected, spec, tolerance)
        put_in_place(exported, path)
    return path, difference


def _plain_module(module: PixelsToScore) -> PixelsToScore:
    module = copy.deepcopy(module).cpu().float().eval()
    module.preprocessor.channels_last = False
    module.preprocessor.cpu()  # it also keeps its device beside its tensors
    return module


def _noise(size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 3, size, size), dtype=np.uint8)


@torch.inference_mode()
def _module_scores(module: PixelsToScore, pixels: np.ndarray) -> np.ndarray:
    return scores_of(lambda batch: module(torch.from_numpy(batch)).numpy(), pixels)


def _written(suffix: str, module: PixelsToScore, path: Path, spec: ModelSpec) -> Run:
    """Write a module and return what runs the written file."""
    with warnings.catch_warnings():
        # The exporters' notes on their own internals.
        warnings.simplefilter('ignore')
        logging.getLogger('torch.onnx').setLevel(logging.ERROR)
        # Two pictures, or the batch size would be taken for a constant.
        return export_format(suffix).write(module, torch.from_numpy(_noise(spec.view_size)[:2]), path, spec)
