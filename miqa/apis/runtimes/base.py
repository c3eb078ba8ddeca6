"""The interface of runtimes: pixels in, scores out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from miqa.running.devices import Device

if TYPE_CHECKING:
    import torch

    from miqa.apis.diagnosis import DiagnosisWords
    from miqa.apis.spec import ModelSpec

    from .pixels import PixelsToScore


class Runtime(ABC):
    """Scores pixels.

    Attributes:
        name: of the software, for people: ``PyTorch``, ``ONNX Runtime``, ``OpenVINO``.
        device: where it really computes, with ``type`` and ``index`` as in PyTorch.
        precision: number format of the arithmetic: ``fp32``, ``bf16``, ``fp16`` or ``int8``.
        spec: of the model, where the file of the weights says it; ``label`` is the one that is scored.
        module: the network as a PyTorch module, see :class:`miqa.apis.runtimes.pixels.PixelsToScore`; None for
            runtimes of exported files, in which it is no longer there.
    """

    name: str
    device: torch.device | Device
    precision: str = 'fp32'
    spec: ModelSpec
    module: PixelsToScore | None = None

    #: How the outputs become a diagnosis; None for a model that only scores.
    words: DiagnosisWords | None = None

    @property
    def usual_batch(self) -> int:
        """Pictures at a time where the user states no number: 32 on a GPU, 8 on a CPU, whose caches hold no more."""
        return 8 if self.device.type == 'cpu' else 32

    def outputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Return all outputs of the model for uint8 RGB pixels (B, 3, size, size), by name.

        Always ``score``, float32 (B,); of a model that has :attr:`words` also the other labels, ``damage`` (B, K),
        ``strength`` (B,), ``place`` (B, P) and ``features`` (B, D).
        """
        return {'score': self(pixels)}

    @abstractmethod
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Score uint8 RGB pixels (B, 3, size, size): float32 (B,), nominally 0 to 1, higher is better."""
