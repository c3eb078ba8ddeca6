#!/usr/bin/env python
"""Measure the loader: from image files and from packed pictures, beside a plain loader and beside decoding alone.

The plain loader decodes with Pillow and resizes with torchvision once for each view. Ours decodes with kornia-rs (else
OpenCV) where that gives the same pixels, resizes once with Pillow, and cuts both views out of the result; packed
pictures (tools/data/pack.py) are resized already. All load the same images in turn, in one thread; processor time
counts, because other programs disturb it less.

Then worker processes hand over batches: as MMEngine collates them (every picture and label by itself), with the
pictures of a batch stacked in the worker, and with the labels in one tensor too, as a training does; beside one process
without a loader, and beside the goal of 3,000 pictures a second for 8 cores. Last comes where a packed picture's time
goes.

Without --data-root, a small database is made of photographs that installed packages ship (pip install -e '.[demo]'),
500 x 375 pixels, distorted by the project's own code.

Examples:
  python tools/analysis/benchmark_loader.py
  python tools/analysis/benchmark_loader.py --data-root data/miqd --task det --split val --images 500 --workers 8
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from benchmark_index import memory_in_use
from mmengine.dataset import pseudo_collate
from PIL import Image
from torch.utils.data import DataLoader, RandomSampler, default_collate
from torchvision import transforms as plain_transforms
from tqdm import tqdm

from miqa.datasets import stack_samples
from miqa.datasets.miqd import MIQDDataset
from miqa.datasets.packing import Packing
from miqa.demo.package_photos import installed_photos
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
from miqa.running import generator_for
from miqa.running.command_line import ToolParser, run_command
from miqa.taxonomy import DISTORTIONS, TASKS, Version, version_name

_LOAD = [{'type': 'LoadImage'}, {'type': 'ResizeShortSide', 'size': 288}]
TRAIN = [*_LOAD, {'type': 'PackViews', 'image': 224, 'region': 288, 'random': True}]
TEST = [*_LOAD, {'type': 'PackViews', 'image': 224, 'region': 288}]

#: Header of the made-up database's label files.
HEADER = ','.join(
    (NAME_COLUMN['cls'], *(label_columns('cls', label).weighted for label in ('consistency', 'accuracy')))
)

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
    labels = label_folder(root, 'cls')
    labels.mkdir(parents=True)
    for photo in tqdm(photos, desc='Making pictures', unit='source'):
        picture = np.asarray(Image.fromarray(photo.read()).resize(SIZE, Image.Resampling.LANCZOS))
        rows = [HEADER]
        images = image_root(root, 'cls') / photo.source
        images.mkdir(parents=True)
        for name in DISTORTIONS:
            for level, candidate in enumerate(levels, start=1):
                file = version_name(Version(photo.source, name, level, level))
                rng = generator_for('benchmark', photo.source, name, level)
                Image.fromarray(distort(picture, name, candidates(name)[candidate], rng)).save(images / file)
                rows.append(f'{file},0.5,0.5')
        label_file = Path(label_paths(labels, 'cls', photo.source)['both'])
        label_file.write_text('\n'.join(rows) + '\n', encoding='utf-8')
    path = split_path(root, 'cls', 'train')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'{SPLIT_COLUMNS["cls"]},{CATEGORY_COLUMN}\n' + ''.join(f'{photo.source}.JPEG,any\n' for photo in photos),
        encoding='utf-8',
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
        with Image.open(path, formats=('JPEG', 'PNG')) as opened:
            picture = opened.convert('RGB')
        return [view(picture) for view in self.views]


def benchmark_loader(
    data_root: Path,
    task: str,
    split: str,
    packed_folder: Path,
    images: int,
    rounds: int,
    workers: int,
    batch_size: int = 64,
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
        sources = {'image files': dataset, **{f'packed ({name})': data for name, data in packed.items()}}
        figures.update(benchmark_workers(sources, workers, batch_size, max(images, 8 * batch_size)))
    for name, data in packed.items():
        _print_steps(name, data, positions)
    return figures


def _decode_with_pillow(path: str) -> np.ndarray:
    with Image.open(path, formats=('JPEG', 'PNG')) as opened:
        return np.asarray(opened.convert('RGB'))


def stack_pictures(items: list[dict]) -> dict:
    """Stack the views of a batch and leave its samples a list: half of what a training's loader does."""
    names = items[0]['inputs']
    inputs = {name: default_collate([item['inputs'][name] for item in items]) for name in names}
    return {'inputs': inputs, 'data_sample': [item['data_sample'] for item in items]}


#: Ways to hand a batch from a worker to the main process.
COLLATES: dict[str, Callable[[list], dict]] = {
    'each by itself (MMEngine)': pseudo_collate,
    'pictures stacked': stack_pictures,
    'pictures and labels stacked': stack_samples,
}

#: Pictures a second that the packed path is to feed for each core: 3,000 for 8.
GOAL_PER_CORE = 3000 / 8


