"""What computes scores: PyTorch, or ONNX Runtime. Pixels in, scores out."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import nn

from miqa.models import CheckpointError, QualityAssessor
from miqa.taxonomy import check_choice
from miqa.utils import require

from .spec import ModelSpec

#: Number formats of the network's arithmetic. ``bf16`` halves memory traffic and changes scores by about 0.01.
PRECISIONS = ('fp32', 'bf16', 'fp16')

#: Key of the ONNX file's metadata under which the spec is stored.
ONNX_KEY = 'miqa'
ONNX_INPUT, ONNX_OUTPUT = 'pixels', 'score'


class PixelsToScore(nn.Module):
    """A model as one plain module: uint8 RGB pixels (B, 3, size, size) of its widest view to raw scores (B,).

    Normalisation and the cut of the second view are inside, so that an exported file needs nothing beside it.
    """

    def __init__(self, assessor: QualityAssessor):
        super().__init__()
        self.preprocessor = assessor.data_preprocessor
        self.network = assessor.network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return raw scores (B,), nominally 0 to 1, higher is better."""
        return self.network(self.views(pixels))

    def views(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the network's normalised inputs, float32, for pixels on the model's device."""
        # The preprocessor's checks look at every picture of a batch, which an exported graph cannot.
        views = {}
        for name in self.preprocessor.sizes:
            part = self.preprocessor._central(pixels) if name == 'image' and self.takes_region else pixels
            views[name] = self.preprocessor._normalise(name, part)
        return views

    @property
    def takes_region(self) -> bool:
        """Whether the pixels are those of view ``region``."""
        return 'region' in self.preprocessor.sizes


class TorchRuntime:
    """Scores by PyTorch.

    Args:
        assessor: the model, filled and in evaluation mode.
        device: a torch device; None for a GPU where there is one.
        precision: one of :data:`PRECISIONS`; ``fp16`` needs a GPU.
        channels_last: lay pictures out as NHWC, which helps convolutions; None for networks that are mostly
            convolutions.
        compile: True to compile the network with ``torch.compile``, which takes a minute at the first batch; or the
            name of a compiler backend.

    Raises:
        ValueError: the device is not there, or cannot compute in the precision.
    """

    def __init__(
        self,
        assessor: QualityAssessor,
        device: str | torch.device | None = None,
        precision: str = 'fp32',
        channels_last: bool | None = None,
        compile: bool | str = False,
    ):
        check_choice(precision, PRECISIONS, 'precision')
        self.device = usable_device(device)
        if precision == 'fp16' and self.device.type == 'cpu':
            raise ValueError("precision='fp16' needs a GPU; on a CPU choose 'fp32' or 'bf16'.")
        self._dtype = {'bf16': torch.bfloat16, 'fp16': torch.float16}.get(precision)
        self.precision = precision
        self.module = PixelsToScore(assessor).to(self.device)
        self.channels_last = is_convolutional(assessor.network) if channels_last is None else channels_last
        if self.channels_last:
            assessor.data_preprocessor.channels_last = True
            self.module.to(memory_format=torch.channels_last)
        self._run = self.module
        if compile:
            backend = 'inductor' if compile is True else compile
            self._run = torch.compile(self.module, dynamic=True, backend=backend)

    @torch.inference_mode()
    def __call__(self, pixels: torch.Tensor) -> np.ndarray:
        """Score uint8 pixels (B, 3, size, size): float32 (B,)."""
        if self.device.type == 'cuda':
            pixels = pixels.pin_memory().to(self.device, non_blocking=True)
        elif self.device.type != 'cpu':
            pixels = pixels.to(self.device)
        autocast = contextlib.nullcontext()
        if self._dtype is not None:
            autocast = torch.autocast(self.device.type, dtype=self._dtype)
        with autocast:
            scores = self._run(pixels)
        return scores.float().cpu().numpy()


class OnnxRuntime:
    """Scores by ONNX Runtime from a file that :meth:`miqa.apis.MIQAModel.export` wrote.

    Args:
        path: the ONNX file.
        device: ``cuda`` for the CUDA provider; None or ``cpu`` for the CPU.
        threads: threads of one operator; None for one a core.

    Raises:
        CheckpointError: it is not an ONNX file, or not one of this project's.
        ImportError: ONNX Runtime is not installed.
        ValueError: ONNX Runtime has no provider for the device.
    """

    def __init__(self, path: str | os.PathLike, device: str | torch.device | None = None, threads: int | None = None):
        onnxruntime = require('onnxruntime', 'Running an ONNX file')
        if not Path(path).is_file():
            raise FileNotFoundError(f'There is no ONNX file {path}.')
        self.device = torch.device(device or 'cpu')
        provider = {'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider'}.get(self.device.type)
        if provider not in onnxruntime.get_available_providers():
            raise ValueError(
                f'ONNX Runtime has no provider for device {self.device} here; it offers '
                f'{", ".join(onnxruntime.get_available_providers())}.'
            )
        # Some builds report their use to their maker.
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
        except Exception as error:  # ONNX Runtime's errors share no base class but this one
            raise CheckpointError(f'{path} is not a whole ONNX file: {str(error).splitlines()[0]}') from error
        about = self._session.get_modelmeta().custom_metadata_map.get(ONNX_KEY)
        if about is None:
            raise CheckpointError(
                f'{path} does not say how to prepare pictures for it: its metadata lack the key {ONNX_KEY!r}. Only '
                'ONNX files that `miqa export` wrote can be used.'
            )
        self.spec = ModelSpec.from_dict(json.loads(about)['spec'], str(path))
        self.precision = 'fp32'

    def __call__(self, pixels: torch.Tensor) -> np.ndarray:
        """Score uint8 pixels (B, 3, size, size): float32 (B,)."""
        return self._session.run([ONNX_OUTPUT], {ONNX_INPUT: pixels.numpy()})[0]


def usable_device(device: str | torch.device | None) -> torch.device:
    """Return the device to compute on; None means a GPU where there is one.

    Raises:
        ValueError: there is no such device.
    """
    if device is None:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = next(iter(str(error).splitlines()), 'it is not available')
        raise ValueError(f'Cannot compute on device {device!r}: {reason}') from None
    return found


def is_convolutional(network: nn.Module) -> bool:
    """Tell whether most of a network's weights are those of convolutions larger than patch projections."""
    convolutions = sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Conv2d))
    return 2 * convolutions > sum(parameter.numel() for parameter in network.parameters())
