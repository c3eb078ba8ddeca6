"""Scores by ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Sequence
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
    of_task,
    read_about,
    read_words,
)

if TYPE_CHECKING:
    import torch

    from miqa.apis.diagnosis import DiagnosisWords
    from miqa.apis.spec import ModelSpec


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
        if self.words is None:
            return checked_scores(self._run([OUTPUT], pixels)[0], len(pixels), self._path)
        return self.outputs(pixels)[OUTPUT]

    def outputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Return all outputs for uint8 pixels (B, 3, size, size), and the label's once more as ``score``."""
        if self.words is None:
            return super().outputs(pixels)
        outputs = of_task(self._several(pixels, self.words), self.spec.task)
        return {OUTPUT: outputs[self.spec.label or LABELS[0]], **outputs}

    def scores_of_tasks(self, pixels: np.ndarray, specs: Sequence[ModelSpec]) -> np.ndarray:
        """Score uint8 pixels (B, 3, size, size) for several tasks at once, by a file that can: float32 (B, specs)."""
        if self.words is None:
            raise ValueError(f'{self._path} scores for one task alone.')
        outputs = self._several(pixels, self.words)
        return np.stack([of_task(outputs, spec.task)[spec.label or LABELS[0]] for spec in specs], axis=1)

    def _several(self, pixels: np.ndarray, words: DiagnosisWords) -> dict[str, np.ndarray]:
        values = dict(zip(SEVERAL_OUTPUTS, self._run(list(SEVERAL_OUTPUTS), pixels), strict=True))
        return checked_outputs(values, len(pixels), words, self._path)

    def _run(self, names: list[str], pixels: np.ndarray) -> list[np.ndarray]:
        try:
            return self._session.run(names, {INPUT: pixels})
        except CheckpointError:
            raise
        except Exception as error:  # ONNX Runtime's errors share no base class but this one
            raise cannot_run(self._path, len(pixels), error) from error
