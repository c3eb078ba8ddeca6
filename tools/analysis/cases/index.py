"""Measure the index: cold build, warm open and memory, beside a plain per-row scan of the same database.

The database is made up: SOURCES label files with VERSIONS rows each, and an empty file for every image (the index only
asks whether an image is there). At the default size that is 4,000 label files and 1,000,000 images; making them takes
about a minute, and they are removed at the end unless --keep is given.

The plain scan is what a simple loader does: read each label file with pandas, go through its rows with iterrows, and
ask os.path.exists for each image. Each is timed in a process of its own, with the files in the page cache.

Examples:
  python tools/analysis/benchmark.py index
  python tools/analysis/benchmark.py index --sources 400 --task det      # a tenth, quickly
  python tools/analysis/benchmark.py index --root /scratch/fake --keep   # keep the files for the next run
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import multiprocessing
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sized
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from miqa.datasets.index_store import open_index
from miqa.datasets.miqd import MIQDDataset
from miqa.layout import (
    CATEGORY_COLUMN,
    FILED_LABELS,
    NAME_COLUMN,
    SPLIT_COLUMNS,
    coco_source,
    image_root,
    index_folder,
    label_columns,
    label_folder,
    label_paths,
    split_path,
)
from miqa.splits.reading import read_split
from miqa.taxonomy import DISTORTIONS, IMAGE_TASKS, LEVEL_PAIRS, Version, version_name

from .timing import in_turns, memory_in_use


def write_synthetic_database(root: Path, task: str, sources: int, versions: int) -> None:
    """Write label files with random labels, a split file, and an empty file for every image.

    Raises:
        FileExistsError: ``root`` already holds another database.
    """
    path, column = split_path(root, task, 'train'), SPLIT_COLUMNS[IMAGE_TASKS[task]]
    if IMAGE_TASKS[task] == 'cls':
        names = [f'ILSVRC2012_val_{number:08d}' for number in range(1, sources + 1)]
        text = f'{column},{CATEGORY_COLUMN},Quality Score\n' + ''.join(f'{name}.JPEG,hen,0.5\n' for name in names)
    else:
        names = [coco_source(number) for number in range(1, sources + 1)]
        text = f'{column}\n' + ''.join(f'{int(name)}\n' for name in names)
    if path.is_file():
        if path.read_text(encoding='utf-8') != text:
            raise FileExistsError(f'{root} holds another database already; choose another folder.')
        return
    rng = np.random.default_rng(0)
    tails = [Version('', distortion, *pair) for distortion in DISTORTIONS for pair in LEVEL_PAIRS][:versions]
    columns = {label: label_columns(task, label).weighted for label in reversed(FILED_LABELS)}
    folder = label_folder(root, task)
    folder.mkdir(parents=True)
    for name in tqdm(names, desc='Making the database', unit='source'):
        files = [version_name(version._replace(source=name)) for version in tails]
        table = pd.DataFrame(
            {NAME_COLUMN[task]: files, **{column: rng.random(versions) for column in columns.values()}}
        )
        for label, label_path in label_paths(folder, task, name).items():
            chosen = columns.values() if label == 'both' else [columns[label]]
            table[[NAME_COLUMN[task], *chosen]].to_csv(label_path, index=False, float_format='%.6f')
        images = image_root(root, task) / name
        images.mkdir(parents=True)
        for file in files:
            os.close(os.open(f'{images}/{file}', os.O_CREAT | os.O_WRONLY))
    # Last, as the sign that the database is whole.
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')


def plain_scan(root: Path, task: str) -> list[tuple[str, float]]:
    """Return (path, composite label) of all samples as a simple loader does, row by row, asking the disk for each."""
    samples = []
    columns = [label_columns(task, label).weighted for label in FILED_LABELS]
    for source in read_split(root, task, 'train'):
        first, *others = [pd.read_csv(path) for path in label_paths(label_folder(root, task), task, source).values()]
        for number, row in first.iterrows():
            path = os.path.join(image_root(root, task), source, row.iloc[0])  # noqa: PTH118
            if os.path.exists(path):  # noqa: PTH110
                values = [row[name] if name in row else others[0].at[number, name] for name in columns]
                samples.append((path, float(0.5 * values[0] + 0.5 * values[1])))
    return samples


def benchmark_index(root: Path, task: str, sources: int, versions: int, workers: int) -> dict[str, float]:
    """Make the database, measure, and return the figures (seconds, MB, samples)."""
    write_synthetic_database(root, task, sources, versions)
    rows = sources * versions
    # Both sides find the folders in the page cache: list them once.
    for source in tqdm(os.listdir(image_root(root, task)), desc='Warming the page cache', unit='folder'):  # noqa: PTH208
        for entry in os.scandir(f'{image_root(root, task)}/{source}'):
            entry.stat()
    spawn, figures = multiprocessing.get_context('spawn'), {'samples': rows}
    print(f'Scanning {rows:,} rows one by one with pandas and os.path.exists ...', file=sys.stderr)
    shutil.rmtree(index_folder(root), ignore_errors=True)
    for name, function in (('plain_scan', plain_scan), ('cold_build', _open_train), ('warm_open', _open_train)):
        with spawn.Pool(1) as pool:
            figures[f'{name}_s'], figures[f'{name}_cpu_s'], count = pool.apply(_timed, (function, root, task))
        if count != rows:
            raise RuntimeError(f'{name} found {count} of {rows} samples.')
    dataset = MIQDDataset(root, task)
    state = pickle.dumps(dataset)
    figures['pickled_kb'] = len(state) / 1e3
    figures['index_file_mb'] = dataset.index.path.stat().st_size / 1e6
    with spawn.Pool(workers) as pool:
        memory = pool.map(_worker_memory, [state] * workers, chunksize=1)
    figures['worker_private_mb'] = max(entry[0] for entry in memory)
    figures['worker_resident_mb'] = max(entry[1] for entry in memory)
    return figures


def _open_train(root: Path, task: str) -> Sized:
    return open_index(root, task, 'train')


def _timed(function: Callable[[Path, str], Sized], root: Path, task: str) -> tuple[float, float, int]:
    """Return elapsed and processor seconds of one run that is not warmed up, and how many samples it found."""
    logging.disable(logging.INFO)
    results: list[Sized] = []
    ways = {'once': lambda: results.append(function(root, task))}
    times = in_turns(ways, 1, warm_up=False, quiet=True)['once']
    return times.seconds, times.processor, len(results[0])


def _worker_memory(state: bytes) -> tuple[float, float]:
    """Return by how many MB private and resident memory grow when a worker receives and reads a dataset."""
    logging.disable(logging.INFO)
    before = memory_in_use()
    dataset = pickle.loads(state)  # noqa: S301  bytes that the parent process made
    for position in np.random.default_rng(0).permutation(len(dataset)):
        dataset.get_data_info(position)
    after = memory_in_use()
    return after[0] - before[0], after[1] - before[1]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this case."""
    parser.add_argument('--task', choices=('cls', 'det', 'ins'), default='cls')
    parser.add_argument('--sources', type=int, default=4000, help='label files per label kind (default: 4000)')
    parser.add_argument('--versions', type=int, default=250, help='rows per label file, at most 250 (default: 250)')
    parser.add_argument('--workers', type=int, default=2, help='worker processes whose memory is measured (default: 2)')
    parser.add_argument('--root', type=Path, help='where to make the database (default: a temporary folder)')
    parser.add_argument('--keep', action='store_true', help='do not remove the database (needs --root)')


def run(args: argparse.Namespace) -> Iterator[tuple[str, list[dict]]]:
    """Make a database and measure once: --repeats does not count here."""
    if args.keep and args.root is None:
        raise ValueError('--keep needs --root.')
    with contextlib.ExitStack() as stack:
        folder = args.root
        if not args.keep:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='miqa_benchmark_', dir=args.root)))
        figures = benchmark_index(folder, args.task, args.sources, args.versions, args.workers)
    rows = [
        {'way': way, 'seconds': figures[f'{name}_s'], 'processor_seconds': figures[f'{name}_cpu_s']}
        for name, way in (
            ('plain_scan', 'plain per-row scan'), ('cold_build', 'cold build'), ('warm_open', 'warm open')
        )
    ]  # fmt: skip
    yield f'{figures["samples"]:,} samples of {args.task} in {args.sources:,} sources', rows
    memory = ('index_file_mb', 'pickled_kb', 'worker_private_mb', 'worker_resident_mb')
    yield 'The index, the dataset as a worker gets it, and by what a worker grows', [{k: figures[k] for k in memory}]
