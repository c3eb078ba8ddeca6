#!/usr/bin/env python
"""Measure a training step of RA-MIQA: images per second and memory, with the frozen encoder in the loop and without.

Three things are compared in one run: the step that computes region features, the step that gets them from a cache
(tools/data/cache_features.py), and the limit: what the step's matrix products and convolutions would take at the
rate that one large matrix product reaches on this machine. Then every technique that may speed a step up is measured
alone, and all of them together: batches stacked by the loader's workers, bfloat16, torch.compile (a minute or two to
compile), AdamW in one fused kernel, channels-last, cached region features. The two libraries that can compute the
region encoder are timed too. Weights and pictures are random; nothing is downloaded. Close other programs first.

Examples:
  python tools/analysis/benchmark_train.py                              # CPU: some minutes
  python tools/analysis/benchmark_train.py --device cuda --batch-size 128 --repeats 20 --amp
  python tools/analysis/benchmark_train.py --config configs/mini/ra_miqa_cls.py --batch-size 16
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from miqa.engine import load_config
from miqa.keeping import write_json
from miqa.models.assessor import QualityAssessor
from miqa.registry import MODELS
from miqa.running.command_line import ToolParser, run_command
from miqa.running.devices import usable_device
from miqa.structures import QualitySample, SampleBatch

#: Side of the square matrices whose product gives the machine's rate; large enough to reach it, small enough for a CPU.
GEMM_SIZE = 2048


def _wait(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def seconds_of(calls: Mapping[str, Callable[[], object]], repeats: int, device: torch.device) -> dict[str, float]:
    """Time calls in turn, after an untimed one; return the least seconds of each.

    The least, because other programs can only slow a call down; in turn, so that they hit all calls alike.
    """
    for call in calls.values():
        call()
    times = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            _wait(device)
            start = time.perf_counter()
            call()
            _wait(device)
            times[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in times.items()}


def make_batch(model: QualityAssessor, count: int, cached: bool) -> dict:
    """Return what a data loader would give, at random: uint8 views, or with ``cached`` features for the region."""
    generator = torch.Generator().manual_seed(0)
    views = {name: int(view['size']) for name, view in model.data_preprocessor.views.items()}
    inputs = {
        name: [torch.randint(0, 256, (3, size, size), dtype=torch.uint8, generator=generator) for _ in range(count)]
        for name, size in views.items()
    }
    if cached:
        encoder, preprocessor = model.network.mask_encoder, model.data_preprocessor
        inputs['region_features'] = list(encoder(preprocessor.region_batch(inputs.pop('region'))).cpu())
    samples = [QualitySample(gt_score=torch.rand((), generator=generator)) for _ in range(count)]
    return {'inputs': inputs, 'data_samples': samples}


#: Each technique -> what :func:`technique_step` changes for it. ``together`` is all of them.
TECHNIQUES: dict[str, dict] = {
    'as it is': {},
    'batches stacked': {'stacked': True},
    'bf16': {'bf16': True},
    'torch.compile': {'compile': True},
    'fused AdamW': {'fused': True},
    'channels-last': {'channels_last': True},
    'cached features': {'cached': True},
}
TOGETHER = 'all together'


def technique_step(
    model_config: Mapping,
    batch_size: int,
    device: torch.device,
    stacked: bool = False,
    bf16: bool = False,
    compile: bool = False,
    fused: bool = False,
    channels_last: bool = False,
    cached: bool = False,
) -> Callable[[], object]:
    """Return a training step of a model of its own with the named techniques.

    The step is preprocessing, forward, backward and update; its weights start from the same random ones.
    """
    torch.manual_seed(0)
    config = copy.deepcopy(dict(model_config))
    config['data_preprocessor'] = {**config['data_preprocessor'], 'channels_last': channels_last}
    model = MODELS.build(config).to(device).train()
    if channels_last:
        model.network.to(memory_format=torch.channels_last)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-6, fused=fused or None)
    batch = make_batch(model, batch_size, cached)
    if stacked:
        batch['inputs'] = {name: torch.stack(views) for name, views in batch['inputs'].items()}
        batch['data_samples'] = SampleBatch(batch['data_samples'])
    if compile:
        model.network.compile()

    def step() -> float:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            loss = model(**model.data_preprocessor(batch, True), mode='loss')['loss']
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return step


def benchmark_techniques(
    model_config: Mapping, batch_size: int, repeats: int, device: str = 'cpu', leave_out: Sequence[str] = ()
) -> dict[str, dict]:
    """Measure a training step with each of :data:`TECHNIQUES` alone and with all, in turns.

    Args:
        model_config: of a QualityAssessor around RA-MIQA; its weights start random.
        batch_size: pictures in a step.
        repeats: steps that are timed, of each kind.
        device: where.
        leave_out: techniques that are not measured, nor part of all together.

    Returns:
        Per name ``seconds`` of a step, ``processor_seconds`` over all threads, ``ratio`` of the plain step's time to
        it, ``loss`` of the first step, ``flops`` of a step, ``limit_seconds``: its operations at the rate of a large
        matrix product of its precision, and ``share_of_limit``.
    """
    where = torch.device(device)
    chosen = {name: options for name, options in TECHNIQUES.items() if name not in leave_out}
    chosen[TOGETHER] = {key: value for options in chosen.values() for key, value in options.items()}
    steps = {name: technique_step(model_config, batch_size, where, **options) for name, options in chosen.items()}
    # Counted on models without compilation, whose products the counter does not see.
    kinds = {
        cached: flops_of(technique_step(model_config, batch_size, where, cached=cached))
        for cached in {bool(options.get('cached')) for options in chosen.values()}
    }
    losses = {}
    for name, step in steps.items():
        torch.manual_seed(0)  # of dropout
        losses[name] = step()
    rates = {bf16: gemm_rate(where, dtype=torch.bfloat16 if bf16 else torch.float32) for bf16 in (False, True)}
    processor = {name: [] for name in steps}
    timed = {name: lambda n=name: processor[n].append(_processor_seconds(steps[n])) for name in steps}
    seconds = seconds_of(timed, repeats, where)
    result = {}
    for name, options in chosen.items():
        flops = kinds[bool(options.get('cached'))]
        limit = flops / rates[bool(options.get('bf16'))]
        result[name] = {
            'seconds': seconds[name],
            'images_per_second': batch_size / seconds[name],
            'processor_seconds': min(processor[name]),
            'ratio': seconds['as it is'] / seconds[name],
            'loss': losses[name],
            'flops': flops,
            'limit_seconds': limit,
            'share_of_limit': limit / seconds[name],
        }
    return result


def _processor_seconds(step: Callable[[], object]) -> float:
    before = time.process_time()
    step()
    return time.process_time() - before


def print_techniques(console: Console, result: Mapping[str, Mapping], batch_size: int) -> None:
    """Print what :func:`benchmark_techniques` found."""
    table = Table(title=f'Each technique alone and all together, {batch_size} pictures in a step')
    for column in ('', 'images/s', 'x', 'CPU ms/image', 'limit', 'of limit', 'first loss'):
        table.add_column(column, justify='right' if column else 'left')
    for name, row in result.items():
        table.add_row(
            name,
            f'{row["images_per_second"]:.2f}',
            f'{row["ratio"]:.2f}',
            f'{1000 * row["processor_seconds"] / batch_size:.0f}',
            f'{batch_size / row["limit_seconds"]:.1f}',
            f'{row["share_of_limit"]:.0%}',
            f'{row["loss"]:.6f}',
        )
    console.print(table)
    console.print("Limit: the step's operations at the rate of one large matrix product of the same precision.")


def flops_of(call: Callable[[], object]) -> int:
    """Count floating-point operations (a multiply-add is two) of matrix products and convolutions in a call."""
    # Fused attention is counted on some devices only; its plain form is counted everywhere.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def activation_bytes(call: Callable[[], object]) -> int:
    """Sum the storages that autograd keeps from the forward for the backward pass, each once, without parameters."""
    storages = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        # The result keeps the graph, and with it every storage, alive until all are counted.
        result = call()
    del result
    return sum(storages.values())


def gemm_rate(device: torch.device, repeats: int = 5, dtype: torch.dtype = torch.float32) -> float:
    """Measure the rate of a matrix product of :data:`GEMM_SIZE`, in operations per second."""
    a, b = (torch.randn(GEMM_SIZE, GEMM_SIZE, device=device).to(dtype) for _ in range(2))
    return 2 * GEMM_SIZE**3 / seconds_of({'gemm': lambda: a @ b}, repeats, device)['gemm']


def benchmark_step(
    model_config: Mapping, batch_size: int = 4, repeats: int = 3, device: str = 'cpu', amp: bool = False
) -> dict:
    """Measure training steps: preprocessing, forward, backward and AdamW's update.

    Args:
        model_config: of a QualityAssessor around RA-MIQA; its weights start random, nothing is fetched.
        batch_size: pictures in a step.
        repeats: steps that are timed, of each kind.
        device: where.
        amp: bfloat16 autocast.

    Returns:
        ``with_encoder`` and ``cached``: each with ``seconds`` of a step, ``images_per_second``, ``flops`` of a step,
        ``limit_seconds`` (its operations at the measured GEMM rate), ``share_of_limit``, and ``activation_bytes``;
        ``ratio`` of their rates; ``state_bytes`` of weights, gradients and optimiser; ``gemm_rate``; and on GPUs
        ``peak_bytes`` of both kinds together.
    """
    device = torch.device(device)
    model = MODELS.build(dict(model_config)).to(device).train()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-6)

    def loss_of(batch: dict) -> torch.Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=amp):
            return model(**model.data_preprocessor(batch, True), mode='loss')['loss']

    def step(batch: dict) -> None:
        loss_of(batch).backward()
        optimizer.step()
        optimizer.zero_grad()

    batches = {name: make_batch(model, batch_size, name == 'cached') for name in ('with_encoder', 'cached')}
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
    rate = gemm_rate(device)
    seconds = seconds_of({name: lambda b=batch: step(b) for name, batch in batches.items()}, repeats, device)
    rate = max(rate, gemm_rate(device))
    result: dict = {'batch_size': batch_size, 'gemm_rate': rate}
    for name, batch in batches.items():
        flops = flops_of(lambda b=batch: step(b))
        result[name] = {
            'seconds': seconds[name],
            'images_per_second': batch_size / seconds[name],
            'flops': flops,
            'limit_seconds': flops / rate,
            'share_of_limit': flops / rate / seconds[name],
            'activation_bytes': activation_bytes(lambda b=batch: loss_of(b)),
        }
    result['ratio'] = seconds['with_encoder'] / seconds['cached']
    weights = sum(parameter.nbytes for parameter in model.parameters())
    # A gradient and AdamW's two moments for each trainable weight.
    result['state_bytes'] = weights + 3 * sum(parameter.nbytes for parameter in trainable)
    if device.type == 'cuda':
        result['peak_bytes'] = torch.cuda.max_memory_allocated(device)
    return result


def benchmark_encoders(configs: Mapping[str, Mapping], size: int, batch_size: int, repeats: int, device: str) -> dict:
    """Time the forward pass of region encoders with the same tensors and compare their features.

    Args:
        configs: region encoder configs by name; all get the first one's weights.
        size: side of the pictures.
        batch_size: pictures at a time.
        repeats: calls that are timed, of each.
        device: where.

    Returns:
        Per name ``seconds`` of a batch and ``difference``: the largest from the first one's features.
    """
    device = torch.device(device)
    encoders = {name: MODELS.build(dict(config)).to(device) for name, config in configs.items()}
    first = next(iter(encoders.values()))
    for encoder in encoders.values():
        encoder.load_state_dict(first.state_dict())
    region = torch.randn(batch_size, 3, size, size, device=device)
    seconds = seconds_of({name: lambda e=encoder: e(region) for name, encoder in encoders.items()}, repeats, device)
    expected = first(region)
    return {
        name: {'seconds': seconds[name], 'difference': (encoder(region) - expected).abs().max().item()}
        for name, encoder in encoders.items()
    }


CONFIG = Path(__file__).parents[2] / 'configs' / 'ra_miqa_cls.py'


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('--config', default=CONFIG, help='config of an RA-MIQA (default: configs/ra_miqa_cls.py)')
    parser.add_argument('--batch-size', '--batch_size', type=int, default=4, help='pictures in a step (default: 4)')
    parser.add_argument('--repeats', type=int, default=4, help='timed steps of each kind (default: 4)')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1, ... (default: cpu)')
    parser.add_argument('--threads', type=int, help='CPU threads (default: as PyTorch chooses)')
    parser.add_argument('--amp', action='store_true', help='bfloat16 autocast')
    parser.add_argument(
        '--leave-out',
        nargs='+',
        default=(),
        choices=list(TECHNIQUES)[1:],
        help='techniques not to measure, such as torch.compile where there is no compiler',
    )
    parser.add_argument('--out', type=Path, help='write the figures as JSON')
    return parser.parse_args()


def main():
    """Measure and print."""
    args = parse_arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    config = load_config(args.config).model
    if config.network.type != 'RAMIQA':
        raise ValueError(f'{args.config} is no config of an RA-MIQA: its network is {config.network.type}.')
    usable_device(args.device)
    result = benchmark_step(config, args.batch_size, args.repeats, args.device, args.amp)
    result['machine'] = {'device': args.device, 'threads': torch.get_num_threads(), 'torch': torch.__version__}

    console = Console(width=None if sys.stdout.isatty() else 110)
    where = torch.cuda.get_device_name(args.device) if 'cuda' in args.device else f'{torch.get_num_threads()} threads'
    table = Table(title=f'A training step of {args.batch_size} pictures on {args.device} ({where})')
    for column in ('', 'images/s', 'ms/image', 'GFLOP/image', 'limit', 'of limit', 'activations'):
        table.add_column(column, justify='right' if column else 'left')
    for name, title in (('with_encoder', 'encoder in the loop'), ('cached', 'cached features')):
        row, count = result[name], args.batch_size
        table.add_row(
            title,
            f'{row["images_per_second"]:.2f}',
            f'{1000 * row["seconds"] / count:.1f}',
            f'{row["flops"] / count / 1e9:.1f}',
            f'{count / row["limit_seconds"]:.2f}',
            f'{row["share_of_limit"]:.0%}',
            f'{row["activation_bytes"] / 1e6:.0f} MB',
        )
    console.print(table)
    console.print(
        f'Cached features make the step {result["ratio"]:.2f} times as fast. Weights, gradients and AdamW take '
        f'{result["state_bytes"] / 1e6:.0f} MB. Limit: images/s at the rate of one large float32 matrix product, '
        f'{result["gemm_rate"] / 1e9:.0f} GFLOP/s.'
    )
    if 'peak_bytes' in result:
        console.print(f'Most memory in use at a time: {result["peak_bytes"] / 1e6:.0f} MB.')
    result['techniques'] = benchmark_techniques(config, args.batch_size, args.repeats, args.device, args.leave_out)
    print_techniques(console, result['techniques'], args.batch_size)
    if config.network.region_encoder.type in ('TimmRegionEncoder', 'MMSegRegionEncoder'):
        encoder = {**config.network.region_encoder, 'weights': None}
        kinds = {name: {**encoder, 'type': name} for name in ('TimmRegionEncoder', 'MMSegRegionEncoder')}
        size = config.data_preprocessor.views.region.size
        result['encoders'] = benchmark_encoders(kinds, size, args.batch_size, args.repeats, args.device)
        for name, row in result['encoders'].items():
            console.print(
                f'{name}: {1000 * row["seconds"] / args.batch_size:.1f} ms/image, '
                f'features differ by at most {row["difference"]:.1e}'
            )
    if args.out:
        write_json(args.out, result)
        console.print(f'Written to {args.out}.')


if __name__ == '__main__':
    run_command(main)
