"""Measure a training step of RA-MIQA: pictures per second, beside what this computer could reach, with each technique.

The limit is what the step's matrix products and convolutions would take at the rate that one large matrix product of
the same precision reaches here. Every technique that may speed a step up is measured alone, and all of them together:
batches stacked by the loader's workers, bfloat16, torch.compile (a minute or two to compile), AdamW in one fused
kernel, channels-last, cached region features (tools/data/cache_features.py). Weights and pictures are random; nothing
is downloaded. Close other programs first.

Examples:
  python tools/analysis/benchmark.py train                              # CPU: some minutes
  python tools/analysis/benchmark.py train --device cuda --batch-size 128 --repeats 20
  python tools/analysis/benchmark.py train --config configs/mini/ra_miqa_cls.py --batch-size 16
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from miqa.engine import load_config
from miqa.models.assessor import QualityAssessor
from miqa.registry import MODELS
from miqa.running.devices import usable_device
from miqa.structures import QualitySample, SampleBatch

from .timing import in_turns, nothing

CONFIG = Path(__file__).parents[3] / 'configs' / 'ra_miqa_cls.py'

#: Side of the square matrices whose product gives the machine's rate; large enough to reach it, small enough for a CPU.
GEMM_SIZE = 2048

#: Each technique -> what :func:`training_step` changes for it. ``together`` is all of them.
TECHNIQUES: dict[str, dict] = {
    'as it is': {}, 'batches stacked': {'stacked': True}, 'bf16': {'bf16': True}, 'torch.compile': {'compile': True},
    'fused AdamW': {'fused': True}, 'channels-last': {'channels_last': True}, 'cached features': {'cached': True},
}  # fmt: skip
TOGETHER = 'all together'


def wait_for(device: torch.device) -> Callable[[], object]:
    """Return what waits until a device has computed everything."""
    return partial(torch.cuda.synchronize, device) if device.type == 'cuda' else nothing


def make_batch(model: QualityAssessor, count: int, cached: bool = False, stacked: bool = False) -> dict:
    """Return what a data loader would give, at random: uint8 views, or with ``cached`` features for the region.

    With ``stacked``, pictures and labels are in one tensor each.
    """
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
    if stacked:
        inputs = {name: torch.stack(views) for name, views in inputs.items()}
        samples = SampleBatch(samples)
    return {'inputs': inputs, 'data_samples': samples}


def training_step(
    model_config: Mapping,
    batch_size: int,
    device: torch.device,
    stacked: bool = False,
    bf16: bool = False,
    compile: bool = False,
    fused: bool = False,
    channels_last: bool = False,
    cached: bool = False,
) -> tuple[Callable[[], float], Callable[[], object]]:
    """Return a training step, and a validation, of a model of its own with the named techniques.

    The step is preprocessing, forward, backward and update, and returns the loss; its weights start from the same
    random ones.
    """
    torch.manual_seed(0)
    config = copy.deepcopy(dict(model_config))
    config['data_preprocessor'] = {**config['data_preprocessor'], 'channels_last': channels_last}
    model = MODELS.build(config).to(device)
    if channels_last:
        model.network.to(memory_format=torch.channels_last)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-6, fused=fused or None)
    batch = make_batch(model, batch_size, cached, stacked)
    if compile:
        model.network.compile()
    autocast = partial(torch.autocast, device.type, dtype=torch.bfloat16, enabled=bf16)

    def step() -> float:
        model.train()
        with autocast():
            loss = model(**model.data_preprocessor(batch, True), mode='loss')['loss']
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    def validate() -> None:
        model.eval()
        with torch.inference_mode(), autocast():
            model(**model.data_preprocessor(batch, False), mode='predict')

    return step, validate


def benchmark_techniques(
    model_config: Mapping, batch_size: int, repeats: int, device: str = 'cpu', leave_out: Sequence[str] = ()
) -> dict[str, dict]:
    """Measure a training step with each of :data:`TECHNIQUES` alone and with all, in turns.

    Returns:
        Per name ``pictures_per_second``, ``ratio`` of the plain step's time to it, ``processor_ms`` and ``gflop`` of a
        picture, ``of_limit``: the share of the rate of a large matrix product of the same precision, and ``loss``.
    """
    target = torch.device(device)
    chosen = {name: options for name, options in TECHNIQUES.items() if name not in leave_out}
    chosen[TOGETHER] = {key: value for options in chosen.values() for key, value in options.items()}
    steps = {name: training_step(model_config, batch_size, target, **options)[0] for name, options in chosen.items()}
    # Counted on models without compilation, whose products the counter does not see.
    flops = {
        cached: flops_of(training_step(model_config, batch_size, target, cached=cached)[0])
        for cached in {bool(options.get('cached')) for options in chosen.values()}
    }
    losses = {}
    for name, step in steps.items():
        torch.manual_seed(0)  # of dropout
        losses[name] = step()
    rates = {bf16: gemm_rate(target, dtype=torch.bfloat16 if bf16 else torch.float32) for bf16 in (False, True)}
    times = in_turns(steps, repeats, wait_for(target))
    result = {}
    for name, options in chosen.items():
        operations, seconds = flops[bool(options.get('cached'))], times[name].seconds
        result[name] = {
            'pictures_per_second': batch_size / seconds, 'ratio': times['as it is'].seconds / seconds,
            'processor_ms': 1000 * times[name].processor / batch_size, 'gflop': operations / batch_size / 1e9,
            'of_limit': operations / rates[bool(options.get('bf16'))] / seconds, 'loss': losses[name],
        }  # fmt: skip
    return result


def flops_of(call: Callable[[], object]) -> int:
    """Count floating-point operations (a multiply-add is two) of matrix products and convolutions in a call."""
    # Fused attention is counted on some devices only; its plain form is counted everywhere.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def gemm_rate(device: torch.device, repeats: int = 5, dtype: torch.dtype = torch.float32) -> float:
    """Measure the rate of a matrix product of :data:`GEMM_SIZE`, in operations per second."""
    a, b = (torch.randn(GEMM_SIZE, GEMM_SIZE, device=device).to(dtype) for _ in range(2))
    times = in_turns({'product': lambda: a @ b}, repeats, wait_for(device), quiet=True)
    return 2 * GEMM_SIZE**3 / times['product'].seconds


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this case."""
    parser.add_argument('--config', default=CONFIG, help='config of an RA-MIQA (default: configs/ra_miqa_cls.py)')
    parser.add_argument('--batch-size', '--batch_size', type=int, default=4, help='pictures in a step (default: 4)')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1, ... (default: cpu)')
    parser.add_argument('--threads', type=int, help='CPU threads (default: as PyTorch chooses)')
    parser.add_argument(
        '--leave-out', nargs='+', default=(), choices=list(TECHNIQUES)[1:],
        help='techniques not to measure, such as torch.compile where there is no compiler',
    )  # fmt: skip


def run(args: argparse.Namespace) -> Iterator[tuple[str, list[dict]]]:
    """Measure all techniques."""
    if args.threads:
        torch.set_num_threads(args.threads)
    config = load_config(args.config).model
    if config.network.type != 'RAMIQA':
        raise ValueError(f'{args.config} is not a config of an RA-MIQA: its network is {config.network.type}.')
    device = usable_device(args.device)
    figures = benchmark_techniques(config, args.batch_size, args.repeats, str(device), args.leave_out)
    machine = f'{device}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}'
    rows = [{'technique': name, **row} for name, row in figures.items()]
    yield f'A training step of {args.batch_size} pictures ({machine})', rows
