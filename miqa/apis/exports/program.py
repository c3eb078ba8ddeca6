"""A module as a torch.export program with a dynamic batch size."""

from __future__ import annotations

import torch

from miqa.apis.runtimes.pixels import PixelsToScore


def exported_program(module: PixelsToScore, pixels: torch.Tensor) -> torch.export.ExportedProgram:
    """Return the program of a module on the CPU.

    Args:
        module: from pixels to scores.
        pixels: uint8 (2, 3, size, size): of one picture the batch size would be taken for a constant.
    """
    with torch.no_grad():
        return torch.export.export(module, (pixels,), dynamic_shapes={'pixels': {0: torch.export.Dim('batch')}})
