"""Measure the loader: from image files and from packed pictures, beside a plain loader and beside decoding alone.

The plain loader decodes with Pillow and resizes with torchvision once for each view. Ours decodes with kornia-rs (else
OpenCV) where that gives the same pixels, resizes once with Pillow, and cuts both views out of the result; packed
pictures (tools/data/pack.py) are resized already. All load the same images in turn, in one thread; processor time
counts, because other programs disturb it less.

Then worker processes hand over batches, as MMEngine collates them (every picture and label by itself) and stacked in
the worker, as a training does; beside one process without a loader, and the goal: 3,000 pictures a second for 8 cores.

Without --data-root, a small database is made of photographs that installed packages ship (pip install -e '.[demo]'),
500 x 375 pixels, distorted by the project's own code.

Examples:
  python tools/analysis/benchmark.py loader
  python tools/analysis/benchmark.py loader --data-root data/miqd --task det --split val --images 500 --workers 8
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from PIL import Image
from torch.utils.data import DataLoader, RandomSampler
from torchvision import transforms as plain_transforms
from tqdm import tqdm

from miqa.datasets import stack_samples
from miqa.datasets.miqd import MIQDDataset
from miqa.datasets.packing import Packing
from miqa.distortions import candidates, distort
from miqa.layout import (
    CATEGORY_COLUMN,
    NAME_COLUMN,
    SPLIT_COLUMNS,
    image_root,
    label_columns,
    label_folder,
    label_paths,
    split_path,
)
from miqa.pictures import read_image
from miqa.pictures.package_photos import installed_photos
from miqa.running import generator_for
from miqa.taxonomy import DISTORTIONS, TASKS, Version, version_name

from .timing import in_turns

_LOAD = [{'type': 'LoadImage'}, {'type': 'ResizeShortSide', 'size': 288}]
TRAIN = [*_LOAD, {'type': 'PackViews', 'image': 224, 'region': 288, 'random': True}]
TEST = [*_LOAD, {'type': 'PackViews', 'image': 224, 'region': 288}]

SIZE = (500, 375)  # Size of the made-up database's pictures: the median of ImageNet's


def write_photo_database(root: Path, sources: int, levels: tuple[int, ...] = (3, 8)) -> None:
    """Write photographs that Python packages ship, distorted, as a database for ``cls`` with labels drawn at random.

    Args:
        root: the data root.
        sources: number of photographs.
        levels: which of the 12 candidates of each distortion, from 0.
    """
    photos = installed_photos()[:sources]
    columns = (label_columns('cls', label).weighted for label in ('consistency', 'accuracy'))
    header = ','.join((NAME_COLUMN['cls'], *columns))
    labels = label_folder(root, 'cls')
    labels.mkdir(parents=True)
    for photo in tqdm(photos, desc='Making pictures', unit='source'):
        picture = np.asarray(Image.fromarray(photo.read()).resize(SIZE, Image.Resampling.LANCZOS))
        rows = [header]
        images = image_root(root, 'cls') / photo.source
        images.mkdir(parents=True)
        for name in DISTORTIONS:
            for level, candidate in enumerate(levels, start=1):
                file = version_name(Version(photo.source, name, level, level))
                rng = generator_for('benchmark', photo.source, name, level)
                Image.fromarray(distort(picture, name, candidates(name)[candidate], rng)).save(images / file)
                rows.append(f'{file},{rng.random():.3f},{rng.random():.3f}')
        label_file = Path(label_paths(labels, 'cls', photo.source)['both'])
        label_file.write_text('\n'.join(rows) + '\n', encoding='utf-8')
    path = split_path(root, 'cls', 'train')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'{SPLIT_COLUMNS["cls"]},{CATEGORY_COLUMN}\n' + ''.join(f'{photo.source}.JPEG,any\n' for photo in photos),
        encoding='utf-8',
    )


class PlainLoader:
    """What a simple loader does: decode with Pillow, then resize once for each view with torchvision."""

    def __init__(self):
        crops = plain_transforms.RandomCrop(224), plain_transforms.CenterCrop(288)
        steps = [(plain_transforms.Resize(288), crop, plain_transforms.ToTensor()) for crop in crops]
        self.views = [plain_transforms.Compose(each) for each in steps]

    def __call__(self, path: str) -> list[torch.Tensor]:
        """Return both views."""
        picture = Image.fromarray(_decode_with_pillow(path))
        return [view(picture) for view in self.views]


def benchmark_loader(
    data_root: Path, task: str, split: str, packed_folder: Path, images: int, repeats: int
) -> tuple[dict[str, dict], dict[str, MIQDDataset]]:
    """Load the same images in every way, in turns, in this process with one thread.

    Returns:
        By way: ``ms`` of processor time a picture and ``pictures_per_second``, the multiples ``times_plain`` of the
        plain loader's speed and ``times_decoding`` of decoding alone; and, of packed pictures, ``kb`` each. And the
        datasets: image files, packed with either encoding.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    dataset = MIQDDataset(data_root, task, split=split, pipeline=TRAIN)
    positions = np.linspace(0, len(dataset) - 1, min(images, len(dataset))).astype(int).tolist()
    paths = [dataset.get_data_info(position)['path'] for position in positions]
    loads: dict[str, tuple[Callable, list]] = {
        'decode only, Pillow': (_decode_with_pillow, paths),
        'decode only, ours': (read_image, paths),
        'plain: two resizes, float tensors': (PlainLoader(), paths),
        'ours from image files, both views': (dataset.__getitem__, positions),
    }
    datasets = {'image files': dataset}
    for encoding in ('zstd', 'none'):
        folder = packed_folder / encoding
        Packing(dataset.index, dataset.image_root, folder, encoding=encoding).run(workers=1)
        packed = MIQDDataset(data_root, task, split=split, pipeline=TRAIN, packed=folder)
        datasets[f'packed ({encoding})'] = packed
        loads[f'ours, packed ({encoding}), both views'] = packed.__getitem__, positions

    def load_all(load: Callable, items: list) -> None:
        for item in items:
            load(item)

    times = in_turns({name: partial(load_all, *each) for name, each in loads.items()}, repeats)
    plain = times['plain: two resizes, float tensors'].processor
    limit = times['decode only, ours'].processor
    figures = {
        name: {'ms': 1000 * taken.processor / len(positions), 'pictures_per_second': len(positions) / taken.processor}
        | {'times_plain': plain / taken.processor, 'times_decoding': limit / taken.processor}
        for name, taken in times.items()
    }
    for encoding in ('zstd', 'none'):
        size = sum(path.stat().st_size for path in (packed_folder / encoding).glob('*.arrow'))
        figures[f'ours, packed ({encoding}), both views']['kb'] = size / len(dataset) / 1e3
    return figures, datasets


