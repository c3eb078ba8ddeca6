"""Memory allocator settings for CPU programs: keep freed memory."""

from __future__ import annotations

import ctypes
import os
import sys

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4

# What a process of many pictures keeps, in bytes: blocks up to the first (the most that glibc takes), freed memory up
# to the second.
_KEPT = {
    'MALLOC_MMAP_THRESHOLD_': (_MMAP_THRESHOLD, 32 << 20),
    'MALLOC_TRIM_THRESHOLD_': (_TRIM_THRESHOLD, 256 << 20),
    'MALLOC_TOP_PAD_': (_TOP_PAD, 16 << 20),
}


def keep_freed_memory() -> bool:
    """Let the C library reuse freed memory instead of returning it after every layer; return True if it took effect.

    By default glibc maps each activation of more than 32 MB anew and clears it page by page: in a training step of
    EfficientNet-Lite0 on a CPU that took a third of the processor time. The process then keeps its highest use of
    memory. It changes the whole process, so programs call it, never the library. It does nothing where a GPU computes,
    and where the C library is not glibc.
    """
    # Programs that do without PyTorch have no use for its answer.
    torch = sys.modules.get('torch')
    if torch is not None and torch.cuda.is_available():
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:
        return False
    return all(mallopt(name, value) for name, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, 64 << 20)))


def keep_some_freed_memory() -> None:
    """Let this process, and those that it starts from now on, reuse up to 256 MB of freed memory.

    For programs whose workers make pictures: most of their arrays come and go, and without this every one of them is
    mapped and cleared anew. Distorting and measuring took 16 to 20 % less time. Larger blocks go back to the machine,
    so that one huge picture does not stay. What the user has set for glibc (``MALLOC_...``) holds.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    for name, (parameter, value) in _KEPT.items():
        if name not in os.environ:
            os.environ[name] = str(value)
            if mallopt is not None:
                mallopt(parameter, value)
