"""How many images a second the loader gives, beside a plain one; behind tools/analysis/benchmark_loader.py."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms as plain_transforms
from tqdm import tqdm

from miqa.distortions import candidates, distort
from miqa.taxonomy import DISTORTIONS, TASK_FOLDERS, Version, version_name
from miqa.utils import generator_for, read_image

from .index_benchmark import memory_in_use
from .miqd import MIQDDataset
from .package_photos import installed_photos
from .packing import Packing
from .splits import split_path

_LOAD = [{'type': 'LoadImage'}, {'type': 'ResizeShortSide', 'size': 288}]
TRAIN = [*_LOAD, {'type': 'PackViews', 'image': 224, 'region': 288, 'random': True}]
TEST = [*_LOAD, {'type': 'PackViews', 'image': 224, 'region': 288}]

#: Size of the made-up database's pictures: the median of ImageNet's.
SIZE = (500, 375)


def write_photo_database(root: Path, sources: int, levels: tuple[int, ...] = (3, 8)) -> None:
    """Write photographs that Python packages ship, distorted, as a database for ``cls`` with made-up labels.

    Args:
        root: the data root.
        sources: number of photographs.
        levels: which of the 12 candidates of each distortion, from 0.
    """
    photos = installed_photos()[:sources]
    folder = root / TASK_FOLDERS['cls']
    (folder / 'labels').mkdir(parents=True)
    for photo in tqdm(photos, desc='Making pictures', unit='source'):
        picture = np.asarray(Image.fromarray(photo.read()).resize(SIZE, Image.Resampling.LANCZOS))
        rows = ['dist_images,weighted_consistency,weighted_accuracy']
        images = folder / 'images' / photo.source
        images.mkdir(parents=True)
        for name in DISTORTIONS:
            for level, candidate in enumerate(levels, start=1):
                file = version_name(Version(photo.source, name, level, level))
                rng = generator_for('benchmark', photo.source, name, level)
                Image.fromarray(distort(picture, name, candidates(name)[candidate], rng)).save(images / file)
                rows.append(f'{file},0.5,0.5')
        (folder / 'labels' / f'{photo.source}_mmos.csv').write_text('\n'.join(rows) + '\n', encoding='utf-8')
    path = split_path(root, 'cls', 'train')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        'Image Name,Category\n' + ''.join(f'{photo.source}.JPEG,any\n' for photo in photos), encoding='utf-8'
    )


class PlainLoader:
    """What a simple loader does: decode with Pillow, then resize once for each view with torchvision.

    Args:
        normalise: with torchvision's Normalize at the end.
    """

    def __init__(self, normalise: bool = True):
        end = [plain_transforms.ToTensor()]
        if normalise:
            end.append(plain_transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        crops = plain_transforms.RandomCrop(224), plain_transforms.CenterCrop(288)
        self.views = [plain_transforms.Compose([plain_transforms.Resize(288), crop, *end]) for crop in crops]

    def __call__(self, path: str) -> list[torch.Tensor]:
        """Return both views."""
        with Image.open(path) as opened:
            picture = opened.convert('RGB')
        return [view(picture) for view in self.views]


def benchmark_loader(
    data_root: Path, task: str, split: str, packed_folder: Path, images: int, rounds: int, workers: int
) -> dict[str, float]:
    """Measure, print a table, and return milliseconds of processor time per image by name.

    Every way loads the same images in turn, ``rounds`` times, in this process with one thread; the median counts.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    started = time.perf_counter()
    dataset = MIQDDataset(data_root, task, split=split, pipeline=TRAIN)
    start_up = time.perf_counter() - started
    positions = np.linspace(0, len(dataset) - 1, min(images, len(dataset))).astype(int).tolist()
    paths = [dataset.get_data_info(position)['path'] for position in positions]
    ways: dict[str, tuple[Callable, list]] = {
        'decode only, Pillow': (_decode_with_pillow, paths),
        'decode only, ours': (read_image, paths),
        'plain: two resizes, float tensors, normalised': (PlainLoader(), paths),
        'plain: two resizes, float tensors': (PlainLoader(normalise=False), paths),
        'ours from image files, both views': (dataset.__getitem__, positions),
    }
    packed = {}
    for encoding in ('zstd', 'none'):
        folder = packed_folder / encoding
        packing = Packing(dataset.index, dataset.image_root, folder, encoding=encoding)
        packing.run(workers=1)
        packed[encoding] = MIQDDataset(data_root, task, split=split, pipeline=TRAIN, packed=folder)
        ways[f'ours, packed ({encoding}), both views'] = packed[encoding].__getitem__, positions
    took = {name: [] for name in ways}
    for _ in tqdm(range(rounds), desc='Measuring', unit='round'):
        for name, (load, items) in ways.items():
            before = time.process_time()
            for item in items:
                load(item)
            took[name].append((time.process_time() - before) / len(items) * 1e3)
    figures = {name: statistics.median(times) for name, times in took.items()}
    plain, limit = figures['plain: two resizes, float tensors'], figures['decode only, ours']
    print(f'\n{len(positions)} images of {task} {split}, one thread, median of {rounds} rounds of processor time')
    print(f'{"":50}{"ms/image":>9}{"images/s":>10}{"x plain":>9}{"x decode":>10}')
    for name, milliseconds in figures.items():
        speeds = (
            f'{milliseconds:9.2f}{1000 / milliseconds:10.0f}{plain / milliseconds:9.2f}{limit / milliseconds:10.2f}'
        )
        print(f'{name:50}{speeds}')
    for encoding in packed:
        size = sum(path.stat().st_size for path in (packed_folder / encoding).glob('*.arrow'))
        print(f'Packed ({encoding}): {size / len(dataset) / 1e3:.0f} kB a picture.')
    print(f'Start-up (index built or opened, dataset made): {start_up:.2f} s.')
    if workers:
        for name, data in (('image files', dataset), ('packed (zstd)', packed['zstd'])):
            speed, memory = _through_workers(data, workers)
            print(
                f'DataLoader with {workers} workers, {name}: {speed:.0f} images/s; a worker grows by {memory:.0f} MB.'
            )
    return figures


def _decode_with_pillow(path: str) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened.convert('RGB'))


class _WithMemory(torch.utils.data.Dataset):
    """Adds to each item how many MB of its own its process uses."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, position):
        return self.dataset[position]['inputs'], memory_in_use()[0]


def _through_workers(dataset: MIQDDataset, workers: int) -> tuple[float, float]:
    """Return images per second and the growth of a worker's private memory, in MB, over one pass."""
    loader = DataLoader(_WithMemory(dataset), batch_size=16, num_workers=workers, collate_fn=list, shuffle=True)
    started, memory = time.perf_counter(), []
    for batch in loader:
        memory += [private for _, private in batch]
    return len(dataset) / (time.perf_counter() - started), max(memory) - min(memory)
