"""Extrapolate how long the paper's recipe takes to train each of its six methods, from measured steps.

A step is forward, backward and AdamW's update on random pictures that are in memory already; a run is 5 epochs over the
training split and 10 validations. Reading and decoding pictures is not in it: `benchmark.py loader` measures that, and
the slower of the two decides. On a CPU one thread computes and processor time counts. Weights are random; nothing is
downloaded.

Examples:
  python tools/analysis/benchmark.py hours                                    # this computer's CPU, one thread
  python tools/analysis/benchmark.py hours --device cuda --batch-size 128 --amp --repeats 20
  python tools/analysis/benchmark.py hours --models ra_miqa --train-images 1000000
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch

from miqa.engine import load_config
from miqa.running.devices import usable_device

from .timing import in_turns
from .train import training_step, wait_for

CONFIGS = Path(__file__).parents[3] / 'configs'
METHODS = ('resnet18', 'resnet50', 'efficientnet_b1', 'efficientnet_b5', 'vit_small', 'ra_miqa')

#: The paper's recipe: epochs, and validations of the whole test split.
EPOCHS, VALIDATIONS = 5, 10


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this case."""
    parser.add_argument('--models', nargs='+', choices=METHODS, default=list(METHODS), help='default: all six')
    parser.add_argument('--batch-size', type=int, default=8, help='pictures in a step (default: 8)')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1, ... (default: cpu)')
    parser.add_argument('--amp', action='store_true', help='bfloat16 autocast')
    parser.add_argument('--train-images', type=int, default=1_000_000, help='training split (default: 1000000)')
    parser.add_argument('--test-images', type=int, default=250_000, help='test split (default: 250000)')


def run(args: argparse.Namespace) -> Iterator[tuple[str, list[dict]]]:
    """Measure every method."""
    device = usable_device(args.device)
    if device.type == 'cpu':
        torch.set_num_threads(1)
    rows = []
    for name in args.models:
        config = load_config(CONFIGS / f'{name}_cls.py').model
        step, validate = training_step(config, args.batch_size, device, bf16=args.amp)
        seconds = []
        for call in (step, validate):
            times = in_turns({name: call}, args.repeats, wait_for(device))[name]
            seconds.append((times.processor if device.type == 'cpu' else times.seconds) / args.batch_size)
        hours = (EPOCHS * args.train_images * seconds[0] + VALIDATIONS * args.test_images * seconds[1]) / 3600
        rows.append({'method': name, 'step_ms': 1000 * seconds[0], 'validation_ms': 1000 * seconds[1], 'hours': hours})
    yield f'{EPOCHS} epochs of {args.train_images:,} images and {VALIDATIONS} validations, {device}', rows
