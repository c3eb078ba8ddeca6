"""Scores by PyTorch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from miqa.errors import CheckpointError
from miqa.models import QualityAssessor
from miqa.networks.torch_settings import default_settings
from miqa.running.devices import gpu_has_bfloat16, usable_device
from miqa.running.forks import OpeningProcess, warn_forked
from miqa.running.processor import has_bfloat16, processor
from miqa.taxonomy import check_choice

from .base import Runtime
from .pixels import PixelsToScore

#: Number formats of the network's arithmetic. ``bf16`` halves memory traffic and changes scores by about 0.01.
PRECISIONS = ('fp32', 'bf16', 'fp16')

#: Modes of ``torch.compile`` that may be named instead of a backend.
COMPILE_MODES = ('reduce-overhead', 'max-autotune', 'max-autotune-no-cudagraphs')


class TorchRuntime(Runtime):
    """Scores by PyTorch.

    Args:
        assessor: the model, filled and in evaluation mode.
        device: a torch device; None for a GPU where there is one.
        precision: one of :data:`PRECISIONS`; ``fp16`` needs a GPU.
        channels_last: lay pictures out as NHWC, which helps convolutions; None for networks that are mostly
            convolutions.
        compile: True to compile the network with ``torch.compile``, which takes a minute at the first batch; or one of
            its modes (:data:`COMPILE_MODES`), or the name of a compiler backend.

    Raises:
        ValueError: the device is not there, or cannot compute in the precision.
    """

    name = 'PyTorch'

    def __init__(
        self,
        assessor: QualityAssessor,
        device: str | torch.device | None = None,
        precision: str = 'fp32',
        channels_last: bool | None = None,
        compile: bool | str = False,
    ):
        check_choice(precision, PRECISIONS, 'precision')
        self.device: torch.device = usable_device(device)
        if precision == 'fp16' and self.device.type == 'cpu':
            raise ValueError("precision='fp16' needs a GPU; on a CPU choose 'fp32' or 'bf16'.")
        self._dtype = {'bf16': torch.bfloat16, 'fp16': torch.float16}.get(precision)
        self.precision = precision
        self._opened = OpeningProcess()
        with default_settings():
            self.module: PixelsToScore = PixelsToScore(assessor).to(self.device)
        self.channels_last = is_convolutional(assessor.network) if channels_last is None else channels_last
        if self.channels_last:
            assessor.data_preprocessor.channels_last = True
            # PyTorch's types lack a keyword that its documentation has.
            self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._run: Callable[[torch.Tensor], torch.Tensor] = self.module
        if compile:
            if compile in COMPILE_MODES:
                # These modes tune, and record CUDA graphs, for one size of batch.
                self._run = torch.compile(self.module, mode=compile)
            else:
                backend = 'inductor' if compile is True else compile
                self._run = torch.compile(self.module, dynamic=True, backend=backend)

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Score uint8 pixels (B, 3, size, size): float32 (B,)."""
        if self._opened.moved():
            if self.device.type != 'cpu':
                raise CheckpointError(
                    'This model was opened on a GPU before the process was forked, after which CUDA cannot run: open '
                    "it in the child process, or start processes by multiprocessing.get_context('spawn')."
                )
            # The threads of PyTorch's pool are those of the parent: waiting for them would never end.
            torch.set_num_threads(1)
            warn_forked('it computes on one core here')
        with default_settings(), self.arithmetic():
            scores = self._run(self.on_device(pixels))
        return scores.float().cpu().numpy()

    def on_device(self, pixels: np.ndarray) -> torch.Tensor:
        """Bring uint8 pixels (B, 3, size, size) to the device."""
        batch = torch.from_numpy(np.require(pixels, requirements=('C', 'W')))
        if self.device.type == 'cuda':
            return batch.pin_memory().to(self.device, non_blocking=True)
        return batch if self.device.type == 'cpu' else batch.to(self.device)

    def arithmetic(self) -> contextlib.AbstractContextManager:
        """Return the context in which the network computes in this runtime's precision."""
        if self._dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self._dtype)


def faster_precisions(device: torch.device) -> tuple[str, ...]:
    """Return the number formats shorter than float32 that a device computes in itself; emulation does not count."""
    if device.type == 'cpu':
        return ('bf16',) if has_bfloat16() else ()
    if device.type == 'cuda':
        return ('bf16',) if gpu_has_bfloat16() else ('fp16',)
    return ()


def settings_of(device: torch.device) -> tuple[str, ...]:
    """Return what a runtime's speed depends on: PyTorch and the device.

    The number of threads does not count: the same command must give the same scores, however busy the machine is.
    """
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else processor()[0]
    return ('torch', torch.__version__, device.type, name)


def is_convolutional(network: nn.Module) -> bool:
    """Return True if most of a network's weights are those of convolutions larger than patch projections."""
    convolutions = sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Conv2d))
    return 2 * convolutions > sum(parameter.numel() for parameter in network.parameters())
