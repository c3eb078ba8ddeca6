"""The table of export formats, by file suffix."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

from miqa.taxonomy import check_choice

from .format import ExportFormat

#: Suffix -> module of this folder whose ``FORMAT`` it is, imported when it is used. A new format is such a module, and
#: a line here.
FORMATS = {
    '.onnx': 'onnx_file',
    '.xml': 'openvino_file',
    '.pt2': 'torch_export_file',
}


def export_format(suffix: str) -> ExportFormat:
    """Return the format of a suffix, in any case.

    Raises:
        ValueError: the name is unknown; the message lists the formats.
    """
    module = FORMATS[check_choice(suffix.lower(), FORMATS, 'export suffix')]
    return importlib.import_module(f'{__package__}.{module}').FORMAT


def is_scorable(path: Path) -> bool:
    """Return True if a file is, by its suffix, an exported model that scores here."""
    suffix = path.suffix.lower()
    return suffix in FORMATS and export_format(suffix).open is not None


def files_of(path: Path) -> list[Path]:
    """Return all files of one model, the named one last; of a folder of the Hub's format its weights and config."""
    if path.is_dir():
        return [path / 'model.safetensors', path / 'config.json']
    beside = export_format(path.suffix).beside if path.suffix.lower() in FORMATS else ()
    return [*(path.with_suffix(ending) for ending in beside), path]


def put_in_place(written: Path, path: Path) -> None:
    """Move a finished model to where it shall be, instead of what is there; the named file comes last."""
    for source, target in zip(files_of(written), files_of(path), strict=True):
        shutil.move(source, target)
