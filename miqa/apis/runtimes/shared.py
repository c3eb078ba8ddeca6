"""Several networks on the same pixels, with equal frozen encoders computed once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from miqa.models.parts.frozen_identity import frozen_identity

from .base import Runtime
from .torch_runtime import TorchRuntime


def can_share(runtimes: Sequence[Runtime]) -> bool:
    """Return True if all are PyTorch's, in one place and number format; ``auto`` chooses for each network by itself."""
    kinds = {(type(runtime), str(runtime.device), runtime.precision) for runtime in runtimes}
    return len(kinds) == 1 and isinstance(runtimes[0], TorchRuntime)


class SharedRuntime:
    """Scores by several networks of PyTorch at once.

    Args:
        runtimes: on the same device, in the same number format, for pixels of the same size.

    Raises:
        ValueError: they are not.
    """

    def __init__(self, runtimes: Sequence[TorchRuntime]):
        kinds = {(str(runtime.device), runtime.precision) for runtime in runtimes}
        if len(kinds) != 1:
            raise ValueError(f'Networks that share pixels need one device and precision, not {sorted(kinds)}.')
        self._first = runtimes[0]
        self._modules = [runtime.module for runtime in runtimes]
        # For each network: view -> what its vectors depend on. Equal ones are computed once for all.
        self._shared = [
            {
                view: frozen_identity(encoder, module.preprocessor, view)
                for view, encoder in _frozen_encoders(module.network).items()
            }
            for module in self._modules
        ]

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Score uint8 pixels (B, 3, size, size): float32 (B, networks)."""
        with self._first.arithmetic():
            batch = self._first.on_device(pixels)
            tensors: dict[str, torch.Tensor] = {}
            scores = []
            for module, identities in zip(self._modules, self._shared, strict=True):
                inputs = module.views(batch)
                for view, identity in identities.items():
                    if identity not in tensors:
                        tensors[identity] = _frozen_encoders(module.network)[view](inputs[view])
                    inputs[f'{view}_features'] = tensors[identity]
                scores.append(module.network(inputs))
        return torch.stack(scores, dim=1).float().cpu().numpy()


def _frozen_encoders(network) -> dict:
    frozen_encoders = getattr(network, 'frozen_encoders', None)
    return frozen_encoders() if callable(frozen_encoders) else {}
