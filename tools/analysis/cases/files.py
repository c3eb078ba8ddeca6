"""Measure how fast a model scores image files on this computer: single files, folders in batches, and plain Pillow.

Plain Pillow opens, converts and resizes. Checkpoints are also exported and run by ONNX Runtime. `--pyiqa` adds pyiqa's
MUSIQ, where it is installed (its licence forbids commercial use). Ratios are of processor time, to plain Pillow's.
The case `inference` measures the networks alone.

Examples:
  python tools/analysis/benchmark.py files --size 500 400 --count 200 --batch-sizes 8
  python tools/analysis/benchmark.py files --model demo
  python tools/analysis/benchmark.py files --weights work_dirs/x/best.pth --images shots/ --out speed.json
  python tools/analysis/benchmark.py files --model ra-miqa --device cuda --precision bf16 --count 256
  python tools/analysis/benchmark.py files --size 500 400 --batch-sizes 8 --pyiqa
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from miqa.apis.command_options import add_model_options, load_model
from miqa.apis.model import MIQAModel
from miqa.apis.runtimes import OnnxRuntime, Runtime
from miqa.pictures.finding import find_images
from miqa.pictures.resizing import INTERPOLATIONS, central_corner, resized_size
from miqa.running.cores import usable_cores

from .timing import Times, in_turns, made_files


class Plain:
    """Scoring as one would write it with Pillow alone: open, convert, resize, cut the centre, one picture a batch."""

    def __init__(self, model: MIQAModel):
        self.spec, self.runtime = model.spec, model.runtime

    def __call__(self, path: str) -> float:
        """Score one file."""
        with Image.open(path, formats=('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF')) as file:
            picture = file.convert('RGB')
        side, short = self.spec.view_size, self.spec.short_side
        size = (side, side) if self.spec.fit == 'stretch' else resized_size(*picture.size, short)
        picture = picture.resize(size, INTERPOLATIONS[self.spec.interpolation])
        top, left = central_corner(size[1], size[0], side)
        pixels = np.asarray(picture.crop((left, top, left + side, top + side))).transpose(2, 0, 1)
        return float(self.runtime(np.ascontiguousarray(pixels)[None])[0])


def musiq() -> dict[str, Callable[[str], object]]:
    """Return pyiqa's MUSIQ by its name in the table, with random weights, which take the time of trained ones.

    Nothing where pyiqa is not installed, and a sentence on standard error.
    """
    if importlib.util.find_spec('pyiqa') is None:
        print('pyiqa is not installed (pip install pyiqa): its row is skipped.', file=sys.stderr)
        return {}
    import pyiqa

    metric = pyiqa.create_metric('musiq', pretrained=False, device=torch.device('cpu'))
    return {"pyiqa's MUSIQ, random weights, one at a time": metric}


def measure(
    model: MIQAModel,
    paths: Sequence[str],
    batch_sizes: Sequence[int],
    repeats: int,
    onnx: bool = True,
    peers: Mapping[str, Callable[[str], object]] | None = None,
) -> list[dict]:
    """Time every way of scoring these files, in turns.

    With ``onnx``, a checkpoint is also exported; ``peers`` are what else scores a file, by name.

    Returns:
        One row a way: ``cpu_ms`` is processor time per picture, ``ratio`` that of Pillow's plain way over this;
        ``p50_ms, p90_ms, p99_ms`` are latencies of ways that take one picture at a time.
    """
    if not paths:
        raise ValueError('A benchmark needs at least one picture.')
    single: dict[str, Callable] = {"Pillow's plain way, one at a time": Plain(model)}
    single['assess(path), one at a time'] = model.assess
    single |= peers or {}
    latencies: dict[str, list[float]] = {name: [] for name in single}
    ways: dict[str, Callable] = {
        name: partial(_score_singly, score, paths, latencies[name]) for name, score in single.items()
    }
    runtimes: dict[str, Runtime] = {model.runtime.name: model.runtime}
    with tempfile.TemporaryDirectory() as folder:
        if onnx and model.runtime.module is not None:
            runtimes['ONNX Runtime'] = OnnxRuntime(model.export(Path(folder) / 'model.onnx'), model.device)
        for (name, runtime), size in itertools.product(runtimes.items(), batch_sizes):
            ways[f'assess_all, {name}, batch {size}'] = partial(_score_folder, model, runtime, paths, size)
        times = in_turns(ways, repeats)
    rows = []
    for name, taken in times.items():
        row = {'way': name, 'images_per_second': len(paths) / taken.seconds}
        row['cpu_ms'] = 1000 * taken.processor / len(paths)
        row['ratio'] = next(iter(times.values())).processor / taken.processor
        if name in latencies:
            row |= Times(latencies[name][len(paths) :]).percentiles(50, 90, 99)  # the first round warms up
        rows.append(row)
    return rows


def _score_singly(score: Callable, paths: Sequence[str], latencies: list[float]) -> None:
    for path in paths:
        begin = time.perf_counter()
        score(path)
        latencies.append(time.perf_counter() - begin)


def _score_folder(model: MIQAModel, runtime: Runtime, paths: Sequence[str], batch_size: int) -> None:
    twin = copy.copy(model)
    twin.runtime, twin.batch_size = runtime, batch_size
    for result in twin.assess_all(paths):
        if result.error is not None:
            raise result.error


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this case."""
    parser.add_argument('--images', nargs='+', metavar='PATH', help='images or folders (default: made, JPEG)')
    parser.add_argument(
        '--size', nargs=2, type=int, default=(1280, 960), metavar=('WIDTH', 'HEIGHT'),
        help='of made images (default: 1280 960)',
    )  # fmt: skip
    parser.add_argument('--count', type=int, default=64, help='how many images (default: 64)')
    parser.add_argument('--batch-sizes', type=int, nargs='+', default=[1, 8, 32], metavar='N', help='default: 1 8 32')
    parser.add_argument('--pyiqa', action='store_true', help="also score by pyiqa's MUSIQ (about a second a picture)")
    parser.add_argument('--no-onnx', action='store_true', help='leave out ONNX Runtime')
    add_model_options(parser)


def run(args: argparse.Namespace) -> Iterator[tuple[str, list[dict]]]:
    """Measure one model."""
    model = load_model(args)
    with tempfile.TemporaryDirectory() as folder:
        if args.images:
            paths = list(itertools.islice(itertools.cycle(find_images(args.images)), args.count))
        else:
            paths = made_files(Path(folder), args.count, *args.size)
        rows = measure(model, paths, args.batch_sizes, args.repeats, not args.no_onnx, musiq() if args.pyiqa else None)
    about = f'{model.identity}, {model.device}, {model.runtime.precision}, {usable_cores()} threads'
    yield f'Files to scores: {len(paths)} images, {about}', rows
