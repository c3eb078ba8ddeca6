"""Run the frozen region encoder over a split once and keep what it says: 384 numbers per picture."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm import tqdm

from ..datasets.transforms.region_features import (
    ABOUT_FILE,
    FEATURES_FILE,
    KEYS_FILE,
    ROWS_FILE,
    RegionFeatureCache,
    image_key,
)
from ..utils import write_json
from .data_preprocessor import ViewPreprocessor
from .region_encoder import RegionEncoder

_DONE_FILE = 'done.npy'


def region_identity(encoder: RegionEncoder, preprocessor: ViewPreprocessor) -> str:
    """Return a SHA-256 of all that features depend on: the encoder's tensors, and size, mean and std of its view."""
    view = _plain(preprocessor.views['region'])
    return hashlib.sha256(json.dumps([encoder.digest(), view], sort_keys=True).encode()).hexdigest()


def _plain(view: dict) -> dict:
    return {'size': int(view['size']), 'mean': [float(x) for x in view['mean']], 'std': [float(x) for x in view['std']]}


def cache_region_features(
    encoder: RegionEncoder,
    preprocessor: ViewPreprocessor,
    dataset: Dataset,
    folder: str | Path,
    batch_size: int = 64,
    num_workers: int = 0,
    device: str | torch.device = 'cpu',
) -> RegionFeatureCache:
    """Compute the features of every picture of ``dataset`` into ``folder``, or go on where an earlier run stopped.

    Work happens in ``<folder>.part``, which becomes ``folder`` at the end. Features are computed in float32.
    Pictures that cannot be read are left out if the dataset skips them (``bad_images='skip'``).

    Args:
        encoder: with its weights loaded.
        preprocessor: of the model; its view ``region`` is used.
        dataset: gives ``inputs['region']``, uint8 (3, size, size), without randomness, and a ``data_sample`` with
            ``index`` and ``image``.
        folder: where the cache shall be; must not exist.
        batch_size: pictures at a time.
        num_workers: processes that read pictures.
        device: where the encoder runs.

    Returns:
        The finished cache.

    Raises:
        FileExistsError: ``folder`` exists, or ``<folder>.part`` was begun with another encoder, view or dataset.
    """
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f'{folder} exists already. Delete it first, or choose another folder.')
    about = {
        'region_identity': region_identity(encoder, preprocessor),
        'encoder': type(encoder).__name__,
        'encoder_sha256': encoder.digest(),
        'view': _plain(preprocessor.views['region']),
        'channels': encoder.out_channels,
        'images': len(dataset),
        'dataset': {k: v for k, v in getattr(dataset, 'metainfo', {}).items() if k in ('task', 'split', 'samples')},
    }
    part = folder.with_name(f'{folder.name}.part')
    features, done = _open_part(part, about)
    _fill(features, done, encoder.to(device), preprocessor.to(device), dataset, batch_size, num_workers)
    rows = np.flatnonzero(done)
    keys = done[rows]
    order = np.argsort(keys)
    if (np.diff(keys[order]) == 0).any():
        raise ValueError('Two pictures of this dataset have the same file name: they cannot share a cache.')
    np.save(part / KEYS_FILE, keys[order])
    np.save(part / ROWS_FILE, rows[order])
    part.rename(folder)
    (folder / _DONE_FILE).unlink()
    return RegionFeatureCache(folder)


def _fill(features, done, encoder, preprocessor, dataset, batch_size: int, num_workers: int) -> None:
    pending = np.flatnonzero(done == 0)
    loader = DataLoader(
        Subset(dataset, pending.tolist()), batch_size=batch_size, num_workers=num_workers, collate_fn=pseudo_collate
    )
    with tqdm(total=len(done), initial=len(done) - len(pending), unit='image', desc='region features') as progress:
        for batch in loader:
            vectors = encoder(preprocessor.region_batch(batch['inputs']['region'])).float().cpu().numpy()
            samples = batch['data_sample']
            good = [i for i, sample in enumerate(samples) if sample.get('bad_image') is None]
            rows = [samples[i].index for i in good]
            # The mark comes after the row: what a killed run was writing is computed again.
            features[rows] = vectors[good]
            features.flush()
            done[rows] = [image_key(samples[i].image) for i in good]
            done.flush()
            progress.update(len(samples))


def _open_part(part: Path, about: dict) -> tuple[np.memmap, np.memmap]:
    path = part / ABOUT_FILE
    if path.is_file():
        begun = json.loads(path.read_text(encoding='utf-8'))
        if begun != about:
            differing = sorted(key for key in about if begun.get(key) != about[key])
            raise FileExistsError(
                f'{part} was begun with something else (differing: {", ".join(differing)}). Delete it to start anew.'
            )
        if (part / _DONE_FILE).is_file():
            return np.load(part / FEATURES_FILE, mmap_mode='r+'), np.load(part / _DONE_FILE, mmap_mode='r+')
    part.mkdir(parents=True, exist_ok=True)
    shape = (about['images'], about['channels'])
    features = np.lib.format.open_memmap(part / FEATURES_FILE, mode='w+', dtype=np.float32, shape=shape)
    done = np.lib.format.open_memmap(part / _DONE_FILE, mode='w+', dtype=np.uint64, shape=shape[:1])
    # Last, so that a folder with this file has whole arrays.
    write_json(path, about)
    return features, done
