#!/usr/bin/env python
"""Measure the speed of the distortions, beside the package imagecorruptions where it has the same ones.

Three tables: megapixels per second of every distortion over its candidates, and of each family; time per picture at the
five severities of ImageNet-C, here and in imagecorruptions, in turns in one run; throughput with 1, 2, ... worker
processes. The first two count processor time, the last the clock.
"""

import argparse
import importlib.util
import os
import time
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from statistics import fmean, geometric_mean

import cv2
import joblib
import numpy as np

from miqa.distortions import ALL_DISTORTIONS, DISTORTIONS, candidates, distort
from miqa.pictures import read_image
from miqa.running import generator_for, require
from miqa.running.command_line import ToolParser, run_command
from miqa.taxonomy import DISTORTION_FAMILIES

EXAMPLES = """
examples
  python tools/analysis/benchmark_distortions.py
  python tools/analysis/benchmark_distortions.py --image photo.jpg --repeats 9 --workers 1 2 4 8

The comparison needs imagecorruptions-imaug, best in an environment of its own:
  python -m venv --system-site-packages compare && . compare/bin/activate
  pip install --no-deps imagecorruptions-imaug && pip install numba scikit-image
Without it the comparison is left out, and the tool says so.
"""

# Parameters of ImageNet-C's severities 1 to 5 (Hendrycks & Dietterich 2019), as imagecorruptions has them.
SEVERITIES = {
    'contrast': (('factor',), [0.4, 0.3, 0.2, 0.1, 0.05]),
    'pixelate': (('scale',), [0.6, 0.5, 0.4, 0.3, 0.25]),
    'jpeg_compression': (('quality',), [25, 18, 15, 10, 7]),
    'motion_blur': (('radius', 'sigma'), [(10, 3), (15, 5), (15, 8), (15, 12), (20, 15)]),
    'defocus_blur': (('radius', 'alias_sigma'), [(3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)]),
    'glass_blur': (
        ('sigma', 'max_delta', 'iterations'),
        [(0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)],
    ),
    'fog': (('amount', 'decay'), [(1.5, 2), (2.0, 2), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)]),
    'snow': (
        ('mean', 'std', 'zoom', 'threshold', 'radius', 'sigma', 'mix'),
        [
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ],
    ),
    'gaussian_noise': (('std',), [0.08, 0.12, 0.18, 0.26, 0.38]),
    'gaussian_blur': (('sigma',), [1, 2, 3, 4, 6]),
    'frost': (
        ('image_weight', 'frost_weight', 'kind'),
        [(1, 0.4, 1), (0.8, 0.6, 2), (0.7, 0.7, 3), (0.65, 0.7, 4), (0.6, 0.75, 5)],
    ),
    'brightness': (('shift',), [0.1, 0.2, 0.3, 0.4, 0.5]),
    'saturate': (('factor', 'shift'), [(0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)]),
    'impulse_noise': (('amount',), [0.03, 0.06, 0.09, 0.17, 0.27]),
}


_RNG = generator_for('benchmark')


def severity_params(name: str) -> list[dict]:
    """Five parameter sets by name."""
    keys, rows = SEVERITIES[name]
    return [dict(zip(keys, row if isinstance(row, tuple) else (row,), strict=True)) for row in rows]


def run(image: np.ndarray, name: str, params: dict) -> np.ndarray:
    """One distortion; the generator is made once, as imagecorruptions' global one is."""
    return distort(image, name, params, _RNG)


