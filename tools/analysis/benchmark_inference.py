#!/usr/bin/env python
"""Measure how fast a model scores image files on this machine.

One run compares, in turns: one image at a time with a resize for each view (as the released demo script does it);
one at a time with this package; folders in batches of 1, 8 and 32; PyTorch and ONNX Runtime; with latencies.

Examples:
  python tools/analysis/benchmark_inference.py --model demo
  python tools/analysis/benchmark_inference.py --weights work_dirs/x/best.pth --images shots/ --out speed.json
  python tools/analysis/benchmark_inference.py --model ra-miqa --device cuda --precision bf16 --count 256
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from miqa.apis.benchmark import benchmark, make_pictures
from miqa.apis.commands.options import add_model_options, load_model
from miqa.apis.files import find_images
from miqa.utils import write_json
from miqa.utils.allocator import keep_freed_memory
from miqa.utils.command_line import run_command


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--images', nargs='+', metavar='PATH', help='images or folders (default: made, 1280 x 960 JPEG)'
    )
    parser.add_argument('--count', type=int, default=64, help='how many images (default: 64)')
    parser.add_argument('--batch-sizes', type=int, nargs='+', default=[1, 8, 32], metavar='N', help='default: 1 8 32')
    parser.add_argument('--repeats', type=int, default=3, help='rounds, of which the median counts (default: 3)')
    parser.add_argument('--no-onnx', action='store_true', help='leave out ONNX Runtime')
    parser.add_argument('--out', metavar='FILE', help='also write the figures as JSON')
    add_model_options(parser)
    return parser.parse_args()


def show(title: str, rows: list[dict]) -> None:
    """Print rows as a table."""
    table = Table(title=title, title_justify='left')
    names = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    for name in names:
        table.add_column(name.replace('_', ' '), justify='left' if name in ('way', 'runtime') else 'right')
    for row in rows:
        cells = (row.get(name, '') for name in names)
        table.add_row(*(f'{cell:.2f}' if isinstance(cell, float) else str(cell) for cell in cells))
    Console(width=None if Console().is_terminal else 130).print(table)


def main() -> None:
    """Measure and print."""
    keep_freed_memory()  # as `miqa image` does
    args = parse_arguments()
    model = load_model(args)
    with tempfile.TemporaryDirectory() as folder:
        if args.images:
            paths = list(itertools.islice(itertools.cycle(list(find_images(args.images))), args.count))
        else:
            print(f'Making {args.count} pictures ...', file=sys.stderr)
            paths = make_pictures(Path(folder), args.count)

        def progress(step: str) -> None:
            print(f'Measuring: {step}', file=sys.stderr)

        found = benchmark(model, paths, args.batch_sizes, args.repeats, not args.no_onnx, progress)
    about = f'{found["model"]}, {found["device"]}, {found["precision"]}, {found["threads"]} threads'
    show(f'Files to scores: {found["images"]} images, {about}', found['files'])
    show('Network alone, pixels to scores', found['network'])
    if args.out:
        write_json(args.out, found)
        print(f'Saved {args.out}.')


if __name__ == '__main__':
    run_command(main)
