"""``miqa gate``: make a gate, fit a threshold with a guarantee, show the guarantee of a gate."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys

from miqa.apis.command_options import add_source_options, check_sources, label_job
from miqa.keeping.files import try_folder, try_writing
from miqa.outside.tables import TableError
from miqa.running import require
from miqa.taxonomy import counted

DESCRIPTION = """\
A gate lets through the pictures that are good enough for your machine.

make: from a folder of pictures and a machine to a gate and a report on its worth, in one command.
fit:  the threshold with a guarantee, from scores and outcomes that you have already.
show: what a gate promises.
"""
_FIT_DESCRIPTION = """\
Fit a gate: the lowest threshold on the score for which, with the confidence that you ask for, the mean outcome of what
passes is at least the target.

The CSV file has one row for each calibration picture: its score, its outcome from 0 (your machine failed) to 1 (it did
well), and, where several pictures come from one source, what they belong to.

Where no threshold can promise it, it says so, and how many more pictures would do, and exits with status 3.
"""

_NO_GATE = 3  # Exit status if no threshold gives the requested guarantee: no user error, so scripts can continue
EXAMPLES = """
Examples:
  miqa gate make shots/ --machine yolox.onnx --annotations shots.json --out mygate/
  miqa filter new/ --gate mygate/ --to good/

  miqa gate fit calibration.csv --out gate.json                      # columns score, outcome, group, model
  miqa gate fit work_dirs/mine/test/predictions.csv --target 0.4 --out gate.json
  miqa gate fit calibration.csv --max-false-alarms 0.05 --no-target --out gate.json
  miqa gate show gate.json
  miqa filter shots/ --gate gate.json --to good/
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    verbs = parser.add_subparsers(dest='verb', metavar='make|fit|show', required=True)
    _add_make(verbs)
    fit = verbs.add_parser('fit', help='fit a gate to a CSV file of scores and outcomes', description=_FIT_DESCRIPTION,
                           epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    fit.add_argument('csv', metavar='CSV', help='scores and outcomes of calibration pictures')
    fit.add_argument('--out', '-o', metavar='FILE', help='output file, such as gate.json (default: only print)')
    fit.add_argument('--overwrite', action='store_true', help='replace FILE if it exists')
    fit.add_argument('--target', type=float, default=0.95, metavar='MEAN',
                     help='lowest mean outcome of what passes (default: 0.95)')  # fmt: skip
    fit.add_argument('--no-target', action='store_true', help='no guarantee on the mean; needs --max-false-alarms')
    fit.add_argument('--confidence', type=float, default=0.95, metavar='P', help='of the guarantee (default: 0.95)')
    fit.add_argument('--max-false-alarms', type=float, metavar='SHARE',
                     help='stop at most this share of the pictures on which the machine did well')  # fmt: skip
    fit.add_argument('--good-from', type=float, default=0.5, metavar='OUTCOME',
                     help='outcome from which the machine did well (default: 0.5)')  # fmt: skip
    fit.add_argument('--score-column', metavar='NAME', help='default: score, or prediction as miqa test calls it')
    fit.add_argument('--outcome-column', metavar='NAME', help='default: outcome, or ground_truth')
    fit.add_argument('--group-column', metavar='NAME', help='default: group, source or image, the first there is')
    fit.add_argument('--model-identity', metavar='TEXT', help='whose scores these are (default: the column model)')
    fit.set_defaults(run=run_fit)
    show = verbs.add_parser('show', help='show the guarantee of a gate')
    show.add_argument('file', metavar='GATE', help='file of `miqa gate fit`, or folder of `miqa gate make`')
    show.set_defaults(run=run_show)


_MAKE = """\
Make a gate for your machine from a folder of your pictures: damage them, run the machine, label its outputs,
train two small heads and say in a report what they are worth: one for before the machine runs (picture alone), one for
after (picture and answer). Stopped at any moment, the same command goes on.
"""
_MAKE_EXAMPLES = """
Examples:
  miqa gate make shots/ --machine yolox.onnx --annotations shots.json --out mygate/
  miqa gate make shots/ --task cls --machine resnet50 --out mygate/          # no annotations: consistency
  miqa gate make shots/ --task det --machine best.pt --pairs pairs.csv --out mygate/
  miqa gate make shots/ --task det --machine best.pt --annotations shots.json --unpaired --out mygate/

Then: open mygate/report.html, and
  miqa filter new/ --gate mygate/ --to good/                      # before the machine runs
  miqa filter new/ --gate mygate/ --machine yolox.onnx --to good/   # after: with the machine's answers
  miqa serve --gate mygate/
"""


def _add_make(verbs) -> None:
    from miqa.taxonomy import DATABASE_TASKS, DISTORTION_WORDS

    make = verbs.add_parser('make', help='make a gate from your pictures and your machine', description=_MAKE,
                            epilog=_MAKE_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    add_source_options(make)
    make.add_argument('--out', required=True, metavar='GATE', help='folder of the gate, new or unfinished')
    make.add_argument('--task', default='det', choices=DATABASE_TASKS, help='what the machine does (default: det)')
    make.add_argument('--evidence', metavar='NAME', help='machine whose outputs the gate reads (default: the first)')
    make.add_argument('--label', choices=('accuracy', 'consistency'), help='default: accuracy with annotations')
    make.add_argument('--versions', type=int, default=12, metavar='N',
                      help='of each picture: a balanced part of kinds and levels (default: 12)')  # fmt: skip
    make.add_argument('--distortions', nargs='+', default=['miqd', 'camera'], choices=DISTORTION_WORDS, metavar='NAME',
                      help='names, or families, as for `miqa label` (default: miqd camera)')  # fmt: skip
    make.add_argument('--target', type=float, metavar='MEAN',
                      help='lowest mean outcome of what passes (default: the best possible)')  # fmt: skip
    make.add_argument('--confidence', type=float, default=0.95, metavar='P', help='of the guarantee (default: 0.95)')
    make.add_argument('--network', metavar='FILE',
                      help='ONNX file with an output "features" (default: the packaged model)')  # fmt: skip
    make.add_argument('--seed', type=int, default=1234567, help='of distortions and folds (default: 1234567)')
    make.set_defaults(run=run_make)


def run_make(args: argparse.Namespace) -> int:
    """Make a gate; returns 3 where something was skipped or nothing can be promised."""
    from pathlib import Path

    from miqa.machines.library_names import check_machine_names

    check_sources(args.images, args.annotations, args.pairs)
    check_machine_names(args.machine, args.task)
    if not args.plan:
        try_folder(args.out)
    for package in ('torch',) if args.plan else ('torch', 'sklearn', 'onnx'):
        require(package, 'Making a gate')
    from miqa.apis.gate_model import AFTER, BEFORE
    from miqa.gates.make import REPORT, GateJob, begun, make_gate, packaged_network, plan_gate
    from miqa.labelling import ScoreOptions

    folder = Path(args.out)
    settings = (folder, args.label, args.evidence, args.target, args.confidence, args.network or packaged_network())
    database = label_job(
        args, folder / 'data', folder, check=lambda job: GateJob(job, *settings).check(), versions_each=args.versions,
        options=ScoreOptions('soft'),
    )  # fmt: skip
    job = GateJob(database, *settings)
    if args.plan or not begun(job):
        print(plan_gate(job), file=sys.stdout if args.plan else sys.stderr)
    if args.plan:
        return 0
    from miqa.gates.report import headline, write_gate_report

    result = make_gate(job, progress=not args.quiet)
    report = write_gate_report(result, folder / REPORT)
    for sentence in [*headline(result), *result.notes]:
        print(sentence)
    for head, gate in result.folder.thresholds.items():
        print(f'{head}: {gate.describe()} {result.promises.get(head, "")}'.rstrip())
    for sentence in result.database.skipped.lines():
        print(f'Skipped: {sentence}', file=sys.stderr)
    quoted = shlex.quote(str(folder))
    print(f'Report: {report}', file=sys.stderr)
    machine = shlex.quote(args.machine[0]) if args.evidence is None or len(args.machine) == 1 else 'MACHINE'
    for head, when, more in (
        (BEFORE, 'Before the machine runs', ''),
        (AFTER, 'With its answers', f' --machine {machine}'),
    ):
        if result.worth[head].srcc.value >= 0:  # else it is worse than nothing
            print(f'{when}: miqa filter FOLDER --gate {quoted}{more} --to GOOD', file=sys.stderr)
    return _NO_GATE if result.promises or result.database.skipped.count or result.samples.skipped else 0


def run_fit(args: argparse.Namespace) -> int:
    """Fit and write; returns the exit status."""
    from pathlib import Path

    import numpy as np

    from miqa.apis.gate_fit import NoGate, fit_gate
    from miqa.evaluation import falling_scores, quality_correlations
    from miqa.splits.enough import LEAST_SOURCES

    if args.out and Path(args.out).exists() and not args.overwrite:
        raise FileExistsError(f'{args.out} is there already. Choose another name, or add --overwrite.')
    if args.out:
        try_writing(args.out)
        if Path(args.out).exists():
            _check_ours(args.out)
    scores, outcomes, groups, model, skipped = read_calibration(
        args.csv, args.score_column, args.outcome_column, args.group_column
    )
    model = args.model_identity or model
    if args.out and model is None:
        raise TableError(
            f'{args.csv} does not say which model gave the scores: its column model is missing or empty. A promise '
            'holds for one model alone. Name it: --model-identity TEXT, as the column model of `miqa image '
            '--out` names it.'
        )
    if skipped:
        print(f'Skipped, without a score or an outcome: {counted(skipped, "row")}.', file=sys.stderr)
    try:
        gate = fit_gate(
            scores,
            outcomes,
            target=None if args.no_target else args.target,
            confidence=args.confidence,
            groups=groups,
            max_false_alarms=args.max_false_alarms,
            good_from=args.good_from,
            model=model,
        )
    except NoGate as error:
        print(f'Error: {error}', file=sys.stderr)
        return _NO_GATE
    print(gate.describe())
    if gate.groups < LEAST_SOURCES:
        print(
            f'Warning: the promise rests on {counted(gate.groups, "group")}; how much groups differ can hardly be seen '
            f'in fewer than {LEAST_SOURCES}.',
            file=sys.stderr,
        )
    if np.ptp(scores) and np.ptp(outcomes):
        srcc = quality_correlations(scores, outcomes, None)['SRCC']
        if warning := falling_scores('This gate', srcc):
            print(f'Warning: {warning}', file=sys.stderr)
    if args.out:
        gate.save(args.out)
        print(
            f'Written to {args.out} for the model {model}. Use it: miqa filter FOLDER --gate {shlex.quote(args.out)} '
            f'--to GOOD{_model_option(str(model), args.csv)}',
            file=sys.stderr,
        )
    return 0


def _model_option(identity: str, csv: str) -> str:
    """Return the options that choose the model of an identity: the file that was tested, or a name with its purpose."""
    from pathlib import Path

    from miqa.apis.methods import is_method_name
    from miqa.outside.json_text import read_settings

    with contextlib.suppress(OSError, ValueError):  # not predictions of `miqa test`
        metrics = read_settings(Path(csv).parent / 'metrics.json')
        tested = metrics.get('checkpoint') if isinstance(metrics, dict) else None
        if Path(csv).name == 'predictions.csv' and isinstance(tested, str) and Path(tested).exists():
            return f' --model {shlex.quote(tested)}'
    method, *purpose = identity.split('@')[0].split('/')
    if not purpose or not is_method_name(method):
        return ' --model NAME|FILE' if not purpose else ' --model FILE'
    options = f' --model {shlex.quote(method)}'
    for name, value in zip(('task', 'label'), purpose, strict=False):
        options += '' if value == 'unknown' else f' --{name} {shlex.quote(value)}'
    return options


def _check_ours(path: str) -> None:
    """Raise a ValueError if a file that is to be replaced is not a gate."""
    from miqa.outside.json_text import read_settings

    try:
        content = read_settings(path)
    except ValueError:
        content = None
    if not isinstance(content, dict) or set(content) != {'format', 'gate', 'sha256'}:
        raise ValueError(f'{path} is not a gate file, and --overwrite replaces only these. Name another file.')


def run_show(args: argparse.Namespace) -> int:
    """Print the promise of a gate file; returns the exit status."""
    from miqa.apis.gate_opening import gate_place
    from miqa.apis.gate_threshold import Gate

    place = gate_place(args.file)
    if not place.is_dir():
        print(Gate.load(place).describe())
        return 0
    from miqa.apis.gate_model import GateFolder

    folder = GateFolder.open(place)
    print(f'A gate for {folder.machine.name}, {folder.task}, {folder.label}.')
    for head, gate in folder.thresholds.items():
        print(f'{head}: {gate.describe()}')
    return 0


#: What our own files call the columns, in the order in which they are looked for: `miqa image`, miqa test. Rows of one
#: image are one picture, however often it is listed.
_COLUMNS = {
    'score': ('score', 'prediction'), 'outcome': ('outcome', 'ground_truth'), 'group': ('group', 'source', 'image'),
}  # fmt: skip


def read_calibration(path, score_column: str | None, outcome_column: str | None, group_column: str | None):
    """Read scores, outcomes, groups (or None), the model's identity (or None), and the number of rows skipped.

    Columns that are None go by the names that our own files give them.

    Raises:
        FileNotFoundError: there is no such file.
        TableError: it is not a CSV file, lacks a column, has a word where a number belongs, or names two models.
    """
    import numpy as np

    from miqa.outside.tables import id_of, number_of, read_table

    columns = {'score': score_column, 'outcome': outcome_column, 'group': group_column}
    every = {name for names in _COLUMNS.values() for name in names}
    needed = [name for name in columns.values() if name]
    table = read_table(path, needed, 'CSV file', [*sorted(every - set(needed)), 'model'])
    if not table.rows:
        raise TableError(f'{path} has no rows below its header.' if table.columns else f'{path} is empty.')
    present = set().union(*table.rows)
    column: dict[str, str | None] = {}
    for column_name, names in _COLUMNS.items():
        column[column_name] = columns[column_name] or next((name for name in names if name in present), None)
        if column[column_name] is None and column_name != 'group':
            raise TableError(
                f'{path} has no column {" or ".join(names)}. Name the columns with --score-column, --outcome-column '
                'and --group-column.'
            )
    if column['score'] == column['outcome']:
        raise TableError(f'The column {column["score"]} of {path} cannot be both the score and the outcome.')
    scores, outcomes, groups, models = [], [], [], []
    for line, row in zip(table.lines, table.rows, strict=True):
        pair = []
        for name in filter(None, (column['score'], column['outcome'])):
            try:
                pair.append(number_of(row[name], table.decimal_comma))
            except ValueError:
                raise TableError(f'{path}, line {line}: {name} is {row[name]!r}, which is not a number.') from None
        if np.isnan(pair).any():
            continue
        scores.append(pair[0])
        outcomes.append(pair[1])
        if column['group'] is not None:
            groups.append(id_of(row[column['group']], f'{path}, line {line}: {column["group"]}'))
            if not groups[-1]:
                raise TableError(f'{path}, line {line}: {column["group"]} is empty. Name the group of every picture.')
        if row.get('model', '') not in models:
            models.append(row.get('model', ''))
    if not scores:
        raise TableError(f'{path} has no row with both a score and an outcome.')
    if len(models) > 1:
        listed = ', '.join(model or 'a model without a name' for model in models[:3])
        raise TableError(f'{path} has scores of {len(models)} models: {listed}. Fit one gate for each.')
    skipped = len(table.rows) - len(scores)
    group_names = np.array(groups) if column['group'] is not None else None
    return np.array(scores, np.float64), np.array(outcomes, np.float64), group_names, models[0] or None, skipped
