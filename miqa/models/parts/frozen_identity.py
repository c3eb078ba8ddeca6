"""The identity of a frozen encoder's vectors."""

from __future__ import annotations

import hashlib
import json

from .data_preprocessor import ViewPreprocessor
from .frozen import FrozenEncoder


def frozen_identity(encoder: FrozenEncoder, preprocessor: ViewPreprocessor, view: str = 'region') -> str:
    """Return a SHA-256 of all that an encoder's vectors depend on.

    That is its tensors, its :meth:`~.frozen.FrozenEncoder.settings`, and size, mean and std of its view.
    """
    parts = [encoder.digest(), plain_view(preprocessor.views[view])]
    if settings := encoder.settings():
        parts.append(settings)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def plain_view(view: dict) -> dict:
    """Return size, mean and deviation of a view in JSON's types."""
    return {'size': int(view['size']), 'mean': [float(x) for x in view['mean']], 'std': [float(x) for x in view['std']]}