def seconds(function, repeats: int) -> float:
    """Least processor time of several runs, after one that is not counted; other programs hardly disturb it."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def print_speed(images: list[np.ndarray], repeats: int) -> None:
    """Megapixels per second of every distortion over its candidates, and of each family at equal shares."""
    print('Megapixels per second of processor time, one thread, mean over its candidates')
    print(f'{"":18}' + ''.join(f'{image.shape[1]:>7} x {image.shape[0]:<5}' for image in images))
    speeds = {}
    for name in ALL_DISTORTIONS:
        cells = []
        for image in images:
            total = sum(seconds(partial(run, image, name, params), repeats) for params in candidates(name))
            cells.append(len(candidates(name)) * image.shape[0] * image.shape[1] / 1e6 / total)
        speeds[name] = np.array(cells)
        print(f'{name:18}' + ''.join(f'{cell:15.1f}' for cell in cells), flush=True)
    for family, names in DISTORTION_FAMILIES.items():
        cells = 1 / np.mean([1 / speeds[name] for name in names], axis=0)
        print(f'all of {family:11}' + ''.join(f'{cell:15.1f}' for cell in cells), flush=True)


def print_comparison(images: list[np.ndarray], repeats: int) -> None:
    """Time per picture here and in imagecorruptions, taken in turns, mean over five severities."""
    if importlib.util.find_spec('imagecorruptions') is None:
        print('\nimagecorruptions is not installed, so nothing is compared with it. To compare:')
        print('  pip install --no-deps imagecorruptions-imaug && pip install numba scikit-image')
        return
    corrupt = require('imagecorruptions', 'The comparison').corrupt
    try:
        found = f'imagecorruptions-imaug {version("imagecorruptions-imaug")}'
    except PackageNotFoundError:
        found = f'imagecorruptions {version("imagecorruptions")}'
    for image in images:
        size = f'{image.shape[1]} x {image.shape[0]}'
        print(f'\nMilliseconds of processor time per {size} picture, mean over severities 1 to 5')
        print(f'{"":18}{"here":>10}{found:>34}{"times as fast":>16}')
        ratios = []
        for name in SEVERITIES:
            here = there = 0.0
            for severity, params in enumerate(severity_params(name), 1):
                here += seconds(partial(run, image, name, params), repeats) / 5
                there += seconds(partial(corrupt, image, severity, name), repeats) / 5
            ratios.append(there / here)
            print(f'{name:18}{here * 1e3:10.2f}{there * 1e3:34.2f}{there / here:16.2f}', flush=True)
        print(
            f'mean {fmean(ratios):.2f}, geometric mean {geometric_mean(ratios):.2f}, '
            f'slowest {min(ratios):.2f} times as fast'
        )


def work(image: np.ndarray, number: int) -> int:
    """All candidates of the ten distortions of one picture, on one thread; the number of pixels made."""
    cv2.setNumThreads(1)
    for name in DISTORTIONS:
        for params in candidates(name):
            distort(image, name, params, generator_for(number, name))
    return 12 * len(DISTORTIONS) * image.shape[0] * image.shape[1]


def print_scaling(image: np.ndarray, workers: list[int], pictures: int) -> None:
    """Throughput of whole pictures with several worker processes."""
    print(f'\nThroughput over all candidates of the ten distortions, {os.cpu_count()} cores, loky processes')
    first = None
    for count in workers:
        with joblib.Parallel(n_jobs=count) as pool:
            small = image[:64, :64].copy()
            pool(joblib.delayed(work)(small, number) for number in range(2 * count))
            start = time.perf_counter()
            pixels = sum(pool(joblib.delayed(work)(image, number) for number in range(pictures)))
            speed = pixels / 1e6 / (time.perf_counter() - start)
        first = first or speed
        print(f'{count} workers: {speed:8.1f} MP/s, {speed / first:.2f} times the first', flush=True)


def main() -> int:
    """Run the tool."""
    parser = ToolParser(description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--image', help="photograph to distort (default: scikit-image's astronaut)")
    parser.add_argument('--sizes', nargs='+', default=['500x375', '2048x1365'], help='default: 500x375 2048x1365')
    parser.add_argument('--repeats', type=int, default=5, help='runs of which the shortest counts (default: 5)')
    parser.add_argument('--workers', nargs='+', type=int, default=[1, 2], help='default: 1 2')
    parser.add_argument('--pictures', type=int, default=12, help='for the scaling (default: 12)')
    parser.add_argument('--only', nargs='+', choices=('speed', 'comparison', 'scaling'), help='default: all three')
    args = parser.parse_args()
    try:
        sizes = [tuple(map(int, size.split('x'))) for size in args.sizes]
        photograph = (
            read_image(args.image) if args.image else require('skimage.data', 'The default photograph').astronaut()
        )
    except (ValueError, FileNotFoundError, ImportError) as error:
        parser.error(str(error))
    cv2.setNumThreads(1)
    images = [cv2.resize(photograph, size, interpolation=cv2.INTER_AREA) for size in sizes]
    wanted = args.only or ('speed', 'comparison', 'scaling')
    if 'speed' in wanted:
        print_speed(images, args.repeats)
    if 'comparison' in wanted:
        print_comparison(images, args.repeats)
    if 'scaling' in wanted:
        print_scaling(images[0], args.workers, args.pictures)
    return 0


if __name__ == '__main__':
    run_command(main)
