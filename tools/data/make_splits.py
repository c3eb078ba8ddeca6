#!/usr/bin/env python
"""Divide the sources of your own database into train and val at random, and write the two split files.

A source goes to one side with all its distorted versions, so that a model is tested on pictures that it has never seen.
Sources are those that have label files. Existing split files are never overwritten. For MIQD-2.5M itself, fetch the
official files with tools/data/download_splits.py: other splits give other numbers than the paper's.
"""

from miqa.layout import split_path
from miqa.running.command_line import ToolParser, run_command
from miqa.splits.writing import make_splits
from miqa.taxonomy import DATABASE_TASKS

EPILOG = """\
examples:
  python tools/data/make_splits.py data/mine --task cls
  python tools/data/make_splits.py data/mine --task det --val-share 0.1 --seed 7     # serves ins too
"""


def main():
    """Parse the command line and write."""
    parser = ToolParser(description=__doc__, epilog=EPILOG)
    parser.add_argument('data_root', help='the database, with label files')
    parser.add_argument('--task', required=True, choices=DATABASE_TASKS)
    parser.add_argument(
        '--val-share', '--held-out', type=float, default=0.2, help='share of the sources for val (default: 0.2)'
    )
    parser.add_argument('--seed', type=int, default=0, help='decides which sources (default: 0)')
    args = parser.parse_args()
    for split, sources in make_splits(args.data_root, args.task, args.val_share, args.seed).items():
        print(f'{split_path(args.data_root, args.task, split)}: {len(sources)} sources.')


if __name__ == '__main__':
    run_command(main)
