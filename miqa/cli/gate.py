"""``miqa gate``: fit a threshold that promises something, and say what a gate file promises."""

from __future__ import annotations

import argparse
import shlex
import sys

from miqa.outside.tables import TableError

_DESCRIPTION = """\
Fit a gate: the lowest threshold on the score for which, with the confidence that you ask for, the mean outcome of what
passes is at least the target.

The CSV file has one row for each calibration picture: its score, its outcome from 0 (your machine failed) to 1 (it did
well), and, where several pictures come from one source, what they belong to.

Where no threshold can promise it, it says so, and how many more pictures would do, and exits with status 3.
"""

#: Exit status where no threshold can promise what is asked: not a mistake of whoever asked, so scripts can go on.
_NO_GATE = 3
_EXAMPLES = """
Examples:
  miqa gate fit calibration.csv --out gate.json                              # columns score, outcome, group
  miqa gate fit calibration.csv --target 0.9 --group-column source --out gate.json
  miqa gate fit calibration.csv --max-false-alarms 0.05 --no-target --out gate.json
  miqa gate show gate.json
  miqa filter shots/ --gate gate.json --to good/
"""


def add_parser(subparsers) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        'gate',
        help='fit a gate',
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    verbs = parser.add_subparsers(dest='verb', metavar='fit|show', required=True)
    fit = verbs.add_parser('fit', help='fit a gate to a CSV file of scores and outcomes', description=_DESCRIPTION,
                           epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    fit.add_argument('csv', metavar='CSV', help='scores and outcomes of calibration pictures')
    fit.add_argument('--out', '-o', metavar='FILE', help='where the gate goes, such as gate.json (default: only print)')
    fit.add_argument('--overwrite', action='store_true', help='replace FILE if it is there')
    fit.add_argument('--target', type=float, default=0.95, metavar='MEAN',
                     help='lowest mean outcome of what passes (default: 0.95)')  # fmt: skip
    fit.add_argument('--no-target', action='store_true', help='promise nothing on the mean; needs --max-false-alarms')
    fit.add_argument('--confidence', type=float, default=0.95, metavar='P', help='of the promise (default: 0.95)')
    fit.add_argument('--max-false-alarms', type=float, metavar='SHARE',
                     help='stop at most this share of the pictures on which the machine did well')  # fmt: skip
    fit.add_argument('--good-from', type=float, default=0.5, metavar='OUTCOME',
                     help='outcome from which the machine did well (default: 0.5)')  # fmt: skip
    fit.add_argument('--score-column', default='score', metavar='NAME', help='default: score')
    fit.add_argument('--outcome-column', default='outcome', metavar='NAME', help='default: outcome')
    fit.add_argument('--group-column', metavar='NAME', help='default: group, if there is such a column')
    fit.add_argument(
        '--model-identity', metavar='TEXT', help='whose scores these are (default: what the column model says)'
    )
    fit.set_defaults(run=run_fit)
    show = verbs.add_parser('show', help='say what a gate file promises')
    show.add_argument('file', metavar='FILE')
    show.set_defaults(run=run_show)


def run_fit(args: argparse.Namespace) -> int:
    """Fit and write; returns the exit status."""
    from pathlib import Path

    from miqa.apis.gate_fit import NoGate, fit_gate

    if args.out and Path(args.out).exists() and not args.overwrite:
        raise FileExistsError(f'{args.out} is there already. Choose another name, or add --overwrite.')
    scores, outcomes, groups, model, left_out = read_calibration(
        args.csv, args.score_column, args.outcome_column, args.group_column
    )
    if left_out:
        print(f'{left_out} rows without a score or an outcome are left out.', file=sys.stderr)
    try:
        gate = fit_gate(
            scores,
            outcomes,
            target=None if args.no_target else args.target,
            confidence=args.confidence,
            groups=groups,
            max_false_alarms=args.max_false_alarms,
            good_from=args.good_from,
            model=args.model_identity or model,
        )
    except NoGate as error:
        print(f'Error: {error}', file=sys.stderr)
        return _NO_GATE
    print(gate.describe())
    if args.out:
        gate.save(args.out)
        print(
            f'Written to {args.out}. Use it: miqa filter FOLDER --gate {shlex.quote(args.out)} --to GOOD',
            file=sys.stderr,
        )
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Print the promise of a gate file; returns the exit status."""
    from miqa.apis.gate_fit import Gate

    print(Gate.load(args.file).describe())
    return 0


def read_calibration(path, score_column: str, outcome_column: str, group_column: str | None):
    """Read scores, outcomes, groups (or None), the model's identity (or None), and the number of rows left out.

    Raises:
        FileNotFoundError: there is no such file.
        TableError: it is not a CSV file, lacks a column, has a word where a number belongs, or names two models.
    """
    import numpy as np

    from miqa.outside.tables import id_of, number_of, read_table

    optional = [name for name in (None if group_column else 'group', 'model') if name]
    wanted = list(dict.fromkeys((score_column, outcome_column, *([group_column] if group_column else []))))
    try:
        table = read_table(path, wanted, 'CSV file', optional)
    except TableError as error:
        if 'has no column' in str(error):
            options = '--score-column, --outcome-column and --group-column'
            raise TableError(f'{error} Name the columns with {options}.') from None
        raise
    if group_column is None and any('group' in row for row in table.rows):
        group_column = 'group'
    scores, outcomes, groups, models = [], [], [], []
    for line, row in zip(table.lines, table.rows, strict=True):
        pair = []
        for column in (score_column, outcome_column):
            try:
                pair.append(number_of(row[column], table.decimal_comma))
            except ValueError:
                raise TableError(f'{path}, line {line}: {column} is {row[column]!r}, which is no number.') from None
        if np.isnan(pair).any():
            continue
        scores.append(pair[0])
        outcomes.append(pair[1])
        if group_column is not None:
            groups.append(id_of(row[group_column], f'{path}, line {line}: {group_column}'))
            if not groups[-1]:
                raise TableError(f'{path}, line {line}: {group_column} is empty. Name the group of every picture.')
        if row.get('model') and row['model'] not in models:
            models.append(row['model'])
    if len(models) > 1:
        raise TableError(f'{path} has scores of {len(models)} models: {", ".join(models[:3])}. Fit one gate for each.')
    left_out = len(table.rows) - len(scores)
    found = np.array(groups) if group_column is not None else None
    return np.array(scores, np.float64), np.array(outcomes, np.float64), found, next(iter(models), None), left_out
