"""Processor name and its native number formats."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

#: Flags of Linux's /proc/cpuinfo for arithmetic in bfloat16: AMX and AVX-512 on x86-64, ``bf16`` on Arm.
_BF16_FLAGS = frozenset(('amx_bf16', 'avx512_bf16', 'bf16'))


@cache
def processor() -> tuple[str, frozenset[str]]:
    """Return the processor's name and its feature flags; no flags where the machine does not list them."""
    name, flags = platform.processor() or platform.machine(), frozenset[str]()
    try:
        text = Path('/proc/cpuinfo').read_text(encoding='utf-8', errors='replace')
    except OSError:
        return name, flags
    for line in text.splitlines():
        key, _, value = line.partition(':')
        if key.strip() == 'model name':
            name = value.strip()
        elif key.strip() in ('flags', 'Features'):
            return name, frozenset(value.split())
    return name, flags


def has_bfloat16() -> bool:
    """Return True if the processor computes in bfloat16 itself, by AMX or AVX512-BF16, and does not emulate it."""
    return bool(processor()[1] & _BF16_FLAGS)
