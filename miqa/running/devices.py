"""Compute devices, also named without PyTorch."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch


class Device(NamedTuple):
    """Where a runtime computes, named as PyTorch names it, for runtimes that do without PyTorch.

    Attributes:
        type: ``cpu``, ``cuda``, ...
        index: which one of this type; None for the first or only one.
    """

    type: str
    index: int | None = None  # type: ignore[assignment]  # a tuple's method of that name is not needed

    def __str__(self) -> str:
        """Return such as ``cuda:1``."""
        return self.type if self.index is None else f'{self.type}:{self.index}'

    @classmethod
    def of(cls, device: str | Device | torch.device) -> Device:
        """Read a device's name.

        Raises:
            ValueError: it is not of the form ``cuda`` or ``cuda:1``.
        """
        match = re.fullmatch(r'([a-z_]+)(?::(\d{1,3}))?', str(device).strip().lower())
        if match is None:
            raise ValueError(f'A device is named like cpu, cuda or cuda:1, not {str(device)!r}.')
        return cls(match[1], None if match[2] is None else int(match[2]))


def usable_device(device: str | torch.device | None) -> torch.device:
    """Return the device on which PyTorch is to compute; None means a GPU where there is one.

    Raises:
        ValueError: there is no such device here.
    """
    import torch

    if device is None:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of names that were devices once
            parsed = torch.device(str(device).strip().lower())
        if parsed.type == 'meta':
            raise NotImplementedError('it holds no numbers')
        torch.empty(0, device=parsed)
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        reason = next(iter(str(error).splitlines()), 'it is not available').rstrip('. ')
        raise ValueError(
            f'Cannot compute on device {str(device)!r}: {reason}. PyTorch finds {torch.cuda.device_count()} GPUs here '
            '(compare `nvidia-smi -L`); choose cpu, or leave the device out.'
        ) from None
    return parsed


def gpu_has_bfloat16() -> bool:
    """Return True if the GPU computes bfloat16 itself; one that PyTorch only emulates is slower than float32."""
    import torch

    return torch.cuda.is_bf16_supported(including_emulation=False)
