"""Region features from a cache, in place of the view that they were computed from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from miqa.registry import TRANSFORMS

FEATURES_FILE = 'features.npy'
KEYS_FILE = 'keys.npy'
ROWS_FILE = 'rows.npy'
ABOUT_FILE = 'about.json'

_HINT = 'Make it with tools/data/cache_region_features.py.'


def image_key(path: str) -> int:
    """Hash an image's file name, which names source, distortion and levels, to 64 bits; never 0."""
    name = path.rpartition('/')[2]
    return int.from_bytes(hashlib.blake2b(name.encode('utf-8'), digest_size=8).digest(), 'little') or 1


class RegionFeatureCache:
    """One vector per picture of a split, memory-mapped and found by the picture's file name.

    A folder of four files: ``features.npy``, float32 (N, C); ``keys.npy``, uint64 (N,), every :func:`image_key` in
    ascending order; ``rows.npy``, int64 (N,), the row of the features that belongs to each key; and
    ``about.json``: what made them.

    Args:
        folder: the cache.

    Raises:
        FileNotFoundError: the folder is not a finished cache.
        ValueError: its files do not belong together.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        files = [self.folder / name for name in (ABOUT_FILE, FEATURES_FILE, KEYS_FILE, ROWS_FILE)]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise FileNotFoundError(
                f'There is no cache of region features in {self.folder} ({", ".join(missing)} not there). {_HINT}'
            )
        self.about: dict = json.loads(files[0].read_text(encoding='utf-8'))
        self.features, self.keys, self.rows = (np.load(file, mmap_mode='r') for file in files[1:])
        wanted = (self.about['images'], self.about['channels'])
        if self.features.shape != wanted or self.features.dtype != np.float32 or len(self.keys) != len(self.rows):
            raise ValueError(
                f'The cache {self.folder} is not whole: features {self.features.dtype}{self.features.shape}, '
                f'{len(self.keys)} keys and {len(self.rows)} rows; expected float32{wanted}. Delete the folder. {_HINT}'
            )

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.keys)

    def get(self, path: str) -> np.ndarray:
        """Return a copy of the features (C,) of the image file ``path``; only its file name counts.

        Raises:
            KeyError: there are none: the dataset has changed since the cache was made, or it is another split's.
        """
        key = np.uint64(image_key(path))
        place = int(np.searchsorted(self.keys, key))
        if place == len(self.keys) or self.keys[place] != key:
            raise KeyError(
                f'The cache of region features {self.folder} is stale: none of its {len(self)} pictures is {path}. '
                f'Delete the folder. {_HINT}'
            )
        return np.array(self.features[self.rows[place]])


@TRANSFORMS.register_module()
class LoadRegionFeatures:
    """Add ``inputs['region_features']``, float32 (C,), from a cache; put it after ``PackViews(region=None)``.

    ``inputs['region_identity']``, uint8 (32,), says what made the features; the model checks that it is its own
    frozen encoder and view. Augmentation may be on: the view ``region`` is never augmented.

    Args:
        cache: the cache's folder.

    Raises:
        FileNotFoundError, ValueError: what :class:`RegionFeatureCache` raises.
    """

    def __init__(self, cache: str):
        self.cache = str(cache)
        self._open()

    def _open(self) -> None:
        self.features = RegionFeatureCache(self.cache)
        self.identity = bytes.fromhex(self.features.about['region_identity'])

    def __call__(self, results: dict) -> dict:
        """Add the features of ``results['path']``; raises KeyError if the cache does not have them."""
        results['inputs']['region_features'] = torch.from_numpy(self.features.get(results['path']))
        results['inputs']['region_identity'] = torch.frombuffer(bytearray(self.identity), dtype=torch.uint8)
        return results

    def __getstate__(self) -> dict:
        # Memory maps are opened anew in a worker process; pickling one would copy all of it.
        return {'cache': self.cache}

    def __setstate__(self, state: dict) -> None:
        self.cache = state['cache']
        self._open()

    def __repr__(self) -> str:
        """Show the cache's folder."""
        return f'{type(self).__name__}(cache={self.cache!r})'
