"""Measure how fast a model scores image files on this machine.

One run compares, in turns: one image at a time with a resize for each view (as the released demo script does it);
one at a time with this package; folders in batches of 1, 8 and 32; PyTorch and ONNX Runtime; with latencies.
`benchmark.py inference` measures the networks alone.

Examples:
  python tools/analysis/benchmark.py files --model demo
  python tools/analysis/benchmark.py files --weights work_dirs/x/best.pth --images shots/ --out speed.json
  python tools/analysis/benchmark.py files --model ra-miqa --device cuda --precision bf16 --count 256
"""

from __future__ import annotations

import argparse
import copy
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from miqa.apis.command_options import add_model_options, load_model
from miqa.apis.model import MIQAModel
from miqa.apis.runtimes import OnnxRuntime, TorchRuntime
from miqa.datasets.transforms import PackViews, ResizeShortSide
from miqa.pictures import read_image
from miqa.pictures.finding import find_images
from miqa.running.allocator import keep_freed_memory

from .timing import Times, in_turns, made_files


class OneAtATime:
    """Scoring as the released demo script does it: decode, resize once for each view, one picture a batch.

    Args:
        model: runs PyTorch.
    """

    def __init__(self, model: MIQAModel):
        spec = model.spec
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
    model: MIQAModel, paths: Sequence[str], batch_sizes: Sequence[int] = (1, 8, 32), repeats: int = 3, onnx: bool = True
) -> list[dict]:
    """Score the same files in every way, in turns.

    Args:
        model: runs PyTorch.
        paths: image files.
        batch_sizes: to measure.
        repeats: rounds; of each way the median counts.
        onnx: also measure ONNX Runtime, with a file exported for it.

    Returns:
        One row a way: ``way``, ``images_per_second``, ``ratio`` to one at a time, and ``cpu_ms``, processor time of all
        threads per picture, which tells more than the clock where other programs run; for ways that take one picture
        at a time also the latency's ``p50, p90, p99`` in milliseconds.

    Raises:
        ValueError: the model is not PyTorch's, or there are no pictures.
    """
    if not isinstance(model.runtime, TorchRuntime):
        raise ValueError('Name a checkpoint; the benchmark exports it to ONNX itself.')
    if not paths:
        raise ValueError('A benchmark needs at least one picture.')
    baseline = 'one at a time, a resize for each view'
    with tempfile.TemporaryDirectory() as folder:
        runtimes: dict[str, TorchRuntime | OnnxRuntime] = {'PyTorch': model.runtime}
        if onnx:
            runtimes['ONNX Runtime'] = OnnxRuntime(model.export(Path(folder) / 'model.onnx'), model.device)
        latencies = {baseline: Times(), 'assess(path), one at a time': Times()}
        ways: dict[str, Callable[[], object]] = {
            name: partial(_singly, score, paths, latencies[name])
            for name, score in zip(latencies, (OneAtATime(model), model.assess), strict=True)
        }
        for name, runtime in runtimes.items():
            for size in batch_sizes:
                ways[f'assess_all, {name}, batch {size}'] = partial(_folder, model, runtime, paths, size)
        times = in_turns(ways, repeats)
    for latency in latencies.values():
        del latency.elapsed[: len(paths)]  # of the round that warms up
    rows = []
    for name, taken in times.items():
        row = {
            'way': name,
            'images_per_second': len(paths) / taken.seconds,
            'ratio': times[baseline].seconds / taken.seconds,
            'cpu_ms': 1000 * taken.processor / len(paths),
        }
        rows.append(row | (latencies[name].percentiles(50, 90, 99) if name in latencies else {}))
    return rows


def _singly(score: Callable, paths: Sequence[str], latencies: Times) -> None:
    for path in paths:
        begin = time.perf_counter()
        score(path)
        latencies.elapsed.append(time.perf_counter() - begin)


def _folder(model: MIQAModel, runtime, paths: Sequence[str], batch_size: int) -> None:
    twin = copy.copy(model)
    twin.runtime, twin.batch_size = runtime, batch_size
    for result in twin.assess_all(paths):
        if result.error is not None:
            raise result.error


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this case."""
    parser.add_argument(
        '--images', nargs='+', metavar='PATH', help='images or folders (default: made, 1280 x 960 JPEG)'
    )
    parser.add_argument('--count', type=int, default=64, help='how many images (default: 64)')
    parser.add_argument('--batch-sizes', type=int, nargs='+', default=[1, 8, 32], metavar='N', help='default: 1 8 32')
    parser.add_argument('--no-onnx', action='store_true', help='leave out ONNX Runtime')
    add_model_options(parser)


def run(args: argparse.Namespace) -> Iterator[tuple[str, list[dict]]]:
    """Measure every way."""
    keep_freed_memory()  # as `miqa image` does
    model = load_model(args)
    with tempfile.TemporaryDirectory() as folder:
        if args.images:
            paths = list(itertools.islice(itertools.cycle(list(find_images(args.images))), args.count))
        else:
            paths = made_files(Path(folder), args.count)
        rows = benchmark(model, paths, args.batch_sizes, args.repeats, not args.no_onnx)
    about = f'{model.identity}, {model.device}, {model.runtime.precision}, {torch.get_num_threads()} threads'
    yield f'Files to scores: {len(paths)} images, {about}', rows
