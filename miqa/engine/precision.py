"""Mixed precision on any device."""

from __future__ import annotations

import contextlib

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper

from miqa.registry import OPTIM_WRAPPERS
from miqa.running.devices import gpu_has_bfloat16


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Run the forward pass in bfloat16 on CPUs and GPUs; weights and updates stay float32.

    bfloat16 has float32's range and needs no loss scaling. For float16 on older GPUs use MMEngine's
    ``AmpOptimWrapper``,
    which scales losses and works on GPUs only.
    """

    @contextlib.contextmanager
    def optim_context(self, model: torch.nn.Module):
        """Autocast to bfloat16 around MMEngine's own context."""
        with super().optim_context(model), torch.autocast(get_device(), dtype=torch.bfloat16):
            yield


def mixed_precision(optim_wrapper: dict) -> dict:
    """Return the config of ``optim_wrapper`` with mixed precision for this machine switched on."""
    if torch.cuda.is_available() and not gpu_has_bfloat16():
        return {**optim_wrapper, 'type': 'AmpOptimWrapper', 'dtype': 'float16'}
    return {**optim_wrapper, 'type': 'AutocastOptimWrapper'}