def _decode_with_pillow(path: str) -> np.ndarray:
    with Image.open(path, formats=('JPEG', 'PNG')) as opened:
        return np.asarray(opened.convert('RGB'))


#: Ways to hand a batch from a worker to the main process.
COLLATES: dict[str, Callable[[list], dict]] = {
    'each by itself (MMEngine)': pseudo_collate,
    'pictures and labels stacked, as a training does': stack_samples,
}

GOAL_PER_CORE = 3000 / 8  # Pictures a second that the packed path is to feed for each core: 3,000 for 8


def benchmark_workers(datasets: dict, workers: int, batch_size: int, images: int, repeats: int) -> list[dict]:
    """Read datasets through a DataLoader; return a row for each and each way to hand over a batch.

    All loaders are opened first and read in turns. What arrives is stacked where the worker has not done so, as the
    data preprocessor would.
    """
    ways: dict[tuple[str, str], Callable[[], object]] = {}

    def read(loader: DataLoader) -> None:
        for batch in loader:
            for view in batch['inputs'].values():
                _ = view if isinstance(view, torch.Tensor) else torch.stack(view)

    def read_here(dataset: MIQDDataset) -> None:
        order = np.random.default_rng(0).integers(0, len(dataset), images)
        stack_samples([dataset[int(position)] for position in order])

    for source, dataset in datasets.items():
        for name, collate in COLLATES.items():
            sampler = RandomSampler(dataset, replacement=True, num_samples=images)
            # Two batches ahead each, as in a training.
            options = {'num_workers': workers, 'persistent_workers': True, 'sampler': sampler}
            loader = DataLoader(dataset, batch_size, collate_fn=collate, **options)
            ways[source, name] = partial(read, loader)
        ways[source, 'no loader: this process'] = partial(read_here, dataset)
    busy = min(workers, len(os.sched_getaffinity(0)))
    rows = []
    for (source, name), taken in in_turns(ways, repeats).items():
        speed, cores = images / taken.seconds, 1 if 'no loader' in name else busy
        goal = speed / cores / GOAL_PER_CORE
        rows.append({'pictures': source, 'batch': name, 'pictures_per_second': speed, 'of_goal': goal})
    return rows


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this case."""
    parser.add_argument('--data-root', type=Path, help='a database (default: one of package photographs)')
    parser.add_argument('--task', choices=TASKS, default='cls')
    parser.add_argument('--split', choices=('train', 'val'), default='train')
    parser.add_argument('--images', type=int, default=200, help='images to load in each round (default: 200)')
    parser.add_argument('--workers', type=int, default=2, help='also measure a DataLoader with so many; 0: no')
    parser.add_argument('--batch-size', '--batch_size', type=int, default=64, help='of the DataLoader (default: 64)')
    parser.add_argument('--scratch', type=Path, help='where to put temporary files, such as the packed split')


def run(args: argparse.Namespace) -> Iterator[tuple[str, list[dict]]]:
    """Measure loading in one process, then with workers."""
    with tempfile.TemporaryDirectory(prefix='miqa_benchmark_', dir=args.scratch) as folder:
        root = args.data_root
        if root is None:
            root = Path(folder, 'database')
            write_photo_database(root, sources=10)
        figures, datasets = benchmark_loader(
            root, args.task, args.split, Path(folder, 'packed'), args.images, args.repeats
        )
        yield 'One thread, processor time', [{'way': name, **row} for name, row in figures.items()]
        if args.workers:
            images = max(args.images, 8 * args.batch_size)
            rows = benchmark_workers(datasets, args.workers, args.batch_size, images, args.repeats)
            yield f'DataLoader: {args.workers} workers, batches of {args.batch_size}', rows
