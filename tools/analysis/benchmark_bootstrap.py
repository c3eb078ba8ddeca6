#!/usr/bin/env python
"""Measure how long the bootstrap of a full-size test set takes, and how much memory.

Examples:
  python tools/analysis/benchmark_bootstrap.py                                # 250,000 images, 16 methods
  python tools/analysis/benchmark_bootstrap.py --images 25000 --methods 2     # a quick look
"""

import argparse
import resource
import time

import numpy as np

from miqa.benchmark.bootstrap import MAX_SOURCES, SourceBootstrap
from miqa.evaluation import SCORES
from miqa.running.command_line import ToolParser, run_command


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('--images', type=int, default=250_000, help='test images (default: 250000)')
    parser.add_argument('--sources', type=int, default=1000, help='source images (default: 1000)')
    parser.add_argument('--methods', type=int, default=16, help='methods (default: 16)')
    parser.add_argument('--resamples', type=int, default=1000, help='resamples of all four scores (default: 1000)')
    return parser.parse_args(arguments)


def main() -> None:
    """Bootstrap random predictions and print time and memory."""
    args = parse_arguments()
    rng = np.random.default_rng(0)
    sources = np.arange(args.images) * args.sources // args.images
    # Labels of 75 voters are multiples of 1/75, with many ties; predictions have none.
    labels = np.round(rng.random(args.images) * 75) / 75
    start = time.perf_counter()
    bootstrap = SourceBootstrap(labels, sources, args.resamples)
    for number in range(args.methods):
        result = bootstrap.scores(labels + rng.normal(0, 0.2 + 0.05 * number, args.images))
        text = ', '.join(
            f'{name} {result.values[name]:.4f} [{low:.4f}, {high:.4f}]'
            for name, (low, high) in ((name, result.interval(name)) for name in SCORES)
        )
        print(f'{number + 1:3d}/{args.methods}  {time.perf_counter() - start:6.1f} s  {text}', flush=True)
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    kendall = args.resamples if args.sources <= MAX_SOURCES else min(200, args.resamples)
    print(
        f'{args.images:,} images of {args.sources:,} sources, {args.methods} methods: {args.resamples} resamples of '
        f'SRCC, PLCC and RMSE and {kendall} of KRCC in {seconds:.1f} s, {memory:.2f} GB at most, one process.'
    )


if __name__ == '__main__':
    run_command(main)
