#!/usr/bin/env python
"""Measure the index: cold build, warm open and memory, beside a plain per-row scan of the same database.

The database is made up: SOURCES label files with VERSIONS rows each, and an empty file for every image (the index only
asks whether an image is there). At the default size that is 4,000 label files and 1,000,000 images; making them takes
about a minute, and they are removed at the end unless --keep is given.

The plain scan is what a simple loader does: read each label file with pandas, go through its rows with iterrows, and
ask os.path.exists for each image. Each is timed in a process of its own, with the files in the page cache.

Examples:
  python tools/analysis/benchmark_index.py
  python tools/analysis/benchmark_index.py --sources 400 --task det      # a tenth, quickly
  python tools/analysis/benchmark_index.py --root /scratch/fake --keep   # keep the files for the next run
"""

import argparse
import tempfile
from pathlib import Path

from miqa.utils.command_line import run_command


def main():
    """Parse the command line, run, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--task', choices=('cls', 'det', 'ins'), default='cls')
    parser.add_argument('--sources', type=int, default=4000, help='label files per label kind (default: 4000)')
    parser.add_argument('--versions', type=int, default=250, help='rows per label file, at most 250 (default: 250)')
    parser.add_argument('--workers', type=int, default=2, help='worker processes whose memory is measured (default: 2)')
    parser.add_argument('--root', type=Path, help='where to make the database (default: a temporary folder)')
    parser.add_argument('--keep', action='store_true', help='do not remove the database (needs --root)')
    args = parser.parse_args()
    if args.keep and args.root is None:
        parser.error('--keep needs --root.')
    from miqa.datasets.index_benchmark import benchmark_index

    if args.keep:
        benchmark_index(args.root, args.task, args.sources, args.versions, args.workers)
        return
    with tempfile.TemporaryDirectory(prefix='miqa_benchmark_', dir=args.root) as folder:
        benchmark_index(Path(folder), args.task, args.sources, args.versions, args.workers)


if __name__ == '__main__':
    run_command(main)
