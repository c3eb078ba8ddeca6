"""Cached features of a frozen network, instead of a view."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from miqa.keeping.files import crc_of_file
from miqa.keeping.sealed import damaged, read_sealed_json
from miqa.outside import check_regular
from miqa.registry import TRANSFORMS
from miqa.taxonomy import check_choice

FEATURES_FILE = 'features.npy'
KEYS_FILE = 'keys.npy'
ROWS_FILE = 'rows.npy'
ABOUT_FILE = 'about.json'
# CRC-32 of every block of so many features, checked when one of them is first read.
CHECKSUMS_FILE = 'checksums.npy'
BLOCK = 4096

VIEWS = ('image', 'region')  # Views that a frozen network may take

_HINT = 'Make it with tools/data/cache_features.py.'


def image_key(path: str) -> int:
    """Hash an image's file name, which names source, distortion and levels, to 64 bits; never 0."""
    name = path.rpartition('/')[2]
    return int.from_bytes(hashlib.blake2b(name.encode('utf-8'), digest_size=8).digest(), 'little') or 1


def check_cached_pixels(cached: Sequence[Mapping], plain: Sequence[Mapping]) -> None:
    """Raise a ValueError if cached vectors are of pictures that were resized otherwise than the model's own pipeline.

    Args:
        cached: configs of the transforms of a loader that may take vectors from a cache.
        plain: those of the loader that starts from pictures, whose pipeline inference takes.
    """
    # Steps may be objects, too, of which nothing is known here.
    resizes = [step for step in plain if isinstance(step, Mapping) and step.get('type') == 'ResizeShortSide']
    for step in cached:
        cache = step.get('cache') if isinstance(step, Mapping) else None
        about = Path(cache) / ABOUT_FILE if cache else None
        if len(resizes) != 1 or about is None or not about.is_file():
            continue
        resize = read_sealed_json(about, f'Delete the folder. {_HINT}').get('resize', {})
        expected = {'size': 288, 'interpolation': 'bilinear', **resizes[0]}
        if any(resize[key] != expected[key] for key in resize):
            raise ValueError(
                f'The feature cache {about.parent} is of pictures with a short side of {resize["size"]} pixels '
                f'({resize["interpolation"]}), but the config resizes to {expected["size"]} '
                f'({expected["interpolation"]}). Delete the folder. {_HINT}'
            )


