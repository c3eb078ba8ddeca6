"""Measure what reading a picture costs on this computer: time, memory, and what faster ways change in its pixels.

Each file is read for a model of short side 288 in three ways, each in a process of its own: as Pillow alone would do it
(decode, convert, resize), as this package does it, and with decode='fast'. Memory is the highest resident memory above
that before the reading; differences, in grey levels, are from this package's exact pixels.

Examples:
  python tools/analysis/benchmark.py decoding
  python tools/analysis/benchmark.py decoding --images shots/ --repeats 5 --out decoding.json
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
from PIL import Image

from miqa.errors import MIQAError
from miqa.pictures.finding import find_images
from miqa.pictures.reading import picture_size, read_resized
from miqa.pictures.resizing import resized_size

from .timing import highest_memory, in_turns, made_photograph

SHORT_SIDE = 288
WAYS = ('pillow', 'exact', 'fast')
#: What is made where no pictures are given: format, options, width, height. 178 megapixels are the limit.
MADE = {
    'jpeg-12': ('JPEG', {'quality': 92}, 4000, 3000),
    'jpeg-50': ('JPEG', {'quality': 92}, 8160, 6120),
    'jpeg-100': ('JPEG', {'quality': 92}, 10_000, 10_000),
    'jpeg-178': ('JPEG', {'quality': 92}, 15_420, 11_600),
    'progressive-100': ('JPEG', {'quality': 92, 'progressive': True}, 10_000, 10_000),
    'png-12': ('PNG', {'compress_level': 1}, 4000, 3000),
    'png-100': ('PNG', {'compress_level': 1}, 10_000, 10_000),
    'webp-100': ('WEBP', {'quality': 80, 'method': 0}, 10_000, 10_000),
    'tiff-100': ('TIFF', {}, 10_000, 10_000),
}


def make_files(folder: Path, names: list[str]) -> list[Path]:
    """Write the files of :data:`MADE`; large ones repeat a small one."""
    small = made_photograph(0, 4000, 3000)
    paths = []
    for name in names:
        kind, options, width, height = MADE[name]
        tiles = -(-height // small.shape[0]), -(-width // small.shape[1]), 1
        paths.append(folder / f'{name}.{kind.lower()}')
        Image.fromarray(np.tile(small, tiles)[:height, :width]).save(paths[-1], kind, **options)
    return paths


def read(path: str, way: str) -> np.ndarray:
    """Read a file in one of the :data:`WAYS`: uint8 RGB."""
    if way == 'pillow':
        with Image.open(path, formats=('JPEG', 'PNG', 'WEBP', 'TIFF')) as picture:
            size = resized_size(*picture.size, SHORT_SIDE)
            return np.asarray(picture.convert('RGB').resize(size, Image.Resampling.BILINEAR))
    return read_resized(path, lambda width, height: resized_size(width, height, SHORT_SIDE), fast=way == 'fast')[0]


def measure_here(path: str, way: str, repeats: int) -> tuple[float, float, np.ndarray]:
    """Return, of this process, milliseconds of reading a file, MB that it takes, and the pixels."""
    before = highest_memory()
    taken = in_turns({way: lambda: read(path, way)}, repeats, quiet=True)[way]
    return 1000 * taken.seconds, highest_memory() - before, read(path, way)


def measure(path: Path, repeats: int) -> list[dict]:
    """Measure all ways of reading one file; a way that fails has a column ``error``."""
    width, height = picture_size(path)
    rows, exact = [], None
    for way in WAYS:
        row: dict = {'file': path.name, 'megapixels': width * height / 1e6, 'way': way}
        rows.append(row)
        try:
            with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:
                row['ms'], row['mb'], pixels = pool.submit(measure_here, str(path), way, repeats).result()
        except (MIQAError, OSError, MemoryError, BrokenProcessPool) as error:
            row['error'] = str(error) or type(error).__name__
            continue
        exact = pixels.astype(int) if way == 'exact' else exact
        if way == 'fast' and exact is not None:
            difference = np.abs(pixels - exact)
            row |= {'mean_difference': float(difference.mean()), 'largest': int(difference.max())}
    return rows


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this case."""
    parser.add_argument('--images', nargs='*', help='files or folders (default: made here)')
    parser.add_argument('--made', nargs='*', choices=MADE, default=list(MADE), help='which of those to make')


def run(args: argparse.Namespace) -> Iterator[tuple[str, list[dict]]]:
    """Measure every file."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(path) for path in find_images(args.images)] if args.images else []
        for path in paths or make_files(Path(folder), args.made):
            yield f'Reading {path.name} for a short side of {SHORT_SIDE}', measure(path, args.repeats)
