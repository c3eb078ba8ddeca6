#!/usr/bin/env python
"""Measure the loader: from image files and from packed pictures, beside a plain loader and beside decoding alone.

The plain loader decodes with Pillow and resizes with torchvision once for each view. Ours decodes with kornia-rs (else
OpenCV) where that gives the same pixels, resizes once with Pillow, and cuts both views out of the result; packed
pictures (tools/data/pack.py) are resized already. All load the same images in turn, in one thread; processor time
counts, because other programs disturb it less.

Without --data-root, a small database is made of photographs that installed packages ship (pip install -e '.[demo]'),
500 x 375 pixels, distorted by the project's own code.

Examples:
  python tools/analysis/benchmark_loader.py
  python tools/analysis/benchmark_loader.py --data-root data/miqd --task det --split val --images 500 --workers 8
"""

import argparse
import tempfile
from pathlib import Path

from miqa.taxonomy import TASKS
from miqa.utils.command_line import run_command


def main():
    """Parse the command line, run, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, help='a database (default: one of package photographs)')
    parser.add_argument('--task', choices=TASKS, default='cls')
    parser.add_argument('--split', choices=('train', 'val'), default='train')
    parser.add_argument('--images', type=int, default=200, help='images to load in each round (default: 200)')
    parser.add_argument('--rounds', type=int, default=5, help='default: 5')
    parser.add_argument('--workers', type=int, default=2, help='also measure a DataLoader with so many; 0: no')
    parser.add_argument('--scratch', type=Path, help='where to put temporary files, such as the packed split')
    args = parser.parse_args()
    from miqa.datasets.loader_benchmark import benchmark_loader, write_photo_database

    with tempfile.TemporaryDirectory(prefix='miqa_benchmark_', dir=args.scratch) as folder:
        folder = Path(folder)
        root = args.data_root
        if root is None:
            root = folder / 'database'
            write_photo_database(root, sources=10)
        benchmark_loader(root, args.task, args.split, folder / 'packed', args.images, args.rounds, args.workers)


if __name__ == '__main__':
    run_command(main)
