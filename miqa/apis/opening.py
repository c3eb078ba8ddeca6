"""From a name or a file to what computes its scores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from miqa.networks.tensors import sha256_of_tensors

from .methods import LITE
from .quality import Thresholds
from .runtimes.base import Device, Runtime
from .runtimes.exported import SUFFIXES
from .runtimes.precision import AUTO, choose_runtime, default_precision
from .spec import ModelSpec
from .zoo.loading import agreed, locate, name_and_weights, read_model
from .zoo.packaged import PACKAGED_SHA256

if TYPE_CHECKING:
    import torch

#: Spec, runtime, the weights' path as text, and the thresholds that came with them, if any did.
Opened: TypeAlias = tuple[ModelSpec, Runtime, str, Thresholds | None]


def open_model(
    model: str | os.PathLike | None,
    task: str | None = None,
    label: str | None = None,
    weights: str | os.PathLike | None = None,
    **computing,
) -> Opened:
    """Find the weights that are meant and bring them into the runtime that they need.

    The arguments are those of :class:`miqa.apis.MIQAModel`; ``computing`` is ``device``, ``precision``,
    ``channels_last`` and ``compile``.

    Returns:
        Spec, runtime, the weights' path as text, and the thresholds that came with them, if any did.

    Raises:
        ValueError, FileNotFoundError, WeightsUnavailable, CheckpointError: see :class:`miqa.apis.MIQAModel`.
    """
    name, weights = name_and_weights(model, weights)
    path = locate(name, task, label, weights)
    thresholds = None
    if path.suffix.lower() == '.pt2':
        raise ValueError(
            f'{path} is an export for programs of your own (torch.export.load). To score with it here, export the '
            'model as .onnx or .xml: miqa export model.onnx --model CHECKPOINT'
        )
    if path.suffix.lower() in SUFFIXES:
        spec, runtime = open_exported(path, **computing)
        # A file with all labels answers for the one that is asked for.
        spec = runtime.spec = agreed(spec, path, name, task, label, exported=runtime.words is None)
        return spec, runtime, str(path), None
    if path.is_dir():
        from .zoo.hub import read_pretrained

        spec, state, thresholds, _ = read_pretrained(path)
    else:
        spec, state = read_model(path)
    spec = agreed(spec, path, name, task, label)
    return spec, open_state(spec, state, str(path), **computing), str(path), thresholds


def open_state(
    spec: ModelSpec,
    state: dict[str, torch.Tensor],
    source: str,
    device: str | Device | torch.device | None = None,
    precision: str | None = None,
    channels_last: bool | None = None,
    compile: bool | str = False,
) -> Runtime:
    """Build the network of ``spec``, fill it with ``state``, and return PyTorch's runtime of it.

    Raises:
        ValueError: the device is not there, or cannot compute in the precision.
    """
    from miqa.networks.torch_settings import own_defaults

    from .runtimes.torch_runtime import TorchRuntime, faster_precisions, settings_of, usable_device

    where = usable_device(None if device is None else str(device))
    with own_defaults():
        assessor = spec.build(state, source)

    def open_in(number_format: str) -> Runtime:
        return TorchRuntime(assessor, where, number_format, channels_last, compile)

    wanted = default_precision(precision)
    if wanted != AUTO:
        return open_in(wanted)
    about = (*settings_of(where), str(channels_last), str(compile))
    candidates = faster_precisions(where)
    return choose_runtime(
        open_in, candidates, spec.view_size, _file_of(source), about, digest=lambda: sha256_of_tensors(state)
    )


def open_exported(
    path: Path,
    device: str | Device | torch.device | None = None,
    precision: str | None = None,
    channels_last: bool | None = None,
    compile: bool | str = False,
) -> tuple[ModelSpec, Runtime]:
    """Open an exported file; PyTorch is not imported.

    Raises:
        ValueError: an option asks for what only a checkpoint can do.
        FileNotFoundError, CheckpointError, MissingPackage: see the runtimes.
    """
    if compile or channels_last:
        raise ValueError(f'{path} is run as it was exported: leave out compile and channels_last.')
    if path.suffix.lower() == '.xml':
        return _open_openvino(path, device, default_precision(precision))
    from .runtimes.onnx_runtime import OnnxRuntime

    runtime = OnnxRuntime(path, device, sha256=PACKAGED_SHA256 if path.name == f'{LITE}.onnx' else None)
    if precision not in (None, AUTO, runtime.precision):
        raise ValueError(
            f'{path} is run as it was exported, in {runtime.precision}: leave out '
            f'precision={precision!r}, or export it in another way.'
        )
    return runtime.spec, runtime


def _open_openvino(path: Path, device, wanted: str) -> tuple[ModelSpec, Runtime]:
    from .runtimes.openvino_runtime import OpenVinoRuntime, faster_precisions, settings_of

    if wanted not in (AUTO, 'int8'):
        runtime = OpenVinoRuntime(path, device, wanted)
        return runtime.spec, runtime
    reference = OpenVinoRuntime(path, device)
    if reference.precision == 'int8' or wanted == 'int8':
        if reference.precision != wanted != AUTO:
            raise ValueError(f'{path} does not hold 8-bit numbers: export it with --int8, or leave precision out.')
        return reference.spec, reference

    def open_in(number_format: str) -> Runtime:
        return reference if number_format == 'fp32' else OpenVinoRuntime(path, device, number_format)

    numbers = str(path.with_suffix('.bin'))
    candidates = faster_precisions(device)
    return reference.spec, choose_runtime(open_in, candidates, reference.spec.view_size, numbers, settings_of(device))


def _file_of(source: str) -> str:
    """Return the file that holds a model's numbers: in a folder, that of the Hub's format."""
    return str(Path(source) / 'model.safetensors') if Path(source).is_dir() else source
