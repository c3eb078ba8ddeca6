"""Measure what the quality tables of a database cost: every version by itself through piq, and source by source.

Both ways measure the same versions of the same photographs (which installed packages ship: pip install -e '.[demo]'),
in turns, on one thread; processor time counts. The largest difference of the numbers from piq in double precision, on
crops, is shown for each measure, and how much piq's default, single precision, differs from that. pyiqa is a third way
where it is installed.

Examples:
  python tools/analysis/benchmark.py fidelity
  python tools/analysis/benchmark.py fidelity --side 768 --versions 4
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import cv2
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from miqa.distortions import candidates, distort
from miqa.distortions.fidelity import FidelitySource
from miqa.pictures.package_photos import installed_photos
from miqa.running import generator_for
from miqa.running.allocator import keep_some_freed_memory
from miqa.taxonomy import DISTORTIONS, MEASURES

from .timing import in_turns

#: Names of the measures in pyiqa, where they are the same measure.
PYIQA = {'PSNR': 'psnr', 'SSIM': 'ssimc', 'MS-SSIM': 'ms_ssim', 'VIF-p': 'vif', 'VSI': 'vsi'}


def make_pairs(photos: int, versions: int, side: int) -> list[tuple[np.ndarray, list[np.ndarray]]]:
    """Return photographs with a shorter side of ``side`` and versions of each, by all distortions in turn."""
    pairs = []
    for photo in tqdm(installed_photos()[:photos], desc='Making versions', unit='source'):
        picture = np.asarray(Image.fromarray(photo.read()).resize((side * 3 // 2, side), Image.Resampling.LANCZOS))
        names = [DISTORTIONS[number % len(DISTORTIONS)] for number in range(versions)]
        rng = [generator_for('benchmark', photo.source, number) for number in range(versions)]
        pairs.append((picture, [distort(picture, n, candidates(n)[6], r) for n, r in zip(names, rng, strict=True)]))
    return pairs


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


def benchmark_measures(pairs: Sequence, names: Sequence[str] = MEASURES, repeats: int = 3) -> dict[str, dict]:
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
        ways: dict[str, Callable[[], None]] = {'ours': partial(_ours, pairs, chosen)}
        if name != 'all':
            ways |= {peer: partial(_each, pairs, make(name)) for peer, make in peers.items()}
        times = in_turns(ways, repeats)
        result[name] = {way: 1000 * taken.processor / count for way, taken in times.items()}
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


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this case."""
    parser.add_argument('--photos', type=int, default=3, help='photographs (default: 3)')
    parser.add_argument('--versions', type=int, default=10, help='versions of each (default: 10)')
    parser.add_argument('--side', type=int, default=333, help='shorter side in pixels (default: 333)')


def run(args: argparse.Namespace) -> Iterator[tuple[str, list[dict]]]:
    """Measure all measures."""
    keep_some_freed_memory()  # as tools/data/make_distortions.py does
    if args.side < 200:
        raise ValueError(f'--side {args.side}: MS-SSIM needs pictures of some size; give at least 200.')
    figures = benchmark_measures(make_pairs(args.photos, args.versions, args.side), repeats=args.repeats)
    size = f'{args.side * 3 // 2} x {args.side}'
    rows = [{'measure': name, **row, 'times_piq': row['piq'] / row['ours']} for name, row in figures.items()]
    yield f'A version of {size} pixels, ms of one thread; {args.versions} versions of a source', rows