class FeatureCache:
    """One vector per picture, memory-mapped and found by the picture's file name.

    A folder of files: ``features.npy``, float32 (N, C); ``keys.npy``, uint64 (N,), every :func:`image_key` in
    ascending order; ``rows.npy``, int64 (N,), the row of the features that belongs to each key; and
    ``about.json``: what made them, and checksums; ``checksums.npy``: those of the features, by block.

    Raises:
        FileNotFoundError: the folder is not a finished cache.
        ValueError: its files do not belong together, or are damaged.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        files = [self.folder / name for name in (ABOUT_FILE, FEATURES_FILE, KEYS_FILE, ROWS_FILE)]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise FileNotFoundError(
                f'There is no cache of features in {self.folder}: {", ".join(missing)} missing. {_HINT}'
            )
        advice = f'Delete the folder. {_HINT}'
        self.about: dict = read_sealed_json(files[0], advice)
        for name, crc in self.about.get('crc32', {}).items():
            if name in (KEYS_FILE, ROWS_FILE, CHECKSUMS_FILE) and crc_of_file(self.folder / name) != crc:
                raise damaged(self.folder / name, 'its checksum is wrong', advice)
        self.features, self.keys, self.rows = (np.load(check_regular(file), mmap_mode='r') for file in files[1:])
        self._unchecked = dict(enumerate(np.load(self.folder / CHECKSUMS_FILE).tolist()))
        expected_shape = (self.about['images'], self.about['channels'])
        if (
            self.features.shape != expected_shape
            or self.features.dtype != np.float32
            or len(self.keys) != len(self.rows)
        ):
            raise ValueError(
                f'The cache {self.folder} is not whole: features {self.features.dtype}{self.features.shape}, '
                f'{len(self.keys)} keys and {len(self.rows)} rows; expected float32{expected_shape}. Delete the '
                f'folder. {_HINT}'
            )

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.keys)

    def identity(self, view: str) -> bytes:
        """Return the 32 bytes that say what made the vectors of ``view``.

        Raises:
            ValueError: they were made from another view.
        """
        key = f'{view}_identity'
        if key not in self.about:
            identities = [name.removesuffix('_identity') for name in self.about if name.endswith('_identity')]
            raise ValueError(
                f'The cache {self.folder} holds features of view {", ".join(identities)}, not of view {view}.'
            )
        return bytes.fromhex(self.about[key])

    def get(self, path: str) -> np.ndarray:
        """Return a copy of the features (C,) of the image file ``path``; only its file name counts.

        Raises:
            KeyError: there are none: the dataset has changed since the cache was made, or it is another split's.
        """
        key = np.uint64(image_key(path))
        place = int(np.searchsorted(self.keys, key))
        if place == len(self.keys) or self.keys[place] != key:
            raise KeyError(
                f'The cache {self.folder} is stale: none of its {len(self)} pictures is {path}. Delete the folder. '
                f'{_HINT}'
            )
        row = int(self.rows[place])
        self._check_block(row // BLOCK)
        return np.array(self.features[row])

    def _check_block(self, block: int) -> None:
        expected = self._unchecked.pop(block, None)
        if expected is not None and block_crc(self.features, block) != expected:
            self._unchecked[block] = expected
            raise damaged(self.folder / FEATURES_FILE, 'a checksum is wrong', f'Delete the folder. {_HINT}')


def block_crc(features: np.ndarray, block: int) -> int:
    """Return the CRC-32 of the ``block``-th :data:`BLOCK` rows of features."""
    return zlib.crc32(np.ascontiguousarray(features[block * BLOCK : (block + 1) * BLOCK]).data)


@TRANSFORMS.register_module()
class LoadCachedFeatures:
    """Add ``inputs['{view}_features']``, float32 (C,), from a cache; needs no picture before it.

    ``inputs['{view}_identity']``, uint8 (32,), says what made the features; the model checks that it is its own
    frozen encoder and view. Of augmentation the features know nothing: they are those of the plain picture.

    Args:
        cache: the cache's folder.
        view: what the features are of: ``image`` or ``region``.

    Raises:
        FileNotFoundError, ValueError: what :class:`FeatureCache` raises.
    """

    def __init__(self, cache: str, view: str):
        self.cache, self.view = str(cache), check_choice(view, VIEWS, 'view')
        self._open()

    def _open(self) -> None:
        self.features = FeatureCache(self.cache)
        self.identity = self.features.identity(self.view)

    def __call__(self, results: dict) -> dict:
        """Add the features of ``results['path']``; raises KeyError if the cache does not have them."""
        inputs = results.setdefault('inputs', {})
        inputs[f'{self.view}_features'] = torch.from_numpy(self.features.get(results['path']))
        inputs[f'{self.view}_identity'] = torch.frombuffer(bytearray(self.identity), dtype=torch.uint8)
        return results

    def __getstate__(self) -> dict:
        # Memory maps are opened anew in a worker process; pickling one would copy all of it.
        return {'cache': self.cache, 'view': self.view}

    def __setstate__(self, state: dict) -> None:
        self.cache, self.view = state['cache'], state['view']
        self._open()

    def __repr__(self) -> str:
        """Show the cache's folder."""
        return f'{type(self).__name__}(cache={self.cache!r})'


@TRANSFORMS.register_module()
class LoadRegionFeatures(LoadCachedFeatures):
    """:class:`LoadCachedFeatures` for view ``region``; put it after ``PackViews(region=None)``."""

    def __init__(self, cache: str):
        super().__init__(cache, 'region')
