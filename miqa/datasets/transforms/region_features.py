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
ABOUT_FILE = 'about.json'

_HINT = 'Make it with tools/data/cache_region_features.py.'


def image_key(image: str) -> int:
    """Hash an image's path below the image root to 64 bits; never 0, which marks a row without features."""
    return int.from_bytes(hashlib.blake2b(image.encode('utf-8'), digest_size=8).digest(), 'little') or 1


class RegionFeatureCache:
    """One vector per picture of a split, memory-mapped.

    A folder of three files: ``features.npy``, float32 (N, C), row i belonging to the dataset's sample i;
    ``keys.npy``, uint64 (N,), :func:`image_key` of each row's image or 0; and ``about.json``: what made them.

    Args:
        folder: the cache.

    Raises:
        FileNotFoundError: the folder is not a finished cache.
        ValueError: its files do not belong together.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if not (self.folder / ABOUT_FILE).is_file():
            raise FileNotFoundError(f'There is no cache of region features in {self.folder}. {_HINT}')
        self.about: dict = json.loads((self.folder / ABOUT_FILE).read_text(encoding='utf-8'))
        self.features = np.load(self.folder / FEATURES_FILE, mmap_mode='r')
        self.keys = np.load(self.folder / KEYS_FILE, mmap_mode='r')
        wanted = (self.about['images'], self.about['channels'])
        if self.features.shape != wanted or self.keys.shape != wanted[:1] or self.features.dtype != np.float32:
            raise ValueError(
                f'The cache {self.folder} is not whole: features {self.features.dtype}{self.features.shape} and keys '
                f'{self.keys.shape}, expected float32{wanted}. Delete the folder. {_HINT}'
            )

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.keys)

    def get(self, index: int, image: str) -> np.ndarray:
        """Return a copy of the features (C,) of sample ``index``, whose image must be ``image``.

        Raises:
            ValueError: the row belongs to another image: the dataset has changed since the cache was made.
        """
        if index >= len(self) or int(self.keys[index]) != image_key(image):
            raise ValueError(
                f'The cache of region features {self.folder} is stale: its row {index} does not belong to {image} '
                f'({len(self)} rows). Delete the folder. {_HINT}'
            )
        return np.array(self.features[index])


@TRANSFORMS.register_module()
class LoadRegionFeatures:
    """Add ``inputs['region_features']``, float32 (C,), from a cache; put it after ``PackViews(region=None)``.

    The features are those of the unturned, unflipped picture: leave RandomFlip and RandomRotate out of the
    pipeline. The model checks that its own frozen encoder made them.

    Args:
        cache: the cache's folder; ``{task}`` in it stands for the sample's task.
    """

    def __init__(self, cache: str):
        self.cache = cache
        self._open: dict[str, RegionFeatureCache] = {}

    def __call__(self, results: dict) -> dict:
        """Add the features to a packed sample.

        Raises:
            FileNotFoundError: there is no such cache.
            ValueError: the cache is stale, or the sample was flipped or rotated.
        """
        turned = [name for name in ('flip', 'flip_direction', 'angle', 'rotation') if results.get(name)]
        if turned:
            raise ValueError(
                f'Cached region features know nothing of {", ".join(turned)}: take RandomFlip and RandomRotate out of '
                'the pipeline, or LoadRegionFeatures.'
            )
        sample = results['data_sample']
        folder = self.cache.format(task=sample.get('task'))
        if folder not in self._open:
            self._open[folder] = RegionFeatureCache(folder)
        cache = self._open[folder]
        results['inputs']['region_features'] = torch.from_numpy(cache.get(sample.index, sample.image))
        sample.set_metainfo({'region_encoder': cache.about['region_encoder']})
        return results

    def __getstate__(self) -> dict:
        # Memory maps are opened anew in each worker process.
        return {'cache': self.cache, '_open': {}}

    def __repr__(self) -> str:
        """Show the cache's folder."""
        return f'{type(self).__name__}(cache={self.cache!r})'
