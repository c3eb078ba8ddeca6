"""Scores by OpenVINO."""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING

import numpy as np

from miqa.errors import CheckpointError
from miqa.running import require
from miqa.running.devices import Device
from miqa.running.forks import OpeningProcess
from miqa.running.processor import processor
from miqa.taxonomy import check_choice

from .base import Runtime
from .exported import INPUT, KEY, OUTPUT, cannot_run, check_ends, checked_scores, read_about
from .openvino_files import last_line, read_model_files

if TYPE_CHECKING:
    import openvino
    import torch

#: Number formats that OpenVINO may compute in, and its names for them.
PRECISIONS = {'fp32': 'f32', 'bf16': 'bf16', 'fp16': 'f16'}
# OpenVINO's names of devices, by type: an Intel GPU is ``gpu`` or ``xpu``, as in PyTorch.
_DEVICES = {'cpu': 'CPU', 'gpu': 'GPU', 'xpu': 'GPU', 'npu': 'NPU'}


class OpenVinoRuntime(Runtime):
    """Scores by OpenVINO from a file that :meth:`miqa.apis.MIQAModel.export` wrote; needs no PyTorch.

    Args:
        path: the ``.xml`` file; the ``.bin`` file of the same name lies beside it.
        device: ``cpu``; ``gpu``, ``gpu:1`` (Intel's), ``npu``; None for ``cpu``.
        precision: one of :data:`PRECISIONS`; None for ``fp32``. An int8 file always stays int8.
        threads: threads; None for one a core.

    Attributes:
        spec: of the model in the file.

    Raises:
        FileNotFoundError: one of the two files is not there.
        CheckpointError: they are not a whole model, or not one of this project's.
        MissingPackage: OpenVINO is not installed.
        ValueError: OpenVINO has no such device, or the device does not compute in this format.
    """

    name = 'OpenVINO'

    def __init__(
        self,
        path: str | os.PathLike,
        device: str | Device | torch.device | None = None,
        precision: str | None = None,
        threads: int | None = None,
    ):
        core, model = openvino_core(), read_model(path)
        self._path = str(path)
        self.spec, stored = read_about(_about(model), self._path)
        ends = [_end(port) for port in (*model.inputs, *model.outputs)]
        check_ends(ends, ('u8', 'f32'), self.spec.view_size, self._path)
        name = _device_name(core, device)
        requested = check_choice(precision or 'fp32', PRECISIONS, 'precision')
        if requested != 'fp32' and requested.upper() not in core.get_property(name, 'OPTIMIZATION_CAPABILITIES'):
            raise ValueError(f'{name} of this machine does not compute in {requested} itself: leave precision out.')
        options: dict[str, str | int] = {
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_PRECISION_HINT': PRECISIONS[requested],
        }
        if threads is not None:
            options['INFERENCE_NUM_THREADS'] = threads
        try:
            self._compiled = core.compile_model(model, name, options)
        except RuntimeError as error:
            raise CheckpointError(f'{path} cannot be compiled for {name}: {last_line(error)}') from error
        self._requests = threading.local()
        self._opened = OpeningProcess()
        self.precision = stored if stored == 'int8' else requested
        # Where it really runs, as OpenVINO says after the fact.
        self.device = _device_in_use(self._compiled.get_property('EXECUTION_DEVICES'))

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Score uint8 pixels (B, 3, size, size): float32 (B,)."""
        self._opened.check(self._path, 'OpenVINO')
        # A request holds its inputs and outputs, so each thread has one of its own.
        request = getattr(self._requests, 'request', None)
        if request is None:
            request = self._requests.request = self._compiled.create_infer_request()
        try:
            outputs = request.infer({INPUT: np.ascontiguousarray(pixels)}, share_inputs=True)
        except RuntimeError as error:
            raise cannot_run(self._path, len(pixels), error) from error
        return checked_scores(np.array(next(iter(outputs.values()))), len(pixels), self._path)


@functools.cache
def openvino_core() -> openvino.Core:
    """Return the one core of OpenVINO in this process, which stays to its end.

    Each core's CPU plugin puts a signal stack of its own in place of the former one, and at its end puts the former one
    back, even where that is gone by then: after two cores that ended in the order in which they began, the next signal,
    such as Ctrl-C or a child's end, is a segmentation fault (seen with OpenVINO 2026.4).

    Raises:
        MissingPackage: OpenVINO is not installed.
    """
    return require('openvino', 'An OpenVINO file').Core()


def faster_precisions(device: str | Device | torch.device | None) -> tuple[str, ...]:
    """Return the number formats shorter than float32 that a device computes in itself."""
    core = openvino_core()
    able = core.get_property(_device_name(core, device), 'OPTIMIZATION_CAPABILITIES')
    return tuple(name for name in PRECISIONS if name != 'fp32' and name.upper() in able)


def settings_of(device: str | Device | torch.device | None) -> tuple[str, ...]:
    """Return what a runtime's speed depends on: OpenVINO, the device, and the number of cores."""
    openvino = require('openvino', 'Running an OpenVINO file')
    core = openvino_core()
    name = core.get_property(_device_name(core, device), 'FULL_DEVICE_NAME')
    return ('openvino', openvino.__version__, name, processor()[0], str(os.cpu_count()))


def read_model(path: str | os.PathLike) -> openvino.Model:
    """Read a model and its numbers, which lie in two files.

    Raises:
        FileNotFoundError: one of the two files is not there.
        CheckpointError: they are not a whole model, or it holds what no quality model does.
    """
    return read_model_files(openvino_core(), path, KEY)


def _about(model: openvino.Model) -> str | None:
    return model.get_rt_info([KEY]).astype(str) if model.has_rt_info([KEY]) else None


def _end(port: openvino.Output) -> tuple[str, str, list]:
    names = sorted(port.names)
    shape = [None if size.is_dynamic else size.get_length() for size in port.partial_shape]
    # An output may have further names of the layer before it.
    name = OUTPUT if OUTPUT in names else ', '.join(names)
    return name, port.element_type.get_type_name(), shape


def _device_name(core: openvino.Core, device: str | Device | torch.device | None) -> str:
    if device is None:
        return 'CPU'
    requested, offered = Device.of(device), core.available_devices
    kind = _DEVICES.get(requested.type)
    # One GPU is called GPU, several GPU.0, GPU.1, ...
    names = (
        [kind] if requested.index is None else [f'{kind}.{requested.index}', *([kind] if requested.index == 0 else [])]
    )
    available = {*offered, *(name.partition('.')[0] for name in offered)}
    matching = next((name for name in names if name in available), None)
    if matching is None:
        raise ValueError(f'OpenVINO has no device {requested} here; it offers {", ".join(offered).lower()}.')
    return matching


def _device_in_use(names: list[str]) -> Device:
    kind, _, index = str(names[0]).strip('()').partition('.')
    return Device(kind.lower(), int(index) if index.isdecimal() else None)
