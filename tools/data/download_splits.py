#!/usr/bin/env python
"""Fetch the official split files of MIQD-2.5M from their authors' repository, checked by SHA-256.

They go to DATA/splits: miqa_cls_train.csv (4,000 sources), miqa_cls_val.csv (1,000), miqa_det_train.csv (4,000) and
miqa_det_val.csv (952); ins uses det's. Files of your own are never overwritten. Without a connection, the message says
which file to put where.
"""

from miqa.running.command_line import SAME_AGAIN, ToolParser, run_command
from miqa.splits.writing import OFFICIAL_URL, download_splits
from miqa.taxonomy import TASKS

EPILOG = """\
examples:
  python tools/data/download_splits.py data/miqd
  python tools/data/download_splits.py data/miqd --task det
  python tools/data/download_splits.py data/miqd --url https://mirror.example.org/miqa_splits
"""


def main():
    """Parse the command line and fetch."""
    parser = ToolParser(description=__doc__, epilog=EPILOG)
    parser.add_argument('data_root', help='the database; DATA/splits is made')
    parser.add_argument('--task', nargs='+', choices=TASKS, default=TASKS, help='default: all')
    parser.add_argument('--url', default=OFFICIAL_URL, help='another address of the folder with the four files')
    args = parser.parse_args()
    for path in download_splits(args.data_root, args.task, args.url):
        print(f'{path}: the official file.')


if __name__ == '__main__':
    run_command(main, SAME_AGAIN)
