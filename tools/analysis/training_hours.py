#!/usr/bin/env python
"""Extrapolate how long the paper's recipe takes to train each of its six methods, from measured steps.

Examples:
  python tools/analysis/training_hours.py                                             # this computer's CPU, one thread
  python tools/analysis/training_hours.py --device cuda --batch-size 128 --amp --repeats 20
  python tools/analysis/training_hours.py --models ra_miqa --train-images 1000000

A step is forward, backward and AdamW's update on random pictures that are in memory already; a run is 5 epochs over the
training split and 10 validations. Reading and decoding pictures is not in it: tools/analysis/benchmark_loader.py
measures that, and the slower of the two decides. On a CPU processor time counts, which other programs do not disturb.
Weights are random; nothing is downloaded.
"""

import argparse
import time
from pathlib import Path

from miqa.running.command_line import ToolParser, run_command

CONFIGS = Path(__file__).parents[2] / 'configs'
MODELS = ('resnet18', 'resnet50', 'efficientnet_b1', 'efficientnet_b5', 'vit_small', 'ra_miqa')

#: The paper's recipe: epochs, and validations of the whole test split.
EPOCHS, VALIDATIONS = 5, 10


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('--models', nargs='+', choices=MODELS, default=list(MODELS), help='default: all six')
    parser.add_argument('--batch-size', type=int, default=8, help='pictures in a step (default: 8)')
    parser.add_argument('--repeats', type=int, default=3, help='timed steps, of which the best counts (default: 3)')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1, ... (default: cpu)')
    parser.add_argument('--amp', action='store_true', help='bfloat16 autocast')
    parser.add_argument('--train-images', type=int, default=1_000_000, help='training split (default: 1000000)')
    parser.add_argument('--test-images', type=int, default=250_000, help='test split (default: 250000)')
    return parser.parse_args(arguments)


def measure(name: str, args: argparse.Namespace) -> tuple[float, float]:
    """Return seconds for one image of a training step and of a validation."""
    import torch
    from benchmark_train import make_batch

    from miqa.engine import load_config
    from miqa.registry import MODELS as REGISTRY
    from miqa.running.devices import usable_device

    device = usable_device(args.device)
    model = REGISTRY.build(load_config(CONFIGS / f'{name}_cls.py').model).to(device).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-6)
    batch = make_batch(model, args.batch_size, cached=False)

    def step() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=args.amp):
            loss = model(**model.data_preprocessor(batch, True), mode='loss')['loss']
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def validate() -> None:
        with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=args.amp):
            model(**model.data_preprocessor(batch, False), mode='predict')

    def best(call) -> float:
        clock = time.perf_counter if device.type == 'cuda' else time.process_time
        call()
        seconds = []
        for _ in range(args.repeats):
            if device.type == 'cuda':
                torch.cuda.synchronize(device)
            start = clock()
            call()
            if device.type == 'cuda':
                torch.cuda.synchronize(device)
            seconds.append(clock() - start)
        return min(seconds) / args.batch_size

    training = best(step)
    model.eval()
    return training, best(validate)


def main() -> None:
    """Measure and print."""
    args = parse_arguments()
    import torch
    from rich.console import Console
    from rich.table import Table

    if not args.device.startswith('cuda'):
        torch.set_num_threads(1)
    table = Table(title=f'{EPOCHS} epochs of {args.train_images:,} images and {VALIDATIONS} validations, {args.device}')
    for column in ('', 'training step, ms/image', 'validation, ms/image', 'hours'):
        table.add_column(column, justify='right' if column else 'left')
    for name in args.models:
        training, validation = measure(name, args)
        hours = (EPOCHS * args.train_images * training + VALIDATIONS * args.test_images * validation) / 3600
        table.add_row(name, f'{1000 * training:.2f}', f'{1000 * validation:.2f}', f'{hours:.1f}')
    Console().print(table)


if __name__ == '__main__':
    run_command(main)
