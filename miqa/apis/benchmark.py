"""How fast a model scores files here: one at a time, in batches, by PyTorch, by ONNX Runtime."""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from miqa.datasets.transforms import PackViews, ResizeShortSide
from miqa.utils import generator_for, read_image

from .model import MIQAModel
from .runtime import OnnxRuntime, TorchRuntime

#: Size of the pictures that are made where none are given: those of a small camera.
WIDTH, HEIGHT = 1280, 960


def make_pictures(folder: Path, count: int) -> list[str]:
    """Write JPEG files with structure at all scales, so that decoding costs what it does for photographs."""
    paths = []
    for index in range(count):
        rng = generator_for('benchmark picture', index)
        picture = np.zeros((HEIGHT, WIDTH, 3))
        for octave in range(3, 11):
            cells = rng.normal(0, 0.7 ** (octave - 3), (2**octave * 3 // 4, 2**octave, 3)).astype(np.float32)
            layers = [
                np.asarray(Image.fromarray(layer).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
                for layer in np.moveaxis(cells, 2, 0)
            ]
            picture += np.stack(layers, axis=2)
        picture = np.clip(128 + 50 * picture, 0, 255).astype(np.uint8)
        paths.append(str(folder / f'{index:04d}.jpg'))
        Image.fromarray(picture).save(paths[-1], quality=92)
    return paths


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
        model: runs PyTorch.
        paths: image files.
        batch_sizes: to measure.
        repeats: rounds; of each way the median counts.
        onnx: also measure ONNX Runtime, with a file exported for it.
        progress: called with what is about to be measured.

    Returns:
        ``files``: one row a way of scoring files: ``way``, ``images_per_second``, ``ratio`` to one at a time, and
        ``cpu_ms``, processor time of all threads per picture, which tells more than the clock where other programs
        run; for ways that take one picture at a time also the latency's ``p50, p90, p99`` in milliseconds.
        ``network``: one row a runtime and batch size: ``runtime``, ``batch``, ``images_per_second`` without decoding,
        and the latency of a batch.

    Raises:
        ValueError: the model is not PyTorch's, or there are no pictures.
    """
    if not isinstance(model.runtime, TorchRuntime):
        raise ValueError('Name a checkpoint; the benchmark exports it to ONNX itself.')
    if not paths:
        raise ValueError('A benchmark needs at least one picture.')
    with tempfile.TemporaryDirectory() as folder:
        runtimes: dict[str, TorchRuntime | OnnxRuntime] = {'PyTorch': model.runtime}
        if onnx:
            progress('export to ONNX')
            runtimes['ONNX Runtime'] = OnnxRuntime(model.export(Path(folder) / 'model.onnx'), model.device)
        files = _files(model, paths, batch_sizes, repeats, runtimes, progress)
        network = _networks(model, paths, batch_sizes, repeats, runtimes, progress)
    return {
        'model': model.identity,
        'device': str(model.device),
        'precision': model.runtime.precision,
        'threads': torch.get_num_threads(),
        'images': len(paths),
        'files': files,
        'network': network,
    }


def _files(model, paths, batch_sizes, repeats, runtimes, progress) -> list[dict]:
    baseline = 'one at a time, a resize for each view'
    ways: dict[str, Callable[[], list[float]]] = {baseline: _singly(OneAtATime(model), paths)}
    encoder = model.spec.network.get('region_encoder', {}).get('type')
    if encoder == 'TimmRegionEncoder':
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
    slow = statistics.median(seconds[baseline])
    rows = []
    for name in ways:
        median = statistics.median(seconds[name])
        rows.append(
            {
                'way': name,
                'images_per_second': len(paths) / median,
                'ratio': slow / median,
                'cpu_ms': 1000 * statistics.median(processor[name]) / len(paths),
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


def _networks(model, paths, batch_sizes, repeats, runtimes, progress) -> list[dict]:
    pictures = [model.prepare(path) for path in paths[: max(batch_sizes)]]
    rows = []
    for size in batch_sizes:
        pixels = torch.stack([pictures[index % len(pictures)] for index in range(size)])
        taken: dict[str, list[float]] = {name: [] for name in runtimes}
        for turn in range(max(3 * repeats, 32 // size) + 1):
            for name, runtime in runtimes.items():
                if turn == 0:
                    progress(f'network alone, {name}, batch {size}')
                begin = time.perf_counter()
                runtime(pixels)
                if turn:
                    taken[name].append(time.perf_counter() - begin)
        for name, values in taken.items():
            rate = size / statistics.median(values)
            rows.append({'runtime': name, 'batch': size, 'images_per_second': rate, **_percentiles(values)})
    return rows


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    return {f'p{share}_ms': float(1000 * np.percentile(seconds, share)) for share in (50, 90, 99)}
