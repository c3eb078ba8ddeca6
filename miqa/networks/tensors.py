"""A hash of named tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def sha256_of_tensors(
    state: Mapping[str, torch.Tensor] | Iterable[tuple[str, torch.Tensor]], *more: str, with_types: bool = True
) -> str:
    """Return the SHA-256 of named tensors, in their order, and of further texts.

    Args:
        state: name -> tensor, of any shape and type.
        more: texts that count, too.
        with_types: False leaves out shapes and types; names and values alone count.
    """
    import torch

    digest = hashlib.sha256()
    for name, value in dict(state).items():
        value = value.detach().cpu().contiguous()
        digest.update(f'{name}{tuple(value.shape)}{value.dtype}'.encode() if with_types else name.encode())
        # As bytes, because NumPy has no bfloat16.
        if value.numel():
            digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    for text in more:
        digest.update(text.encode())
    return digest.hexdigest()