class _AndMemory:
    """Adds to a batch how many MB of its own the worker's process uses."""

    def __init__(self, collate: Callable[[list], dict]):
        self.collate = collate

    def __call__(self, items: list[dict]) -> tuple[dict, float]:
        return self.collate(items), memory_in_use()[0]


def benchmark_workers(datasets: dict, workers: int, batch_size: int, images: int, rounds: int = 3) -> dict[str, float]:
    """Measure datasets through a DataLoader, print a table, and return pictures per second by name.

    All loaders are opened first and read in turn; their fastest round of ``images`` pictures counts. What arrives is
    stacked where the worker has not done so, as the data preprocessor would.
    """
    loaders, speeds, memory = {}, {}, {}
    for source, dataset in datasets.items():
        for name, collate in COLLATES.items():
            sampler = RandomSampler(dataset, replacement=True, num_samples=images)
            # Two batches ahead each, as in a training.
            options = {'num_workers': workers, 'persistent_workers': True, 'sampler': sampler}
            loaders[source, name] = DataLoader(dataset, batch_size, collate_fn=_AndMemory(collate), **options)
        loaders[source, 'no loader: this process'] = None
    for turn in range(rounds + 1):
        for (source, name), loader in tqdm(loaders.items(), desc='Workers', unit='way', leave=False):
            started = time.perf_counter()
            if loader is None:
                order = np.random.default_rng(turn).integers(0, len(datasets[source]), images)
                stack_samples([datasets[source][int(position)] for position in order])
            else:
                for batch, private in loader:
                    for view in batch['inputs'].values():
                        _ = view if isinstance(view, torch.Tensor) else torch.stack(view)
                    memory.setdefault((source, name), []).append(private)
            if turn:  # In the first round the workers start.
                speed = images / (time.perf_counter() - started)
                speeds[source, name] = max(speed, speeds.get((source, name), 0.0))
    cores = len(os.sched_getaffinity(0))
    print(f'\nDataLoader: {workers} workers on {cores} cores, batches of {batch_size}, the fastest of {rounds} rounds')
    print(f'{"":15}{"how a batch travels":30}{"images/s":>9}{"a core":>9}{"of goal":>9}{"a worker grows by":>19}')
    for (source, name), speed in speeds.items():
        busy = 1 if 'no loader' in name else min(workers, cores)
        grows = memory.get((source, name))
        grown = f'{max(grows) - min(grows):16.0f} MB' if grows else ''
        print(f'{source:15}{name:30}{speed:9.0f}{speed / busy:9.0f}{speed / busy / GOAL_PER_CORE:9.2f}{grown:>19}')
    print(f'The goal, 3,000 pictures a second for 8 cores, is {GOAL_PER_CORE:.0f} for each; the cores here also stack.')
    return {f'{workers} workers, {source}, {name}': speed for (source, name), speed in speeds.items()}


def _print_steps(encoding: str, dataset: MIQDDataset, positions: list[int]) -> None:
    """Print where a packed picture's processor time goes, in ms."""
    packed, pictures = dataset.packed, []

    def milliseconds(step: Callable) -> float:
        before = time.process_time()
        for number, position in enumerate(positions):
            step(number, position)
        return (time.process_time() - before) / len(positions) * 1e3

    took = {'mapping, checksum and decoding': milliseconds(lambda _, p: pictures.append(packed.read(dataset.row(p))))}
    views = [{'picture': picture, 'path': '', 'rng': np.random.default_rng(0)} for picture in pictures]
    took['both views'] = milliseconds(lambda number, _: dataset.pipeline[-1](views[number]))
    took['label and meta information'] = milliseconds(lambda _, p: dataset.describe(p))
    items = [dataset[position] for position in positions]
    took['stacking'] = milliseconds(lambda number, _: stack_samples(items) if number == 0 else None)
    print(f'Packed ({encoding}), ms a picture: ' + ', '.join(f'{name} {took[name]:.2f}' for name in took) + '.')


def main():
    """Parse the command line, run, and print a table."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('--data-root', type=Path, help='a database (default: one of package photographs)')
    parser.add_argument('--task', choices=TASKS, default='cls')
    parser.add_argument('--split', choices=('train', 'val'), default='train')
    parser.add_argument('--images', type=int, default=200, help='images to load in each round (default: 200)')
    parser.add_argument('--rounds', type=int, default=5, help='default: 5')
    parser.add_argument('--workers', type=int, default=2, help='also measure a DataLoader with so many; 0: no')
    parser.add_argument('--batch-size', '--batch_size', type=int, default=64, help='of the DataLoader (default: 64)')
    parser.add_argument('--scratch', type=Path, help='where to put temporary files, such as the packed split')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='miqa_benchmark_', dir=args.scratch) as folder:
        folder = Path(folder)
        root = args.data_root
        if root is None:
            root = folder / 'database'
            write_photo_database(root, sources=10)
        benchmark_loader(
            root, args.task, args.split, folder / 'packed', args.images, args.rounds, args.workers, args.batch_size
        )


if __name__ == '__main__':
    run_command(main)
