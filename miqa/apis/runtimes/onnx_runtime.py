"""Scores by ONNX Runtime."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from miqa.errors import CheckpointError
from miqa.networks.onnx_session import open_onnx
from miqa.running.cores import usable_cores
from miqa.running.devices import Device
from miqa.taxonomy import LABELS

from .base import Runtime
from .exported import (
    INPUT,
    KEY,
    OUTPUT,
    SEVERAL_OUTPUTS,
    cannot_run,
    check_ends,
    checked_outputs,
    checked_scores,
    read_about,
    read_words,
)

if TYPE_CHECKING:
    import torch


class OnnxRuntime(Runtime):
    """Scores by ONNX Runtime from a file that :meth:`miqa.apis.MIQAModel.export` wrote; needs no PyTorch.

    Args:
        path: the ONNX file.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``tensorrt``; None for a GPU where ONNX Runtime can use one.
        threads: threads of one operator; None for one a core that this process may use.
        sha256: of a file that this project ships; one that has it is not looked through.

    Attributes:
        spec: of the model in the file.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is not an ONNX file, or not one of this project's; or it holds what none of these does.
        MissingPackage: ONNX Runtime is not installed.
        ValueError: ONNX Runtime cannot compute on the device.
    """

    name = 'ONNX Runtime'

    def __init__(
        self,
        path: str | os.PathLike,
        device: str | Device | torch.device | None = None,
        threads: int | None = None,
        sha256: str | None = None,
    ):
        self._path = str(path)
        self._session, self.device = open_onnx(path, device, threads, limited=True, sha256=sha256)
        text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        self.spec, self.precision = read_about(text, str(path))
        outputs = [
            (item.name, item.type, item.shape) for item in (*self._session.get_inputs(), *self._session.get_outputs())
        ]
        self.words = read_words(text, self._path)
        check_ends(outputs, ('tensor(uint8)', 'tensor(float)'), self.spec.view_size, self._path, self.words)

    @property
    def usual_batch(self) -> int:
        """On a CPU two pictures for each core: with four, miqa-lite's layers stay in the caches of two cores."""
        usual = super().usual_batch
        return min(usual, 2 * usable_cores()) if self.device.type == 'cpu' else usual

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Score uint8 pixels (B, 3, size, size): float32 (B,)."""
        output = OUTPUT if self.words is None else self.spec.label or LABELS[0]
        return checked_scores(self._run([output], pixels)[0], len(pixels), self._path)

    def outputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Return all outputs for uint8 pixels (B, 3, size, size), and the label's once more as ``score``."""
        if self.words is None:
            return super().outputs(pixels)
        values = dict(zip(SEVERAL_OUTPUTS, self._run(list(SEVERAL_OUTPUTS), pixels), strict=True))
        outputs = checked_outputs(values, len(pixels), self.words, self._path)
        return {OUTPUT: outputs[self.spec.label or LABELS[0]], **outputs}

    def _run(self, names: list[str], pixels: np.ndarray) -> list[np.ndarray]:
        try:
            return self._session.run(names, {INPUT: pixels})
        except CheckpointError:
            raise
        except Exception as error:  # ONNX Runtime's errors share no base class but this one
            raise cannot_run(self._path, len(pixels), error) from error
