"""A model for use elsewhere: ONNX or torch.export. Normalisation and the cut of views are inside."""

from __future__ import annotations

import copy
import json
import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from miqa import __version__
from miqa.taxonomy import check_choice
from miqa.utils import atomic_write, require

from .runtime import ONNX_INPUT, ONNX_KEY, ONNX_OUTPUT, OnnxRuntime, PixelsToScore, TorchRuntime
from .spec import ModelSpec

if TYPE_CHECKING:
    from .model import MIQAModel

#: ONNX operator set: 18 is the newest that both PyTorch's exporter writes directly and older runtimes read.
OPSET = 18
#: How far an exported model's scores may be from PyTorch's.
TOLERANCE = 1e-4


def export_model(model: MIQAModel, path: str | os.PathLike) -> Path:
    """Write a model in the format that the suffix names, and check that it gives the same scores.

    - ``.onnx``: runs in ONNX Runtime and as ``MIQAModel(weights='x.onnx')``. What must be done to pictures first is
      in the file's metadata, as JSON under the key ``miqa``.
    - ``.pt2``: ``torch.export.load(path).module()(pixels)``.

    Both take ``pixels``, uint8 RGB (B, 3, size, size) with any B, and give ``score``, float32 (B,). To get the pixels:
    resize with Pillow's antialiased bilinear filter so that the shorter side has ``short_side`` pixels, then cut the
    centre. The size and ``short_side`` are in ``model.spec``. An existing file of that name is replaced.

    Args:
        model: runs PyTorch; at any precision, but what is exported is float32.
        path: ends in one of the two suffixes.

    Returns:
        The path.

    Raises:
        ValueError: the suffix is another, the model is itself an ONNX file, or the scores differ by more than 1e-4.
        ImportError: ONNX's packages are not installed.
    """
    path = Path(path)
    write: Callable = _FORMATS[check_choice(path.suffix.lower(), _FORMATS, 'export suffix')]
    if not isinstance(model.runtime, TorchRuntime):
        raise ValueError(f'{model.source} is an exported model already; export the checkpoint it was made from.')
    module = copy.deepcopy(model.runtime.module).cpu().float().eval()
    module.preprocessor.channels_last = False
    module.preprocessor._device = torch.device('cpu')
    size = model.spec.view_size
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8, generator=generator)
    with torch.inference_mode():
        expected = module(pixels).numpy()
    with atomic_write(path) as temporary, warnings.catch_warnings():
        # The exporters' notes on their own internals.
        warnings.simplefilter('ignore')
        logging.getLogger('torch.onnx').setLevel(logging.ERROR)
        run = write(module, pixels[:2], temporary, model.spec)
        difference = float(np.abs(run(pixels) - expected).max())
        if not difference <= TOLERANCE:
            raise ValueError(
                f'The exported {path.name} differs from PyTorch by {difference:.2g} in its scores: not kept.'
            )
    return path


def metadata(spec: ModelSpec) -> dict:
    """Say what a user of an exported file must know, as JSON-ready data."""
    return {
        'miqa_version': __version__,
        'spec': spec.to_dict(),
        'input': {
            'name': ONNX_INPUT,
            'dtype': 'uint8',
            'channels': 'RGB',
            'shape': ['batch', 3, spec.view_size, spec.view_size],
            'resize_short_side': spec.short_side,
            'interpolation': 'bilinear, antialiased (Pillow)',
            'crop': 'center',
        },
        'output': {'name': ONNX_OUTPUT, 'range': [0, 1], 'clipped': False, 'higher_is_better': True},
    }


def _onnx(module: PixelsToScore, pixels: torch.Tensor, path: Path, spec: ModelSpec) -> Callable:
    onnx = require('onnx', 'Export to ONNX')
    require('onnxscript', 'Export to ONNX')
    require('onnxruntime', 'Checking the exported ONNX file')
    # Exported here, and not by torch.onnx, which falls back on a graph of a fixed batch size where this would fail.
    program = torch.onnx.export(
        _exported(module, pixels),
        (),
        input_names=[ONNX_INPUT],
        output_names=[ONNX_OUTPUT],
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    proto = program.model_proto
    entry = proto.metadata_props.add()
    entry.key, entry.value = ONNX_KEY, json.dumps(metadata(spec))
    onnx.save(proto, str(path))
    return OnnxRuntime(path)


def _exported(module: PixelsToScore, pixels: torch.Tensor) -> torch.export.ExportedProgram:
    with torch.no_grad():
        return torch.export.export(module, (pixels,), dynamic_shapes={'pixels': {0: torch.export.Dim('batch')}})


def _torch_export(module: PixelsToScore, pixels: torch.Tensor, path: Path, spec: ModelSpec) -> Callable:
    torch.export.save(
        _exported(module, pixels), str(path), extra_files={f'{ONNX_KEY}.json': json.dumps(metadata(spec))}
    )
    loaded = torch.export.load(str(path)).module()
    return lambda batch: loaded(batch).detach().numpy()


_FORMATS = {'.onnx': _onnx, '.pt2': _torch_export}
