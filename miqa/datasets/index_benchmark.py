"""How long the index takes and how much memory, beside a plain scan; behind tools/analysis/benchmark_index.py."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import shutil
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from miqa.taxonomy import DISTORTIONS, IMAGE_TASKS, LEVEL_PAIRS, Version, version_name

from .index import image_root, label_folder
from .index_store import open_index
from .label_files import label_paths
from .miqd import MIQDDataset
from .splits import read_split, split_path


def write_synthetic_database(root: Path, task: str, sources: int, versions: int) -> None:
    """Write label files with random labels, a split file, and an empty file for every image.

    Raises:
        FileExistsError: ``root`` already holds another database.
    """
    path = split_path(root, task, 'train')
    names = [f'{number:012d}' for number in range(1, sources + 1)]
    if IMAGE_TASKS[task] == 'cls':
        names = [f'ILSVRC2012_val_{number:08d}' for number in range(1, sources + 1)]
        text = 'Image Name,Category,Quality Score\n' + ''.join(f'{name}.JPEG,hen,0.5\n' for name in names)
    else:
        text = 'Image Index\n' + ''.join(f'{int(name)}\n' for name in names)
    if path.is_file():
        if path.read_text(encoding='utf-8') != text:
            raise FileExistsError(f'{root} holds another database already; choose another folder.')
        return
    rng = np.random.default_rng(0)
    tails = [Version('', distortion, *pair) for distortion in DISTORTIONS for pair in LEVEL_PAIRS][:versions]
    folder = label_folder(root, task)
    folder.mkdir(parents=True)
    for name in tqdm(names, desc='Making the database', unit='source'):
        files = [version_name(version._replace(source=name)) for version in tails]
        values = rng.random((2, versions))
        if task == 'cls':
            rows = [f'{file},{a:.6f},{b:.6f}\n' for file, a, b in zip(files, *values, strict=True)]
            text_of = {'both': 'dist_images,weighted_consistency,weighted_accuracy\n' + ''.join(rows)}
        else:
            columns = dict(zip(('accuracy', 'consistency'), values, strict=True))
            text_of = {
                label: 'filename,AP_weighted_avg\n'
                + ''.join(f'{file},{value:.6f}\n' for file, value in zip(files, column, strict=True))
                for label, column in columns.items()
            }
        for label, label_path in label_paths(folder, task, name).items():
            Path(label_path).write_text(text_of[label], encoding='utf-8')
        images = image_root(root, task) / name
        images.mkdir(parents=True)
        for file in files:
            os.close(os.open(f'{images}/{file}', os.O_CREAT | os.O_WRONLY))
    # Last, as the sign that the database is whole.
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')


def plain_scan(root: Path, task: str) -> list[tuple[str, float]]:
    """Return (path, composite label) of all samples as a simple loader does, row by row, asking the disk for each."""
    import pandas as pd

    samples = []
    images, labels = image_root(root, task), label_folder(root, task)
    for source in read_split(root, task, 'train'):
        tables = [pd.read_csv(path) for path in label_paths(labels, task, source).values()]
        for number, row in tables[0].iterrows():
            path = os.path.join(images, source, row.iloc[0])  # noqa: PTH118
            if not os.path.exists(path):  # noqa: PTH110
                continue
            if task == 'cls':
                label = 0.5 * row['weighted_consistency'] + 0.5 * row['weighted_accuracy']
            else:
                label = 0.5 * row['AP_weighted_avg'] + 0.5 * tables[1].at[number, 'AP_weighted_avg']
            samples.append((path, float(label)))
    return samples


def benchmark_index(root: Path, task: str, sources: int, versions: int, workers: int) -> dict[str, float]:
    """Make the database, measure, print a table, and return its figures (seconds, MB, samples)."""
    write_synthetic_database(root, task, sources, versions)
    rows = sources * versions
    # Both sides find the folders in the page cache: list them once.
    for source in tqdm(os.listdir(image_root(root, task)), desc='Warming the page cache', unit='folder'):  # noqa: PTH208
        for entry in os.scandir(f'{image_root(root, task)}/{source}'):
            entry.stat()
    spawn = multiprocessing.get_context('spawn')
    figures = {'samples': rows}
    print(f'Scanning {rows:,} rows one by one with pandas and os.path.exists ...', flush=True)
    figures['plain_scan_s'], figures['plain_scan_cpu_s'], found = _in_a_process(spawn, _time_plain, root, task)
    shutil.rmtree(root / '.miqa_index', ignore_errors=True)
    figures['cold_build_s'], figures['cold_build_cpu_s'], indexed = _in_a_process(spawn, _time_open, root, task)
    figures['warm_open_s'], figures['warm_open_cpu_s'], _ = _in_a_process(spawn, _time_open, root, task)
    if not rows == found == indexed:
        raise RuntimeError(f'Of {rows} samples the scan found {found} and the index {indexed}.')
    dataset = MIQDDataset(root, task)
    state = pickle.dumps(dataset)
    figures['pickled_kb'] = len(state) / 1e3
    figures['index_file_mb'] = dataset.index.path.stat().st_size / 1e6
    with spawn.Pool(workers) as pool:
        memory = pool.map(_worker_memory, [state] * workers, chunksize=1)
    figures['worker_private_mb'] = max(entry[0] for entry in memory)
    figures['worker_resident_mb'] = max(entry[1] for entry in memory)
    figures['cold_ratio'] = figures['plain_scan_s'] / figures['cold_build_s']
    figures['cold_cpu_ratio'] = figures['plain_scan_cpu_s'] / figures['cold_build_cpu_s']
    print(f'\n{rows:,} samples of {task} in {sources:,} sources{"":9}elapsed   processor time')
    for name, title in (('plain_scan', 'plain per-row scan'), ('cold_build', 'cold build'), ('warm_open', 'warm open')):
        print(f'  {title:45}{figures[f"{name}_s"]:9.2f} s {figures[f"{name}_cpu_s"]:9.2f} s')
    print(
        f'  {"cold build: times faster than the scan":45}{figures["cold_ratio"]:9.1f}   '
        f'{figures["cold_cpu_ratio"]:9.1f}\n'
        f'Index file {figures["index_file_mb"]:.1f} MB; dataset sent to a worker {figures["pickled_kb"]:.1f} kB; '
        "a spawned worker that reads every sample's entry grows by\n"
        f'{figures["worker_private_mb"]:.1f} MB of its own, {figures["worker_resident_mb"]:.1f} MB with shared pages.'
    )
    return figures


def _in_a_process(context, function, *arguments):
    with context.Pool(1) as pool:
        return pool.apply(function, arguments)


def _quiet():
    logging.disable(logging.INFO)


def _time_plain(root: Path, task: str) -> tuple[float, float, int]:
    import pandas  # noqa: F401  imported before the clock starts

    return _timed(lambda: len(plain_scan(root, task)))


def _time_open(root: Path, task: str) -> tuple[float, float, int]:
    _quiet()
    return _timed(lambda: len(open_index(root, task, 'train')))


def _timed(function) -> tuple[float, float, int]:
    """Return elapsed seconds, processor seconds (which other programs disturb less), and the result."""
    elapsed, processor = time.perf_counter(), time.process_time()
    result = function()
    return time.perf_counter() - elapsed, time.process_time() - processor, result


def _worker_memory(state: bytes) -> tuple[float, float]:
    """Return by how many MB private and resident memory grow when a worker receives and reads a dataset."""
    _quiet()
    before = memory_in_use()
    dataset = pickle.loads(state)
    for position in np.random.default_rng(0).permutation(len(dataset)):
        dataset.get_data_info(position)
    after = memory_in_use()
    return after[0] - before[0], after[1] - before[1]


def memory_in_use() -> tuple[float, float]:
    """Return this process's private and resident memory in MB, from Linux's /proc."""
    fields = {}
    for line in Path('/proc/self/smaps_rollup').read_text(encoding='ascii').splitlines()[1:]:
        name, value = line.split()[:2]
        fields[name.rstrip(':')] = int(value) / 1024
    return fields['Private_Clean'] + fields['Private_Dirty'], fields['Rss']
