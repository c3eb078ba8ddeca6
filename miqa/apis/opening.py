"""Load a model by name or file into the runtime that computes its scores."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from miqa.keeping import sha256_of_file
from miqa.networks.tensors import sha256_of_tensors

from .exports.formats import export_format, is_scorable
from .kept_exports import KeptExport, export_versions
from .quality import Thresholds
from .runtimes.base import Device, Runtime
from .runtimes.precision import AUTO, choose_runtime, default_precision
from .spec import ModelSpec
from .zoo.loading import agreed, locate, name_and_weights, read_model

if TYPE_CHECKING:
    import torch

#: Spec, runtime, the weights' path as text, and the thresholds that came with them, if any did.
LoadedModel: TypeAlias = tuple[ModelSpec, Runtime, str, Thresholds | None]


def open_model(
    model: str | os.PathLike | None,
    task: str | None = None,
    label: str | None = None,
    weights: str | os.PathLike | None = None,
    **computing,
) -> LoadedModel:
    """Find weights and load them into their runtime, with the thresholds that came with them, if any did.

    The arguments are those of :class:`miqa.apis.MIQAModel`, and so are the errors; ``computing`` is ``device``,
    ``precision``, ``channels_last`` and ``compile``.
    """
    default_precision(None)  # also reports a wrong value of the variable for models that do not use it
    name, weights = name_and_weights(model, weights)
    path = locate(name, task, label, weights)
    thresholds = None
    if path.suffix.lower() == '.pt2':
        raise ValueError(
            f'{path} is an export for programs of your own (torch.export.load). To score with it here, export the '
            'model as .onnx or .xml: miqa export model.onnx --model CHECKPOINT'
        )
    if is_scorable(path):
        spec, runtime = open_exported(path, **computing)
        # A file with all labels gives the requested one.
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
    """Build the network of ``spec``, fill it with ``state``, and return a runtime of it.

    It is PyTorch's, but for ``precision='auto'`` on a CPU: there a network of
    :data:`miqa.apis.kept_exports.EXPORTED` is run by OpenVINO where that is installed, faster, and gives its scores.

    Raises:
        ValueError: the device is not there, or cannot compute in the precision.
    """
    from miqa.networks.torch_settings import default_settings

    from .runtimes.torch_runtime import TorchRuntime, faster_precisions, settings_of, usable_device

    torch_device = usable_device(None if device is None else str(device))
    with default_settings():
        assessor = spec.build(state, source)

    @functools.cache
    def digest() -> str:
        file = Path(_file_of(source))
        return sha256_of_file(file) if file.is_file() else sha256_of_tensors(state)

    @functools.cache
    def in_torch(number_format: str) -> Runtime:
        return TorchRuntime(assessor, torch_device, number_format, channels_last, compile)

    requested = default_precision(precision)
    if requested != AUTO:
        return in_torch(requested)
    candidates = faster_precisions(torch_device)
    about = (*settings_of(torch_device), str(channels_last), str(compile))
    export = KeptExport(spec, lambda: in_torch('fp32'), digest)
    exported = () if compile else export.candidates(candidates, torch_device.type)
    return choose_runtime(
        lambda way: export.open(way) if way in exported else in_torch(way),
        (*candidates, *exported),
        spec.view_size,
        _file_of(source),
        (*about, *(export_versions() if exported else ())),
        digest,
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
    opens = export_format(path.suffix).open
    if opens is None:
        raise ValueError(f'{path} is for other programs: it cannot be scored with here.')
    return opens(path, device, precision)


def _file_of(source: str) -> str:
    """Return the file that holds a model's numbers: in a folder, that of the Hub's format."""
    return str(Path(source) / 'model.safetensors') if Path(source).is_dir() else source
