"""Save and load models: exported files, folders, the Hugging Face Hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .inputs import Preparation
from .quality import Thresholds
from .runtimes.base import Runtime
from .spec import ModelSpec

if TYPE_CHECKING:
    import torch
    from typing_extensions import Self

#: What says how a model reads pictures, in :meth:`ModelFiles.from_runtime`; the rest says how it computes.
READING = ('batch_size', 'workers', 'thresholds', 'decode', 'value_range', 'coverage')


class ModelFiles:
    """The half of :class:`miqa.apis.MIQAModel` that writes and reads models; see there for the attributes."""

    spec: ModelSpec
    runtime: Runtime
    source: str
    prepare: Preparation
    thresholds: Thresholds

    def export(
        self,
        path: str | os.PathLike,
        *,
        int8: bool = False,
        calibrate: str | os.PathLike | None = None,
        tolerance: float | None = None,
    ) -> Path:
        """Write the model for use elsewhere: ``.onnx``, ``.xml`` (OpenVINO) or ``.pt2`` (torch.export).

        With ``int8``, 8-bit numbers are fitted to the pictures of the folder ``calibrate``. The file is kept if its
        scores are within ``tolerance`` of PyTorch's: None for 1e-4, with ``int8`` 0.06. See
        :func:`miqa.apis.exports.export.export_model`.
        """
        return self.export_and_compare(path, int8=int8, calibrate=calibrate, tolerance=tolerance)[0]

    def export_and_compare(
        self, path: str | os.PathLike, *, int8: bool = False, calibrate=None, tolerance: float | None = None
    ) -> tuple[Path, float]:
        """Do the same as :meth:`export`; also return the largest difference of scores that was found."""
        pixels = None
        if int8:
            if calibrate is None:
                raise ValueError('8-bit numbers need a folder of pictures to fit them to: --calibrate FOLDER.')
            from .calibration import calibration_pixels

            pixels = calibration_pixels(calibrate, self.prepare)
        if self.runtime.module is None and pixels is not None:
            from .exports.quantise import quantise_exported

            return quantise_exported(self.spec, self.runtime, path, pixels, self.source, tolerance)
        from .exports.export import export_model

        return export_model(self.spec, self.runtime, path, int8=int8, pixels=pixels, tolerance=tolerance)

    def save_pretrained(self, folder: str | os.PathLike) -> Path:
        """Write weights, config and model card into a folder; see :func:`miqa.apis.zoo.hub.save_pretrained`."""
        from .zoo.hub import save_pretrained

        return save_pretrained(self.spec, self._network_state(), folder, self.thresholds)

    def push_to_hub(self, repo_id: str, **options) -> str:
        """Upload to the Hugging Face Hub; see :func:`miqa.apis.zoo.hub.push_to_hub`."""
        from .zoo.hub import push_to_hub

        return push_to_hub(self.spec, self._network_state(), repo_id, self.thresholds, **options)

    def _network_state(self) -> dict[str, torch.Tensor]:
        if self.runtime.module is None:
            raise ValueError(f'{self.source} is an exported model; save the checkpoint that it was made from.')
        return self.runtime.module.network.state_dict()

    @classmethod
    def from_pretrained(
        cls, repo_id: str | os.PathLike, *, revision: str | None = None, token: str | None = None, **options: Any
    ) -> Self:
        """Load a model from the Hugging Face Hub (``user/repo``), or from a folder of :meth:`save_pretrained`.

        ``revision`` is a branch, tag or commit, ``token`` the Hub's, for private repositories; ``options`` are those of
        :meth:`from_parts`.

        Raises:
            WeightsUnavailable: there is no such repository, or it cannot be reached.
            CheckpointError, ValueError: its files are not those of a quality model.
        """
        from .zoo.hub import read_pretrained

        spec, state, thresholds, source = read_pretrained(repo_id, revision, token)
        return cls.from_parts(spec, state, source, **{'thresholds': thresholds, **options})

    @classmethod
    def from_parts(cls, spec: ModelSpec, state: dict[str, torch.Tensor], source: str, **options: Any) -> Self:
        """Make a model of a spec and its tensors.

        Args:
            spec: method, task, label and preprocessing.
            state: tensors by name.
            source: what to call them in errors.
            options: ``device``, ``precision``, ``channels_last``, ``compile`` and :data:`READING` as for the class.
        """
        from .opening import open_state

        reading = {name: options.pop(name) for name in READING if name in options}
        return cls.from_runtime(spec, open_state(spec, state, source, **options), source, **reading)

    @classmethod
    def from_runtime(cls, spec: ModelSpec, runtime: Runtime, source: str, **reading: Any) -> Self:
        """Make a model around a runtime of any kind; ``reading`` are options of :data:`READING` as for the class."""
        raise NotImplementedError
