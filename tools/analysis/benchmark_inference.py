#!/usr/bin/env python
"""Measure how fast networks score on this machine: PyTorch, ONNX Runtime and OpenVINO, each in its number formats.

Without a model the published RA-MIQA is measured at full size (random tensors of the released shapes), the
quickstart's CNN and a student for cameras (packaged ImageNet weights, random heads); heads are scaled so that scores
spread as labels do (deviation 0.25), which makes differences of scores comparable. And miqa-lite as it ships. One run
takes all runtimes in turns, so that other load hits all alike; ratios are of processor time, which other load changes
least. Scores are compared on photographs that installed packages ship, damaged in several ways.
Decoding is left out: benchmark_files.py measures files.

Examples:
  python tools/analysis/benchmark_inference.py
  python tools/analysis/benchmark_inference.py --networks RA-MIQA miqa-lite --only fp32 bf16 auto
  python tools/analysis/benchmark_inference.py --model demo --images shots/ --out speed.json
  python tools/analysis/benchmark_inference.py --nncf-python ~/nncf/bin/python    # NNCF in its own environment
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import nn

from miqa.apis.command_options import add_model_options, load_model
from miqa.apis.methods import LITE, METHODS, SHORT_SIDE
from miqa.apis.model import MIQAModel
from miqa.apis.opening import open_exported
from miqa.apis.runtimes import Device, Runtime
from miqa.apis.runtimes.exported import INPUT
from miqa.apis.runtimes.openvino_runtime import PRECISIONS, openvino_core
from miqa.apis.runtimes.pixels import PixelsToScore
from miqa.apis.runtimes.precision import order_kept
from miqa.apis.runtimes.probes import pixels_to_try, probe_pixels
from miqa.apis.spec import ModelSpec
from miqa.engine import load_config
from miqa.errors import MissingPackage
from miqa.keeping import write_json
from miqa.models import QualityAssessor
from miqa.outside.configs import config_folder
from miqa.pictures.finding import find_images
from miqa.running.allocator import keep_freed_memory
from miqa.running.command_line import ToolParser, run_command
from miqa.running.processor import processor

#: Spread of scores over the pictures that are tried: about that of the paper's labels (0.27 to 0.36).
SPREAD = 0.25


def networks_to_measure(words: Sequence[str] | None = None) -> Iterator[tuple[str, MIQAModel]]:
    """Yield title and model of what is measured where none is named: those whose title has one of ``words``."""
    for title, make in NETWORKS.items():
        if not words or any(word in title for word in words):
            torch.manual_seed(0)
            yield title, make()


def _published() -> MIQAModel:
    method = METHODS['ra_miqa']
    spec = ModelSpec('ra_miqa', 'cls', 'composite', method.network, method.views, SHORT_SIDE)
    return _with_spread(spec, _build(spec, pretrained=False))


def _small(path: str) -> MIQAModel:
    config = load_config(config_folder() / path)
    config.model.network.pretrained = True
    spec = ModelSpec.from_config(config.to_dict(), f'configs/{path}')
    return _with_spread(spec, _build(spec, pretrained=True))


#: Title -> what makes the model.
NETWORKS: dict[str, Callable[[], MIQAModel]] = {
    'RA-MIQA, full size': _published,
    'CNN of the quickstart': lambda: _small('mini/cnn_cls.py'),
    'student for cameras': lambda: _small('distill/lite0.py'),
    'miqa-lite': lambda: MIQAModel('miqa-lite', device='cpu'),
}


def _build(spec: ModelSpec, pretrained: bool) -> QualityAssessor:
    model = QualityAssessor(dict(spec.network), {'type': 'ViewPreprocessor', 'views': dict(spec.views)})
    if pretrained:
        model.init_weights()
    return model.eval()


def _with_spread(spec: ModelSpec, assessor: QualityAssessor) -> MIQAModel:
    """Scale the last layer so that scores of the probe pictures have mean 0.5 and deviation :data:`SPREAD`."""
    head = [layer for layer in assessor.modules() if isinstance(layer, nn.Linear) and layer.out_features == 1][-1]
    with torch.no_grad():
        head.weight.normal_()
        head.bias.zero_()
    source = f'random {spec.method}'
    options = dict(precision='fp32', device='cpu')
    _standardise(assessor, probe_pixels(spec.view_size))
    scores = MIQAModel.from_parts(spec, assessor.state_dict(), source, **options).score_pixels(
        probe_pixels(spec.view_size)
    )
    with torch.no_grad():
        scale = SPREAD / float(scores.std())
        head.weight.mul_(scale)
        head.bias.fill_(0.5 - scale * float(scores.mean()))
    return MIQAModel.from_parts(spec, assessor.state_dict(), source, **options)


def _standardise(assessor: QualityAssessor, pixels: np.ndarray) -> None:
    """Give the statistics of a head's BatchNorm the values that training gives them: those of the pictures."""
    norms = [layer for layer in assessor.modules() if isinstance(layer, nn.BatchNorm1d)]
    for norm in norms:
        norm.momentum = None  # the plain mean
        norm.train()
    with torch.no_grad():
        PixelsToScore(assessor)(torch.from_numpy(pixels))
    for norm in norms:
        norm.eval()


