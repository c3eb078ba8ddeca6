#!/usr/bin/env python
"""Measure how fast a model scores image files on this machine.

One run compares, in turns: Pillow's plain way (open, convert, resize, one image at a time); for checkpoints one at a
time with a resize for each view (as the released demo script does it); one at a time with this package; folders in
batches of 1, 8 and 32; the model's runtime and ONNX Runtime; with latencies. Ratios are of processor time, which other
programs change least. benchmark_inference.py measures the networks alone.

Examples:
  python tools/analysis/benchmark_files.py --size 500 400 --count 200 --batch-sizes 8
  python tools/analysis/benchmark_files.py --model demo
  python tools/analysis/benchmark_files.py --weights work_dirs/x/best.pth --images shots/ --out speed.json
  python tools/analysis/benchmark_files.py --model ra-miqa --device cuda --precision bf16 --count 256
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from miqa.apis.command_options import add_model_options, load_model
from miqa.apis.model import MIQAModel
from miqa.apis.runtimes import OnnxRuntime, Runtime, TorchRuntime
from miqa.datasets.transforms import PackViews, ResizeShortSide
from miqa.keeping import write_json
from miqa.pictures import read_image
from miqa.pictures.finding import find_images
from miqa.pictures.resizing import INTERPOLATIONS, central_corner, resized_size
from miqa.running import generator_for
from miqa.running.allocator import keep_freed_memory
from miqa.running.command_line import ToolParser, run_command
from miqa.running.cores import usable_cores

#: Size of the pictures that are made where none are given: those of a small camera.
WIDTH, HEIGHT = 1280, 960


def make_pictures(folder: Path, count: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> list[str]:
    """Write JPEG files of a size (width, height) with structure at all scales: decoding costs what photographs do."""
    paths = []
    width, height = size
    for index in range(count):
        rng = generator_for('benchmark picture', index)
        picture = np.zeros((height, width, 3))
        for octave in range(3, 11):
            cells = rng.normal(0, 0.7 ** (octave - 3), (2**octave * 3 // 4, 2**octave, 3)).astype(np.float32)
            layers = [
                np.asarray(Image.fromarray(layer).resize((width, height), Image.Resampling.BICUBIC))
                for layer in np.moveaxis(cells, 2, 0)
            ]
            picture += np.stack(layers, axis=2)
        picture = np.clip(128 + 50 * picture, 0, 255).astype(np.uint8)
        paths.append(str(folder / f'{index:04d}.jpg'))
        Image.fromarray(picture).save(paths[-1], quality=92)
    return paths


#: What the plain way opens, by Pillow's names.
_PLAIN_FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF')


class Plain:
    """Scoring as one would write it with Pillow alone: open, convert, resize, cut the centre, one picture a batch."""

    def __init__(self, model: MIQAModel):
        self.spec, self.runtime = model.spec, model.runtime

    def __call__(self, path: str) -> float:
        """Score one file."""
        with Image.open(path, formats=_PLAIN_FORMATS) as file:
            picture = file.convert('RGB')
        side, short = self.spec.view_size, self.spec.short_side
        size = (side, side) if self.spec.fit == 'stretch' else resized_size(*picture.size, short)
        picture = picture.resize(size, INTERPOLATIONS[self.spec.interpolation])
        top, left = central_corner(size[1], size[0], side)
        pixels = np.asarray(picture.crop((left, top, left + side, top + side))).transpose(2, 0, 1)
        return float(self.runtime(np.ascontiguousarray(pixels)[None])[0])


class OneAtATime:
    """Scoring as the released demo script does it: decode, resize once for each view, one picture a batch.

    Args:
        model: runs PyTorch.
        region_encoder: another type of region encoder for the same tensors; ``MMSegRegionEncoder`` is the one of
            the released code.
    """

    def __init__(self, model: MIQAModel, region_encoder: str | None = None):
        spec = model.spec
        network = copy.deepcopy(spec.network)
        if region_encoder is not None:
            network['region_encoder']['type'] = region_encoder
        spec = type(spec)(**{**{name: getattr(spec, name) for name in spec.__dataclass_fields__}, 'network': network})
        state = {f'network.{key}': value for key, value in model.runtime.module.network.state_dict().items()}
        self.model = spec.build(state, model.source).to(model.device)
        self._pipelines = {
            name: (ResizeShortSide(spec.short_side), PackViews(**{'image': None, 'region': None, name: view['size']}))
            for name, view in spec.views.items()
        }

    @torch.inference_mode()
    def __call__(self, path: str) -> float:
        """Score one file."""
        rgb, inputs = read_image(path), {}
        for name, (resize, pack) in self._pipelines.items():
            inputs[name] = pack(resize({'picture': rgb, 'path': path}))['inputs'][name][None]
        data = self.model.data_preprocessor({'inputs': inputs})
        return float(self.model(data['inputs'])[0])


def benchmark(
    model: MIQAModel,
    paths: Sequence[str],
    batch_sizes: Sequence[int] = (1, 8, 32),
    repeats: int = 3,
    onnx: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> dict:
    """Measure everything in one run, the ways taken in turns so that other load on the machine hits all alike.

    Args:
        model: a checkpoint's, or an exported file's.
        paths: image files.
        batch_sizes: to measure.
        repeats: rounds; of each way the median counts.
        onnx: of a checkpoint, also measure ONNX Runtime, with a file exported for it.
        progress: called with what is about to be measured.

    Returns:
        ``files``: one row a way of scoring files: ``way``, ``images_per_second``, ``cpu_ms``, processor time
        of all threads per picture, which tells more than the clock where other programs run, and ``ratio``: that of
        Pillow's plain way over this; for ways that take one picture at a time also the latency's ``p50, p90, p99`` in
        milliseconds.

    Raises:
        ValueError: there are no pictures.
    """
    if not paths:
        raise ValueError('A benchmark needs at least one picture.')
    with tempfile.TemporaryDirectory() as folder:
        runtimes: dict[str, Runtime] = {model.runtime.name: model.runtime}
        if onnx and model.runtime.module is not None:
            progress('export to ONNX')
            runtimes['ONNX Runtime'] = OnnxRuntime(model.export(Path(folder) / 'model.onnx'), model.device)
        files = _files(model, paths, batch_sizes, repeats, runtimes, progress)
    return {
        'model': model.identity,
        'device': str(model.device),
        'precision': model.runtime.precision,
        'threads': usable_cores(),
        'images': len(paths),
        'files': files,
    }


def _files(model, paths, batch_sizes, repeats, runtimes, progress) -> list[dict]:
    baseline = "Pillow's plain way, one at a time"
    ways: dict[str, Callable[[], list[float]]] = {baseline: _singly(Plain(model), paths)}
    if isinstance(model.runtime, TorchRuntime):
        ways['one at a time, a resize for each view'] = _singly(OneAtATime(model), paths)
    encoder = model.spec.network.get('region_encoder', {}).get('type')
    if encoder == 'TimmRegionEncoder' and isinstance(model.runtime, TorchRuntime):
        released = OneAtATime(model, 'MMSegRegionEncoder')
        ways["the same with the released code's region encoder"] = _singly(released, paths)
    ways['assess(path), one at a time'] = _singly(model.assess, paths)
    for name, runtime in runtimes.items():
        for size in batch_sizes:
            ways[f'assess_all, {name}, batch {size}'] = _folder(model, runtime, paths, size)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    latencies: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            progress(f'files, round {turn} of {repeats}: {name}')
            begin, used = time.perf_counter(), time.process_time()
            found = way()
            if turn:  # the first round warms up
                seconds[name].append(time.perf_counter() - begin)
                processor[name].append(time.process_time() - used)
                latencies[name] += found
    slow = statistics.median(processor[baseline])
    rows = []
    for name in ways:
        median = statistics.median(seconds[name])
        rows.append(
            {
                'way': name,
                'images_per_second': len(paths) / median,
                'cpu_ms': 1000 * statistics.median(processor[name]) / len(paths),
                'ratio': slow / statistics.median(processor[name]),
                **_percentiles(latencies[name]),
            }
        )
    return rows


def _singly(score: Callable, paths: Sequence[str]) -> Callable[[], list[float]]:
    def run() -> list[float]:
        taken = []
        for path in paths:
            begin = time.perf_counter()
            score(path)
            taken.append(time.perf_counter() - begin)
        return taken

    return run


def _folder(model: MIQAModel, runtime, paths: Sequence[str], batch_size: int) -> Callable[[], list[float]]:
    twin = copy.copy(model)
    twin.runtime, twin.batch_size = runtime, batch_size

    def run() -> list[float]:
        for found in twin.assess_all(paths):
            if found.error is not None:
                raise found.error
        return []

    return run


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    return {f'p{share}_ms': float(1000 * np.percentile(seconds, share)) for share in (50, 90, 99)}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('--images', nargs='+', metavar='PATH', help='images or folders (default: made, JPEG)')
    parser.add_argument(
        '--size', nargs=2, type=int, default=(WIDTH, HEIGHT), metavar=('WIDTH', 'HEIGHT'),
        help=f'of made images (default: {WIDTH} {HEIGHT})',
    )  # fmt: skip
    parser.add_argument('--count', type=int, default=64, help='how many images (default: 64)')
    parser.add_argument('--batch-sizes', type=int, nargs='+', default=[1, 8, 32], metavar='N', help='default: 1 8 32')
    parser.add_argument('--repeats', type=int, default=3, help='rounds, of which the median counts (default: 3)')
    parser.add_argument('--no-onnx', action='store_true', help='leave out ONNX Runtime')
    parser.add_argument('--out', metavar='FILE', help='also write the figures as JSON')
    add_model_options(parser)
    return parser.parse_args()


def show(title: str, rows: list[dict]) -> None:
    """Print rows as a table."""
    table = Table(title=title, title_justify='left')
    names = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    for name in names:
        table.add_column(name.replace('_', ' '), justify='left' if name in ('way', 'runtime') else 'right')
    for row in rows:
        cells = (row.get(name, '') for name in names)
        table.add_row(*(f'{cell:.2f}' if isinstance(cell, float) else str(cell) for cell in cells))
    Console(width=None if Console().is_terminal else 130).print(table)


def main() -> None:
    """Measure and print."""
    keep_freed_memory()  # as `miqa image` does
    args = parse_arguments()
    model = load_model(args)
    with tempfile.TemporaryDirectory() as folder:
        if args.images:
            paths = list(itertools.islice(itertools.cycle(list(find_images(args.images))), args.count))
        else:
            print(f'Making {args.count} pictures ...', file=sys.stderr)
            paths = make_pictures(Path(folder), args.count, tuple(args.size))

        def progress(step: str) -> None:
            print(f'Measuring: {step}', file=sys.stderr)

        found = benchmark(model, paths, args.batch_sizes, args.repeats, not args.no_onnx, progress)
    about = f'{found["model"]}, {found["device"]}, {found["precision"]}, {found["threads"]} threads'
    show(f'Files to scores: {found["images"]} images, {about}', found['files'])
    if args.out:
        write_json(args.out, found)
        print(f'Saved {args.out}.')


if __name__ == '__main__':
    run_command(main)
