"""Exports cached by this package because another runtime is faster."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from miqa import __version__
from miqa.outside.user_folders import user_cache

from .exports.formats import files_of
from .methods import name_of_network
from .runtimes.base import Runtime
from .spec import ModelSpec

#: Networks that are slow enough for an export, which takes a minute once, to pay. Of the paper's RA-MIQA OpenVINO
#: computes a picture in less than half of PyTorch's time, see docs/performance.md.
EXPORTED = ('ra_miqa',)
#: Folder of the cache, and how many models it keeps: each takes what its weights take. The oldest go first.
FOLDER, MOST_KEPT = 'exports', 4
_SUFFIX, _NAME = '.xml', 'OpenVINO'
# Seconds for the export of another process.
_LONGEST_WAIT = 600


class KeptExport:
    """One model for OpenVINO, exported when it is first opened.

    Args:
        spec: of the model.
        source: returns PyTorch's runtime of it, in float32.
        digest: returns what stands for its weights.
    """

    def __init__(self, spec: ModelSpec, source: Callable[[], Runtime], digest: Callable[[], str]):
        self._spec, self._source, self._digest = spec, source, digest
        self._error: Exception | None = None

    def candidates(self, precisions: tuple[str, ...], device: str) -> tuple[str, ...]:
        """Return the names of the ways that :meth:`open` offers: none for other networks, and on GPUs.

        Args:
            precisions: number formats shorter than float32 that the processor computes in itself.
            device: requested device type.
        """
        if device != 'cpu' or name_of_network(self._spec.network) not in EXPORTED:
            return ()
        return tuple(f'{_NAME} {name}' for name in ('fp32', *precisions))

    def open(self, candidate: str) -> Runtime:
        """Return the runtime of one of :meth:`candidates`; it keeps PyTorch's module for what needs the network.

        Raises:
            Exception: whatever the exporter or OpenVINO raises, at once where it was raised before.
        """
        if self._error is not None:
            raise self._error
        try:
            # First of all: without it nothing needs to be exported.
            from .runtimes.openvino_runtime import OpenVinoRuntime, openvino_core

            openvino_core()
            runtime = OpenVinoRuntime(self._path(), 'cpu', candidate.removeprefix(f'{_NAME} '))
        except Exception as error:
            self._error = error
            raise
        runtime.module = self._source().module
        return runtime

    def _path(self) -> Path:
        folder = user_cache() / FOLDER
        text = json.dumps([self._digest(), __version__, *export_versions(), self._spec.to_dict()])
        path = folder / f'{hashlib.sha256(text.encode()).hexdigest()[:32]}{_SUFFIX}'
        if not path.exists():
            from .exports.export import export_model

            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / '.lock', timeout=_LONGEST_WAIT):
                if not path.exists():
                    export_model(self._spec, self._source(), path)
                    _remove_oldest(folder)
        return path


def export_versions() -> tuple[str, ...]:
    """Return the versions of what exports and of what runs the export; ``none`` for what is not installed."""
    versions = []
    for name in ('torch', 'onnxscript', 'openvino'):
        try:
            versions.append(importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            versions.append('none')
    return tuple(versions)


def _remove_oldest(folder: Path) -> None:
    exports = sorted(folder.glob(f'*{_SUFFIX}'), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in exports[MOST_KEPT:]:
        # The named file first: without it, nobody takes the rest for a model.
        for file in reversed(files_of(path)):
            with contextlib.suppress(FileNotFoundError):
                file.unlink()