class OnnxByOpenVino(Runtime):
    """The ONNX file of miqa-lite, which this package runs by ONNX Runtime, by OpenVINO: what that would gain."""

    name, device = 'OpenVINO', Device('cpu')

    def __init__(self, model: MIQAModel, precision: str):
        core = openvino_core()
        hints = {'PERFORMANCE_HINT': 'LATENCY', 'INFERENCE_PRECISION_HINT': PRECISIONS[precision]}
        self._compiled = core.compile_model(core.read_model(model.source), 'CPU', hints)
        self._output, self.precision = model.spec.label or 'composite', precision

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Score uint8 pixels (B, 3, size, size): float32 (B,)."""
        return self._compiled({INPUT: pixels})[self._output]


def open_runtimes(
    model: MIQAModel,
    folder: Path,
    shots: Path,
    nncf_python: str | None,
    only: Sequence[str] | None,
    progress: Callable[[str], None],
) -> tuple[dict[str, Runtime], list[str]]:
    """Open a model in every runtime and format; return them by name, and why others are left out.

    Args:
        model: PyTorch's in float32, or an exported file.
        folder: for exports.
        shots: folder of pictures that 8-bit numbers are fitted to.
        nncf_python: Python of an environment that has NNCF.
        only: words of which a runtime's name has one; None for all.
        progress: called with what is about to be opened.
    """
    first = f'{model.runtime.name} {model.precision}'
    runtimes: dict[str, Runtime] = {first: model.runtime}
    left_out: list[str] = []

    def add(name: str, make: Callable[[], Runtime]) -> None:
        if only and not any(word in name for word in only):
            return
        progress(f'open {name}')
        try:
            runtimes[name] = make()
        except (MissingPackage, ValueError, subprocess.CalledProcessError) as error:
            left_out.append(f'{name}: {error}')

    def in_torch(precision: str) -> Runtime:
        state = {f'network.{key}': value for key, value in model.runtime.module.network.state_dict().items()}
        return MIQAModel.from_parts(model.spec, state, model.source, device=model.device, precision=precision).runtime

    def exported(name: str, precision: str | None = None, **options) -> Runtime:
        path = folder / name
        if not path.exists():
            model.export(path, **options)
        return open_exported(path, precision=precision)[1]

    def quantised() -> Runtime:
        path = folder / 'int8.xml'
        options = ['--int8', '--calibrate', str(shots), '--tolerance', '10']
        if nncf_python is None:
            return exported('int8.xml', int8=True, calibrate=shots, tolerance=10.0)
        command = [
            nncf_python,
            '-m',
            'miqa',
            'export',
            str(path),
            '--model',
            str(folder / 'model.xml'),
        ]
        paths = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get('PYTHONPATH'))))
        environment = {**os.environ, 'PYTHONPATH': paths}
        subprocess.run([*command, *options], check=True, env=environment, stdout=subprocess.DEVNULL)
        return open_exported(path)[1]

    if model.runtime.module is None:
        for precision in ('fp32', 'bf16'):
            add(f'OpenVINO {precision}', functools.partial(OnnxByOpenVino, model, precision))
        return runtimes, left_out
    add('PyTorch bf16', lambda: in_torch('bf16'))
    add('auto', lambda: in_torch('auto'))
    add('ONNX Runtime fp32', lambda: exported('model.onnx'))
    add('ONNX Runtime int8', lambda: exported('int8.onnx', int8=True, calibrate=shots, tolerance=10.0))
    add('OpenVINO fp32', lambda: exported('model.xml', 'fp32'))
    add('OpenVINO bf16', lambda: exported('model.xml', 'bf16'))
    add('OpenVINO int8', quantised)
    return runtimes, left_out


def measure(
    runtimes: dict[str, Runtime], pixels: np.ndarray, batch_sizes: Sequence[int], repeats: int, progress
) -> Iterator[dict]:
    """Measure runtimes in turns; yield one row for each and each batch size, as soon as a size is measured.

    Yields:
        ``runtime``, ``batch``, ``pictures_per_second`` (by the median), ``p50_ms`` and ``p95_ms`` of a batch,
        ``cpu_ms``: processor time of all threads per picture, which tells more than the clock where other programs
        run; ``ratio``: the first runtime's over this one's; and ``mean_difference``, ``largest_difference`` and
        ``srcc`` of its scores and those of the first runtime.
    """
    scores = {name: np.concatenate([run(part) for part in np.array_split(pixels, 8)]) for name, run in runtimes.items()}
    first = next(iter(runtimes))
    for size in batch_sizes:
        progress(f'batches of {size}')
        batch = pixels[np.arange(size) % len(pixels)]
        wall: dict[str, list[float]] = {name: [] for name in runtimes}
        cpu: dict[str, list[float]] = {name: [] for name in runtimes}
        # Small batches are short: more of them cost nothing and make the percentiles firm.
        for turn in range(max(repeats, 24 // size) + 1):
            for name, run in runtimes.items():
                run(batch[:1])  # the threads of the runtime before it still wait for work in a loop
                begin, used = time.perf_counter(), time.process_time()
                run(batch)
                if turn:  # the first turn warms up
                    wall[name].append(time.perf_counter() - begin)
                    cpu[name].append(time.process_time() - used)
        slow = np.median(cpu[first])
        for name in runtimes:
            change = np.abs(scores[name] - scores[first])
            p50, p95 = np.quantile(wall[name], (0.5, 0.95))
            yield {
                'runtime': name,
                'batch': size,
                'pictures_per_second': float(size / p50),
                'p50_ms': float(1000 * p50),
                'p95_ms': float(1000 * p95),
                'cpu_ms': float(1000 * np.median(cpu[name]) / size),
                'ratio': float(slow / np.median(cpu[name])),
                'mean_difference': float(change.mean()),
                'largest_difference': float(change.max()),
                'srcc': order_kept(scores[name], scores[first]),
            }


def pictures_to_try(args: argparse.Namespace, model: MIQAModel, shots: Path) -> np.ndarray:
    """Prepare the pictures whose scores are compared, and write those that 8-bit numbers are fitted to."""
    if args.images:
        paths = list(itertools.islice(find_images(args.images), 2 * args.count))
        for place, path in enumerate(paths[1::2] or paths):
            (shots / f'{place:05d}{Path(path).suffix}').symlink_to(Path(path).absolute())
        return np.stack([model.prepare(path) for path in paths[::2]])
    made = pixels_to_try(model.spec.short_side, 2 * args.count)[0].transpose(0, 2, 3, 1)
    for place, picture in enumerate(made[1::2]):
        Image.fromarray(picture).save(shots / f'{place:05d}.png')
    return np.stack([model.prepare.from_rgb(picture) for picture in made[::2]])


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument(
        '--images',
        nargs='+',
        metavar='PATH',
        help='images or folders (default: photographs of installed packages, damaged)',
    )
    parser.add_argument('--count', type=int, default=32, help='images whose scores are compared (default: 32)')
    parser.add_argument('--batch-sizes', type=int, nargs='+', default=[1, 8, 32], metavar='N', help='default: 1 8 32')
    parser.add_argument('--repeats', type=int, default=9, help='least batches of each size and runtime (default: 9)')
    parser.add_argument(
        '--networks',
        nargs='+',
        metavar='WORD',
        help='without --model: only networks whose title has one of these words',
    )
    parser.add_argument('--only', nargs='+', metavar='WORD', help='only runtimes whose name has one of these words')
    parser.add_argument('--nncf-python', metavar='FILE', help='Python of an environment that has NNCF')
    parser.add_argument('--out', metavar='FILE', help='also write the figures as JSON, after each model')
    add_model_options(parser)
    return parser.parse_args(arguments)


def main() -> None:
    """Measure and print."""
    args = parse_arguments()
    keep_freed_memory()  # as `miqa image` does
    models = [('model', load_model(args))] if args.model or args.weights else networks_to_measure(args.networks)
    found = {'processor': processor()[0], 'threads': torch.get_num_threads(), 'torch': torch.__version__, 'models': {}}
    for title, model in models:
        if model.runtime.module is None and model.spec.method != LITE:
            raise ValueError('Name a checkpoint, or miqa-lite; the benchmark exports checkpoints itself.')
        with tempfile.TemporaryDirectory() as folder:
            shots = Path(folder, 'shots')
            shots.mkdir()

            def progress(step: str, title: str = title) -> None:
                print(f'{title}: {step}', file=sys.stderr)

            pixels = pictures_to_try(args, model, shots)
            runtimes, left_out = open_runtimes(model, Path(folder), shots, args.nncf_python, args.only, progress)
            rows: list[dict] = []
            try:
                rows.extend(measure(runtimes, pixels, args.batch_sizes, args.repeats, progress))
            finally:
                # After Ctrl-C, too: what has been measured is shown and kept.
                if rows:
                    found['models'][title] = {'auto': runtimes_auto(runtimes), 'rows': rows, 'left_out': left_out}
                    show(f'{title} ({found["processor"]}, {found["threads"]} threads)', rows)
                    if 'auto' in runtimes:
                        print(f'auto: {runtimes_auto(runtimes)}')
                    print(''.join(f'Left out: {sentence}\n' for sentence in left_out), end='')
                    if args.out:
                        write_json(args.out, found)


def runtimes_auto(runtimes: dict[str, Runtime]) -> str | None:
    """Return what ``auto`` chose."""
    return f'{runtimes["auto"].precision} with {runtimes["auto"].name}' if 'auto' in runtimes else None


def show(title: str, rows: list[dict]) -> None:
    """Print rows as a table."""
    table = Table(title=title, title_justify='left')
    for name in rows[0]:
        table.add_column(name.replace('_', ' '), justify='left' if name == 'runtime' else 'right')
    for row in rows:
        digits = {'mean_difference': 4, 'largest_difference': 4, 'srcc': 4, 'ratio': 2}
        table.add_row(*(f'{v:.{digits.get(k, 1)}f}' if isinstance(v, float) else str(v) for k, v in row.items()))
    Console(width=None if Console().is_terminal else 130).print(table)


if __name__ == '__main__':
    run_command(main)
