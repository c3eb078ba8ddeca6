#!/usr/bin/env python
"""Measure a training step of RA-MIQA: images per second and memory, with the frozen encoder in the loop and without.

Three things are compared in one run: the step that computes region features, the step that gets them from a cache
(tools/data/cache_region_features.py), and the limit: what the step's matrix products and convolutions would take at the
rate that one large matrix product reaches on this machine. The two libraries that can compute the region encoder
are timed too. Weights and pictures are random; nothing is downloaded. Close other programs first.

Examples:
  python tools/analysis/benchmark_train.py                              # CPU: about a minute
  python tools/analysis/benchmark_train.py --device cuda --batch-size 128 --repeats 20 --amp
  python tools/analysis/benchmark_train.py --config configs/mini/ra_miqa_cls.py --batch-size 16
"""

import argparse
from pathlib import Path

from miqa.utils.command_line import run_command

CONFIG = Path(__file__).parents[2] / 'configs' / 'ra_miqa_cls.py'


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', default=CONFIG, help='config of an RA-MIQA (default: configs/ra_miqa_cls.py)')
    parser.add_argument('--batch-size', '--batch_size', type=int, default=4, help='pictures in a step (default: 4)')
    parser.add_argument('--repeats', type=int, default=4, help='timed steps of each kind (default: 4)')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1, ... (default: cpu)')
    parser.add_argument('--threads', type=int, help='CPU threads (default: as PyTorch chooses)')
    parser.add_argument('--amp', action='store_true', help='bfloat16 autocast')
    parser.add_argument('--out', type=Path, help='write the figures as JSON')
    return parser.parse_args()


def main():
    """Measure and print."""
    args = parse_arguments()
    import torch
    from rich.console import Console
    from rich.table import Table

    from miqa.engine import load_config
    from miqa.models.step_benchmark import benchmark_encoders, benchmark_step
    from miqa.utils import write_json

    if args.threads:
        torch.set_num_threads(args.threads)
    config = load_config(args.config).model
    if config.network.type != 'RAMIQA':
        raise ValueError(f'{args.config} is no config of an RA-MIQA: its network is {config.network.type}.')
    result = benchmark_step(config, args.batch_size, args.repeats, args.device, args.amp)
    result['machine'] = {'device': args.device, 'threads': torch.get_num_threads(), 'torch': torch.__version__}

    console = Console()
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
