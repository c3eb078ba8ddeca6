#!/usr/bin/env python
"""Make one HTML page of runs and benchmarks: tables, plots, worst predictions, configs, environment.

Examples:
  python tools/analysis/report.py work_dirs                                  # all runs and benchmarks in it
  python tools/analysis/report.py work_dirs/ra_miqa_cls_composite work_dirs/benchmark --out report.html
  python tools/analysis/report.py work_dirs --data-root /data/miqd           # where the database has moved

The page holds everything it shows and opens from disk, in a light and a dark look.
Pictures of the worst predictions and the filter curves need the database; without it the page says so.
"""

import argparse
import sys
from pathlib import Path

from miqa.evaluation import MAPPINGS
from miqa.keeping import keep_previous
from miqa.reports.html_report import write_report
from miqa.running.command_line import ToolParser, run_command


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('folders', nargs='+', metavar='WORK_DIR', help='runs, benchmarks, or folders that hold them')
    parser.add_argument('--out', default='work_dirs/report.html', help='the page (default: %(default)s)')
    parser.add_argument('--data-root', help='the database, where it is not where the runs say')
    parser.add_argument('--title', default='Image quality for machines', help='heading of the page')
    parser.add_argument('--mapping', choices=['none', *filter(None, MAPPINGS)], default='linear', help='before RMSE')
    return parser.parse_args(arguments)


def main() -> None:
    """Write the page."""
    args = parse_arguments()
    previous = keep_previous(args.out)
    try:
        path = write_report(
            args.folders, args.out, data_root=args.data_root, title=args.title,
            mapping=None if args.mapping == 'none' else args.mapping, report=lambda text: print(text, file=sys.stderr),
        )  # fmt: skip
    except BaseException:
        if previous:
            previous.rename(args.out)
        raise
    if previous:
        print(f'Kept the earlier page as {previous}.')
    print(f'Saved {path} ({path.stat().st_size / 1e6:.1f} MB). Open file://{Path(path).resolve()}')


if __name__ == '__main__':
    run_command(main)
