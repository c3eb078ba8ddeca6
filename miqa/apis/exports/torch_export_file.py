"""torch.export files, for programs that use PyTorch: ``torch.export.load(path).module()(pixels)``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from miqa.apis.runtimes.exported import KEY, about
from miqa.apis.spec import ModelSpec

from .format import ExportFormat, Run

if TYPE_CHECKING:
    import torch

    from miqa.apis.runtimes.pixels import PixelsToScore


def write_torch_export(module: PixelsToScore, pixels: torch.Tensor, path: Path, spec: ModelSpec) -> Run:
    """Write a file of torch.export, with the preparation of pictures in an extra file; return what scores with it."""
    import torch

    from .program import exported_program

    program = exported_program(module, pixels)
    torch.export.save(program, str(path), extra_files={f'{KEY}.json': json.dumps(about(spec))})
    loaded = torch.export.load(str(path)).module()
    return lambda batch: loaded(torch.from_numpy(batch)).detach().numpy()


FORMAT = ExportFormat('torch.export', write_torch_export)
