"""Run a frozen encoder over a split once and store its vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm import tqdm

from miqa.datasets import stack_samples
from miqa.datasets.transforms import ResizeShortSide
from miqa.datasets.transforms.cached_features import (
    ABOUT_FILE,
    BLOCK,
    CHECKSUMS_FILE,
    FEATURES_FILE,
    KEYS_FILE,
    ROWS_FILE,
    FeatureCache,
    block_crc,
    image_key,
)
from miqa.keeping import only_writer
from miqa.keeping.files import crc_of_file
from miqa.keeping.sealed import read_sealed_json, write_sealed_json
from miqa.models.parts.data_preprocessor import ViewPreprocessor
from miqa.models.parts.frozen import FrozenEncoder
from miqa.models.parts.frozen_identity import frozen_identity, plain_view
from miqa.outside import check_regular

_DONE_FILE = 'done.npy'


def cache_features(
    encoder: FrozenEncoder,
    preprocessor: ViewPreprocessor,
    dataset: Dataset,
    folder: str | Path,
    batch_size: int = 64,
    num_workers: int = 0,
    device: str | torch.device = 'cpu',
    view: str = 'region',
    amp: bool = False,
) -> FeatureCache:
    """Compute the features of every picture of ``dataset`` into ``folder``, or resume an earlier run.

    Work happens in ``<folder>.part``, which becomes ``folder`` at the end. Features are computed in float32, or with
    ``amp`` in bfloat16, which halves the time where the processor has it; the model in use computes in float32, so that
    its features differ by rounding. Pictures that cannot be read are skipped if the dataset skips them
    (``bad_images='skip'``).

    Args:
        encoder: with its weights loaded.
        preprocessor: of the model; its view ``view`` is used.
        dataset: gives ``inputs[view]``, uint8 (3, size, size), without randomness, and a ``data_sample`` with
            ``index`` and ``image``.
        folder: where the cache shall be; must not exist.
        batch_size: pictures at a time.
        num_workers: processes that read pictures.
        device: where the encoder runs.
        view: the input of the encoder.
        amp: compute in bfloat16.

    Raises:
        FileExistsError: ``folder`` exists, or ``<folder>.part`` was begun with another encoder, view or dataset.
    """
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f'{folder} exists already. Delete it first, or choose another folder.')
    about = {
        f'{view}_identity': frozen_identity(encoder, preprocessor, view),
        'encoder': type(encoder).__name__,
        'encoder_sha256': encoder.digest(),
        'view': plain_view(preprocessor.views[view]),
        'precision': 'bfloat16' if amp else 'float32',
        'resize': next(
            (step.settings() for step in getattr(dataset, 'pipeline', ()) if isinstance(step, ResizeShortSide)), None
        ),
        'channels': encoder.out_channels,
        'images': len(dataset),  # type: ignore[arg-type]  # torch's Dataset promises no length; ours have one
        'dataset': {k: v for k, v in getattr(dataset, 'metainfo', {}).items() if k in ('task', 'split', 'samples')},
    }
    part = folder.with_name(f'{folder.name}.part')
    part.mkdir(parents=True, exist_ok=True)
    with only_writer(folder.parent, 'name another --out', folder.name):
        _work(part, about, encoder, preprocessor, dataset, view, batch_size, num_workers, device, amp)
        part.rename(folder)
        (folder / _DONE_FILE).unlink()
    return FeatureCache(folder)


def _work(part, about, encoder, preprocessor, dataset, view, batch_size, num_workers, device, amp) -> None:
    features, finished = _open_part(part, about)
    compute = _computer(encoder.to(device), preprocessor.to(device), view, device, amp)
    _fill(features, finished, compute, dataset, view, batch_size, num_workers)
    rows = np.flatnonzero(finished)
    keys = finished[rows]
    order = np.argsort(keys)
    if (np.diff(keys[order]) == 0).any():
        raise ValueError('Two pictures of this dataset have the same file name: they cannot share a cache.')
    np.save(part / KEYS_FILE, keys[order])
    np.save(part / ROWS_FILE, rows[order])
    blocks = [block_crc(features, block) for block in range(-(-len(features) // BLOCK))]
    np.save(part / CHECKSUMS_FILE, np.array(blocks, np.uint32))
    checked = {name: crc_of_file(part / name) for name in (KEYS_FILE, ROWS_FILE, CHECKSUMS_FILE)}
    write_sealed_json(part / ABOUT_FILE, {**about, 'crc32': checked})


def _computer(encoder, preprocessor, view: str, device, amp: bool):
    """Return a function from a list of uint8 pictures to vectors, float32 (B, C)."""

    @torch.inference_mode()
    def compute(pictures) -> np.ndarray:
        batch = preprocessor.view_batch(view, pictures)
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=amp):
            return encoder(batch).float().cpu().numpy()

    return compute


def _fill(features, finished, compute, dataset, view: str, batch_size: int, num_workers: int) -> None:
    pending = np.flatnonzero(finished == 0)
    loader = DataLoader(
        Subset(dataset, pending.tolist()), batch_size=batch_size, num_workers=num_workers, collate_fn=stack_samples
    )
    with tqdm(total=len(finished), initial=len(finished) - len(pending), unit='image', desc='features') as progress:
        for batch in loader:
            vectors = compute(batch['inputs'][view])
            samples = batch['data_sample']
            good = [i for i, sample in enumerate(samples) if sample.get('bad_image') is None]
            rows = [samples[i].index for i in good]
            # The mark comes after the row: what a killed run was writing is computed again.
            features[rows] = vectors[good]
            features.flush()
            finished[rows] = [image_key(samples[i].image) for i in good]
            finished.flush()
            progress.update(len(samples))


def _open_part(part: Path, about: dict) -> tuple[np.memmap, np.memmap]:
    path = part / ABOUT_FILE
    if path.is_file():
        begun = read_sealed_json(path, f'Delete {part} to start anew.')
        begun.pop('crc32', None)
        if begun != about:
            differing = sorted(key for key in about if begun.get(key) != about[key])
            raise FileExistsError(
                f'{part} was begun with other settings ({", ".join(differing)}): delete it to start again.'
            )
        if (part / _DONE_FILE).is_file():
            features, finished = (
                np.load(check_regular(part / name), mmap_mode='r+') for name in (FEATURES_FILE, _DONE_FILE)
            )
            return features, finished
    part.mkdir(parents=True, exist_ok=True)
    shape = (about['images'], about['channels'])
    features = np.lib.format.open_memmap(part / FEATURES_FILE, mode='w+', dtype=np.float32, shape=shape)
    finished = np.lib.format.open_memmap(part / _DONE_FILE, mode='w+', dtype=np.uint64, shape=shape[:1])
    # Last, so that a folder with this file has whole arrays.
    write_sealed_json(path, about)
    return features, finished
