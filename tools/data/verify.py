#!/usr/bin/env python
"""Check that a database is whole, and print a report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from miqa.labelling.verify import verify_database
from miqa.running.command_line import ToolParser, process_count, run_command
from miqa.taxonomy import DATABASE_TASKS

EPILOG = """\
examples:
  python tools/data/verify.py DATA --task cls                        # names, sizes, responses, labels, splits
  python tools/data/verify.py DATA --task det --decode     # also decode every image
  python tools/data/verify.py DATA --task det --checksums  # also compare every byte with the records

exit status: 0 if all is well, 1 if something is wrong.
"""


def main() -> None:
    """Check the tasks asked for."""
    parser = ToolParser(description=__doc__, epilog=EPILOG)
    parser.add_argument('data_root', help='the database')
    parser.add_argument('--task', required=True, nargs='+', choices=DATABASE_TASKS)
    parser.add_argument('--decode', action='store_true', help='decode every image')
    parser.add_argument('--checksums', action='store_true', help='read every file and compare it with the records')
    parser.add_argument('--jobs', '--workers', type=process_count, default=-1, help='processes (default: one per core)')
    args = parser.parse_args()
    sys.exit(not verify(args.data_root, args.task, args.decode, args.checksums, args.jobs))


def verify(root: str | Path, tasks: Sequence[str], decode=False, checksums=False, jobs=-1) -> bool:
    """Check tasks of a database and print what is found; return True if all is well."""
    reports = {}
    for task in tasks:
        report = reports[task] = verify_database(root, task, decode=decode, checksums=checksums, jobs=jobs)
        print(f'{task}:', *report.facts, *(f'PROBLEM: {problem}' for problem in report.problems), sep='\n  ')
        print('  all is well' if not report.problems else f'  {len(report.problems)} lines of problems')
    return not any(report.problems for report in reports.values())


if __name__ == '__main__':
    run_command(main)
