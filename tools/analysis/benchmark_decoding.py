#!/usr/bin/env python
"""Measure what reading a picture costs on this machine: time, memory, and what faster ways change in its pixels.

Each file is read for a model of short side 288 in three ways, each in a process of its own: as Pillow alone would do it
(decode, convert, resize), as this package does it, and with decode='fast'. Memory is the highest resident
memory above that before the reading.

Examples:
  python tools/analysis/benchmark_decoding.py
  python tools/analysis/benchmark_decoding.py --images shots/ --repeat 5 --out decoding.json
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from miqa.keeping import write_json
from miqa.pictures.finding import find_images
from miqa.pictures.reading import picture_size, read_resized
from miqa.pictures.resizing import resized_size
from miqa.running import generator_for
from miqa.running.command_line import ToolParser, run_command

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


def photograph(seed: int, width: int = 4000, height: int = 3000) -> np.ndarray:
    """Make a picture with structure at all scales and grain, so that decoding costs what it does for photographs."""
    rng = generator_for('decoding benchmark', seed)
    picture = np.full((height, width, 3), 128, np.float32)
    for octave in range(3, 12):
        cells = rng.standard_normal((2**octave * 3 // 4, 2**octave, 3), np.float32) * (50 * 0.7 ** (octave - 3))
        picture += cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    picture += rng.standard_normal(picture.shape, np.float32) * 3
    return np.clip(picture, 0, 255).astype(np.uint8)


def make_files(folder: Path, names: list[str]) -> list[Path]:
    """Write the files of :data:`MADE`; large ones repeat a small one."""
    small = photograph(0)
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


def highest_memory() -> int:
    """Return the highest resident memory of this process so far, in kB.

    Linux's ``ru_maxrss`` begins with that of the process that started this one; ``VmHWM`` does not.
    """
    status = Path('/proc/self/status')
    if status.is_file():
        return int(status.read_text(encoding='ascii').partition('VmHWM:')[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure_here(path: str, way: str, repeat: int, pixels: str) -> None:
    """Measure in this process, and print JSON: best of ``repeat`` in milliseconds, and memory in MB."""
    before = highest_memory()
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        picture = read(path, way)
        seconds.append(time.perf_counter() - start)
    highest = highest_memory()
    np.save(pixels, picture)
    print(json.dumps({'milliseconds': round(1000 * min(seconds), 1), 'megabytes': (highest - before) // 1024}))


def measure(path: Path, repeat: int, folder: Path) -> dict:
    """Measure all ways of reading one file."""
    row: dict = {'file': path.name, 'megapixels': round(np.prod(picture_size(path)) / 1e6, 1)}
    pixels = {}
    for way in WAYS:
        saved = folder / f'{way}.npy'
        command = [sys.executable, __file__, '--measure', str(path), way, str(repeat), str(saved)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            row[way] = {'error': done.stderr.strip().splitlines()[-1]}
            continue
        row[way] = json.loads(done.stdout)
        pixels[way] = np.load(saved).astype(int)
        if 'exact' in pixels:
            difference = np.abs(pixels[way] - pixels['exact'])
            row[way] |= {'mean_difference': round(float(difference.mean()), 3), 'largest': int(difference.max())}
    return row


def main() -> None:
    """Parse the command line and measure."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('--images', nargs='*', help='files or folders (default: made here)')
    parser.add_argument('--made', nargs='*', choices=MADE, default=list(MADE), help='which of those to make')
    parser.add_argument('--repeat', type=int, default=3, help='readings of which the fastest counts (default: 3)')
    parser.add_argument('--out', help='also write the numbers into this JSON file')
    parser.add_argument('--measure', nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        path, way, repeat, pixels = args.measure
        measure_here(path, way, int(repeat), pixels)
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(path) for path in find_images(args.images)] if args.images else []
        rows = [measure(path, args.repeat, Path(folder)) for path in paths or make_files(Path(folder), args.made)]
    table = Table('file', 'megapixels', *(f'{way}: ms, MB' for way in WAYS), 'fast - exact: mean, largest')
    for row in rows:
        cells = [str(row[way].get('error') or f'{row[way]["milliseconds"]:g}, {row[way]["megabytes"]}') for way in WAYS]
        fast = row['fast']
        table.add_row(
            row['file'], str(row['megapixels']), *cells, f'{fast.get("mean_difference")}, {fast.get("largest")}'
        )
    Console().print(table)
    if args.out:
        write_json(args.out, rows)


if __name__ == '__main__':
    run_command(main)
