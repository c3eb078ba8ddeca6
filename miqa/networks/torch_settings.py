"""Isolate process-wide PyTorch settings around third-party code."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import cv2
import torch


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    """Put back, after the block, what it changed for the whole process.

    Threads of PyTorch and OpenCV, the default type of numbers, whether gradients are kept, how precisely and by which
    algorithms a GPU multiplies, and which GPU is the default. A library that changes them when it is
    imported, or a model that does when it runs, would otherwise decide about the speed and the last digits of all that
    follow.
    """
    before = {name: read() for name, (read, _) in _SETTINGS.items()}
    device = torch.cuda.current_device() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        for name, (read, write) in _SETTINGS.items():
            if read() != before[name]:
                write(before[name])
        if device is not None:
            torch.cuda.set_device(device)


@contextlib.contextmanager
def default_settings() -> Iterator[None]:
    """Make tensors of float32 on the CPU within the block, whatever the program has set as PyTorch's defaults."""
    before = torch.get_default_dtype()
    # A tensor tells: torch.get_default_device() raises once set_default_device(None) was called (PyTorch 2.9).
    if before is torch.float32 and torch.empty(0).device.type == 'cpu':
        yield
        return
    try:
        torch.set_default_dtype(torch.float32)
        with torch.device('cpu'):
            yield
    finally:
        torch.set_default_dtype(before)


def _attribute(owner: object, name: str):
    """Return what reads and what writes an attribute."""
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


_SETTINGS = {
    'threads of PyTorch': (torch.get_num_threads, torch.set_num_threads),
    'threads of OpenCV': (cv2.getNumThreads, cv2.setNumThreads),
    'type': (torch.get_default_dtype, torch.set_default_dtype),
    'gradients': (torch.is_grad_enabled, torch.set_grad_enabled),
    'precision': (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    'benchmark': _attribute(torch.backends.cudnn, 'benchmark'),
    'deterministic': _attribute(torch.backends.cudnn, 'deterministic'),
    'TF32 of convolutions': _attribute(torch.backends.cudnn, 'allow_tf32'),
}
