"""Frozen networks, whose outputs can be cached."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from miqa.networks.tensors import sha256_of_tensors


class FrozenEncoder(nn.Module):
    """A network that is frozen for good: no gradient, evaluation mode whatever ``train()`` says, no optimiser.

    Subclasses set :attr:`out_channels`, implement :meth:`encode` and call :meth:`freeze` last in ``__init__``.
    """

    #: Length of the vector per picture.
    out_channels: int

    def freeze(self) -> None:
        """Take every parameter out of training and switch to evaluation mode."""
        self.requires_grad_(False)
        self.eval()
        self._digest: str | None = None

    def train(self, mode: bool = True) -> FrozenEncoder:
        """Stay in evaluation mode: DropPath, Dropout and batch statistics remain off."""
        return super().train(False)

    def init_weights(self) -> None:
        """Load the pretrained weights, fetching them where needed; called only when training starts."""
        raise NotImplementedError

    def encode(self, picture: torch.Tensor) -> torch.Tensor:
        """Return the vectors (B, out_channels) of normalised pictures (B, 3, H, W)."""
        raise NotImplementedError

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Return the vectors (B, out_channels) of normalised RGB pictures (B, 3, H, W), without gradient."""
        with torch.no_grad():
            return self.encode(picture)

    def settings(self) -> dict:
        """Return what beside the tensors decides the vectors, as JSON-ready data; nothing by default."""
        return {}

    def _load_from_state_dict(self, *args, **kwargs):
        self._digest = None
        super()._load_from_state_dict(*args, **kwargs)

    def digest(self) -> str:
        """Return the SHA-256 over names and values of all tensors, which identifies vectors made with them."""
        if self._digest is None:
            # Without types, so that features cached by earlier versions are still valid.
            self._digest = sha256_of_tensors(sorted(self.state_dict().items()), with_types=False)
        return self._digest


class FrozenStack(FrozenEncoder):
    """Several frozen encoders of one view: their vectors one after the other.

    Args:
        encoders: which; they may be parts of a network, whose tensors they remain.
    """

    def __init__(self, encoders: Sequence[FrozenEncoder]):
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.out_channels = sum(encoder.out_channels for encoder in encoders)
        self.freeze()

    def _each(self) -> Iterator[FrozenEncoder]:
        # A ModuleList does not say what it holds.
        return (encoder for encoder in self.encoders if isinstance(encoder, FrozenEncoder))

    def init_weights(self) -> None:
        """Load the weights of each."""
        for encoder in self._each():
            encoder.init_weights()

    def encode(self, picture: torch.Tensor) -> torch.Tensor:
        """Return the vectors (B, out_channels) of normalised pictures (B, 3, H, W)."""
        return torch.cat([encoder(picture) for encoder in self._each()], 1)

    def settings(self) -> dict:
        """Return the settings of each."""
        return {'stack': [encoder.settings() for encoder in self._each()]}

    def digest(self) -> str:
        """Return the SHA-256 over the digests of all, which these keep."""
        return hashlib.sha256(' '.join(encoder.digest() for encoder in self._each()).encode()).hexdigest()
