"""Measure how fast networks score on this computer: PyTorch, ONNX Runtime and OpenVINO, each in its number formats.

Without a model: the published RA-MIQA at full size (random tensors of the released shapes), the quickstart's CNN and a
student for cameras (packaged ImageNet weights, random heads), all with heads scaled so that scores spread as labels do
(deviation 0.25), and miqa-lite. Scores are compared on photographs that installed packages ship, damaged in several
ways. Ratios are of processor time. Decoding is not timed: the case `files` includes it.

Examples:
  python tools/analysis/benchmark.py inference
  python tools/analysis/benchmark.py inference --networks RA-MIQA miqa-lite --only fp32 bf16 auto
  python tools/analysis/benchmark.py inference --model demo --images shots/ --out speed.json
  python tools/analysis/benchmark.py inference --nncf-python ~/nncf/bin/python    # NNCF in its own environment
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
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
from miqa.models import QualityAssessor
from miqa.outside.configs import config_folder
from miqa.pictures.finding import find_images
from miqa.running.allocator import keep_freed_memory
from miqa.running.processor import processor

from .timing import in_turns

SPREAD = 0.25  # Spread of scores over the pictures that are tried: about that of the paper's labels (0.27 to 0.36)


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
    model: MIQAModel, folder: Path, shots: Path, nncf_python: str | None, only: Sequence[str] | None
) -> tuple[dict[str, Runtime], list[dict]]:
    """Open a model in every runtime and format; return them by name, and rows of why others are skipped.

    Args:
        model: PyTorch's in float32, or an exported file.
        folder: for exports.
        shots: folder of pictures that 8-bit numbers are fitted to.
        nncf_python: Python of an environment that has NNCF.
        only: words of which a runtime's name has one; None for all.
    """
    first = f'{model.runtime.name} {model.precision}'
    runtimes: dict[str, Runtime] = {first: model.runtime}
    skipped: list[dict] = []

    def add(name: str, make: Callable[[], Runtime]) -> None:
        if only and not any(word in name for word in only):
            return
        try:
            runtime = make()
        except (MissingPackage, ValueError, subprocess.CalledProcessError) as error:
            skipped.append({'runtime': name, 'reason': str(error)})
        else:
            runtimes[f'auto: {runtime.name} {runtime.precision}' if name == 'auto' else name] = runtime

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
        if nncf_python is None:
            return exported('int8.xml', int8=True, calibrate=shots, tolerance=10.0)
        command = [nncf_python, '-m', 'miqa', 'export', str(path), '--model', str(folder / 'model.xml')]
        options = ['--int8', '--calibrate', str(shots), '--tolerance', '10']
        paths = os.pathsep.join(filter(None, (str(Path(__file__).parents[3]), os.environ.get('PYTHONPATH'))))
        environment = {**os.environ, 'PYTHONPATH': paths}
        subprocess.run([*command, *options], check=True, env=environment, stdout=subprocess.DEVNULL)
        return open_exported(path)[1]

    if model.runtime.module is None:
        for precision in ('fp32', 'bf16'):
            add(f'OpenVINO {precision}', functools.partial(OnnxByOpenVino, model, precision))
        return runtimes, skipped
    add('PyTorch bf16', lambda: in_torch('bf16'))
    add('auto', lambda: in_torch('auto'))
    add('ONNX Runtime fp32', lambda: exported('model.onnx'))
    add('ONNX Runtime int8', lambda: exported('int8.onnx', int8=True, calibrate=shots, tolerance=10.0))
    add('OpenVINO fp32', lambda: exported('model.xml', 'fp32'))
    add('OpenVINO bf16', lambda: exported('model.xml', 'bf16'))
    add('OpenVINO int8', quantised)
    return runtimes, skipped


def measure(
    runtimes: dict[str, Runtime], pixels: np.ndarray, scores: dict[str, np.ndarray], size: int, repeats: int
) -> list[dict]:
    """Time batches of a size in every runtime, in turns.

    Returns:
        One row a runtime: ``runtime``, ``batch``, ``pictures_per_second``, ``p50_ms`` and ``p95_ms`` of a batch,
        ``cpu_ms``: processor time per picture, ``ratio``: the first runtime's over this one's; and
        ``mean_difference``, ``largest_difference`` and ``srcc`` of its scores and those of the first runtime.
    """
    batch = pixels[np.arange(size) % len(pixels)]
    ways: dict[str, Callable] = {}
    for name, score in runtimes.items():
        # One picture before: the threads of the previous runtime still wait for work in a loop.
        ways |= {f'before {name}': functools.partial(score, batch[:1]), name: functools.partial(score, batch)}
    # Small batches are short: more of them cost nothing and make the percentiles firm.
    times = in_turns(ways, max(repeats, 24 // size))
    first = next(iter(runtimes))
    rows = []
    for name in runtimes:
        change = np.abs(scores[name] - scores[first])
        row = {'runtime': name, 'batch': size, 'pictures_per_second': size / times[name].seconds}
        row |= times[name].percentiles(50, 95)
        row |= {'cpu_ms': 1000 * times[name].processor / size, 'ratio': times[first].processor / times[name].processor}
        row |= {'mean_difference': float(change.mean()), 'largest_difference': float(change.max())}
        rows.append(row | {'srcc': order_kept(scores[name], scores[first])})
    return rows


def pictures_to_try(args: argparse.Namespace, model: MIQAModel, shots: Path) -> np.ndarray:
    """Prepare the pictures whose scores are compared, and write those that 8-bit numbers are fitted to."""
    if args.images:
        paths = list(itertools.islice(find_images(args.images), 2 * args.count))
        for place, path in enumerate(paths[1::2] or paths):
            (shots / f'{place:05d}{Path(path).suffix}').symlink_to(Path(path).absolute())
        return np.stack([model.prepare(path) for path in paths[::2]])
    pictures = pixels_to_try(model.spec.short_side, 2 * args.count)[0].transpose(0, 2, 3, 1)
    for place, picture in enumerate(pictures[1::2]):
        Image.fromarray(picture).save(shots / f'{place:05d}.png')
    return np.stack([model.prepare.from_rgb(picture) for picture in pictures[::2]])


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this case."""
    parser.set_defaults(repeats=9)
    parser.add_argument(
        '--images', nargs='+', metavar='PATH',
        help='images or folders (default: photographs of installed packages, damaged)',
    )  # fmt: skip
    parser.add_argument('--count', type=int, default=32, help='images whose scores are compared (default: 32)')
    parser.add_argument('--batch-sizes', type=int, nargs='+', default=[1, 8, 32], metavar='N', help='default: 1 8 32')
    parser.add_argument(
        '--networks', nargs='+', metavar='WORD',
        help='without --model: only networks whose title has one of these words',
    )  # fmt: skip
    parser.add_argument('--only', nargs='+', metavar='WORD', help='only runtimes whose name has one of these words')
    parser.add_argument('--nncf-python', metavar='FILE', help='Python of an environment that has NNCF')
    add_model_options(parser)


def run(args: argparse.Namespace) -> Iterator[tuple[str, list[dict]]]:
    """Measure every network; a table for each batch size, and one of what is skipped."""
    keep_freed_memory()  # as `miqa image` does
    models = [('model', load_model(args))] if args.model or args.weights else networks_to_measure(args.networks)
    for title, model in models:
        if model.runtime.module is None and model.spec.method != LITE:
            raise ValueError('Name a checkpoint, or miqa-lite; the benchmark exports checkpoints itself.')
        with tempfile.TemporaryDirectory() as folder:
            shots = Path(folder, 'shots')
            shots.mkdir()
            pixels = pictures_to_try(args, model, shots)
            runtimes, skipped = open_runtimes(model, Path(folder), shots, args.nncf_python, args.only)
            if skipped:
                yield f'{title}: skipped', skipped
            parts = np.array_split(pixels, 8)
            scores = {name: np.concatenate([score(part) for part in parts]) for name, score in runtimes.items()}
            for size in args.batch_sizes:
                about = f'{title} ({processor()[0]}, {torch.get_num_threads()} threads, PyTorch {torch.__version__})'
                yield f'{about}, batches of {size}', measure(runtimes, pixels, scores, size, args.repeats)
