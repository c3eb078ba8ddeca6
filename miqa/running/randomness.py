"""Named random generators, independent of call order."""

from __future__ import annotations

import hashlib

import numpy as np


def generator_for(*keys: int | str) -> np.random.Generator:
    """Return a generator determined by ``keys`` alone.

    The same keys give the same numbers in any process, order, shard or worker: the keys are hashed with
    SHA-256 into the seed of a PCG64 generator.

    Example: ``generator_for(seed, image_id, 'snow', level)``.
    """
    text = '\x1f'.join(f'{type(key).__name__}:{key}' for key in keys)
    digest = hashlib.sha256(text.encode('utf-8')).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], 'little')))
