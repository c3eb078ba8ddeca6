"""``miqa benchmark-pairs``: how well scores predict what real damage costs machines."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from miqa.apis.command_options import SOME_FAILED, check_model_options
from miqa.keeping.files import try_folder
from miqa.taxonomy import check_choice, counted

DESCRIPTION = """\
Compare scores on pictures of the same scenes in good and bad conditions, matched by name.

The label of a scene is how far the machines keep their output for the good picture when given the bad one. The probe,
a machine that makes no labels, gives two rows: its confidence, and with both pictures the limit of what can be known.
"""
EXAMPLES = """
Examples:
  miqa benchmark-pairs good/ bad/                           # the model in the package
  miqa benchmark-pairs 'sets/*/good' 'sets/*/bad' --model demo mine/best.pth --out work_dirs/pairs   # several sets
  miqa benchmark-pairs good/ bad/ --half odd --model demo   # every other scene: choose on one half, show the other
  miqa benchmark-pairs good/ bad/ --task det --machine yolox.onnx --probe nanodet.onnx --measures sharpness
"""

#: Classifiers with packaged weights: two make the labels, and a third is the probe.
_MACHINES, _PROBE = ('tf_efficientnet_lite1', 'tf_efficientnet_lite2'), 'tf_efficientnet_lite0'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument('good', metavar='GOOD', help="folder, or a quoted pattern such as 'sets/*/good'")
    parser.add_argument('bad', metavar='BAD', help='folder or pattern of the same scenes in bad conditions')
    parser.add_argument(
        '--model', '-m', nargs='+', metavar='NAME|FILE',
        help='models to compare (default: miqa-lite)',
    )  # fmt: skip
    parser.add_argument('--task', choices=('cls', 'det', 'ins'), default='cls', help='of the machines (default: cls)')
    parser.add_argument(
        '--machine', nargs='+', metavar='MACHINE',
        help=f'make the labels, as in miqa label (default for cls: {" ".join(_MACHINES)})',
    )  # fmt: skip
    parser.add_argument('--probe', metavar='MACHINE', help=f'another machine (default for cls: {_PROBE})')
    parser.add_argument(
        '--measures', nargs='*', default=['sharpness'], metavar='MEASURE',
        help='of single pictures: sharpness (variance of the Laplacian, the default), brightness, contrast, ...',
    )  # fmt: skip
    parser.add_argument('--half', choices=('even', 'odd'), help='only scenes whose number (last digits) is even or odd')
    parser.add_argument('--out', '-o', metavar='DIR', help='write tables (CSV, JSON), a picture and a page (HTML)')
    parser.add_argument('--resamples', type=int, default=2000, help='of the bootstrap over scenes (default: 2000)')
    parser.add_argument('--device', help='cpu, cuda, cuda:1 (default: a GPU where there is one)')
    parser.add_argument('--quiet', '-q', action='store_true', help='no progress bar')


def run(args: argparse.Namespace) -> int:
    """Compare; returns the exit status."""
    from miqa.benchmark.pairs import find_pairs, score_pairs, summarise
    from miqa.machines.library_names import check_machine_names
    from miqa.pictures.finding import SkippedFiles

    if args.resamples < 100:
        raise ValueError(f'--resamples {args.resamples} gives no intervals; take at least 100.')
    if args.task != 'cls' and not (args.machine and args.probe):
        raise ValueError(f'--task {args.task} needs --machine and --probe: detectors that are not packaged.')
    skipped = SkippedFiles()
    pairs = find_pairs(args.good, args.bad, skipped)
    if args.half:
        pairs = [pair for pair in pairs if _number(pair.scene) % 2 == ('even', 'odd').index(args.half)]
        if not pairs:
            raise ValueError(f'No scene has an {args.half} number.')

    if args.model is None:
        args.model = ['miqa-lite']
    check_machine_names([*(args.machine or ()), *filter(None, [args.probe])], args.task)
    for name in args.model:
        check_model_options(argparse.Namespace(model=name, weights=None))
    if args.out:
        try_folder(args.out)

    from tqdm import tqdm

    from miqa.benchmark.baselines.measures import build_measure, is_measure_name
    from miqa.benchmark.baselines.rivals import RIVALS
    from miqa.labelling.recognised_machines import complete_configs, trial_of_pictures
    from miqa.machines import build_machine, machine_configs_of
    from miqa.reports.pairs_report import markdown_table, write_pairs_report
    from miqa.running.devices import usable_device

    device = str(usable_device(args.device))
    measures = {}
    for name in args.measures:
        if not is_measure_name(name):
            check_choice(name, RIVALS, 'measure of single pictures')
        measure = build_measure(name, device)
        if measure.needs_reference:
            raise ValueError(f'{name} compares with the clean picture; name measures of single pictures.')
        measures[name] = lambda image, measure=measure: float(measure.measure([image], None)[0])
    configs = [
        *machine_configs_of(args.machine or _MACHINES, args.task),
        *machine_configs_of([args.probe or _PROBE], args.task)[:1],
    ]
    configs = complete_configs(
        configs, lambda: trial_of_pictures([pair.good for pair in pairs]), report=partial(print, file=sys.stderr)
    )
    *machines, probe = (build_machine(config, device) for config in configs)
    if probe.name in {machine.name for machine in machines}:
        raise ValueError(f'{probe.name} makes the labels, so it cannot be the probe too. Name another: --probe MACHINE')
    failed: list[str] = []
    scorers = {name: _scorer(name, args, failed) for name in args.model}
    with tqdm(total=len(pairs), unit='pair', disable=args.quiet or None) as bar:
        scores = score_pairs(pairs, machines, probe, scorers, measures, bar.update)
    summary = summarise(scores, args.resamples)
    names = {
        'labels': ', '.join(machine.name for machine in machines), 'probe': probe.name, 'task': args.task,
        'scenes': args.half or 'all',
    }  # fmt: skip
    sets = scores.table['set'].nunique()
    count = f'{counted(len(scores.table), "pair")} in {counted(sets, "set")}'
    print(f'{count}; labels by {names["labels"]}; probe {probe.name}')
    print(markdown_table(summary))
    if args.out:
        write_pairs_report(Path(args.out), scores, summary, names)
        print(f'Saved {args.out}/report.html and its tables.', file=sys.stderr)
    without = [
        f'{name} has no value for {len(scores.table) - count} of {len(scores.table)} pairs; its row is of the others'
        for name, count in summary['scenes'].items()
        if count < len(scores.table)
    ]
    for sentence in [*skipped.lines(), *scores.skipped, *failed, *without]:
        print(f'Skipped: {sentence}', file=sys.stderr)
    return SOME_FAILED if skipped.count or scores.skipped or failed else 0


def _number(scene: str) -> int:
    digits = re.findall(r'\d+', scene)
    if not digits:
        raise ValueError(f'The scene {scene} has no number in its name, so --half cannot choose.')
    return int(digits[-1])


def _scorer(name: str, args: argparse.Namespace, failed: list[str]) -> Callable[[list[str]], Iterator[float]]:
    from miqa.apis import MIQAModel

    model = MIQAModel(name, task=args.task if args.task != 'cls' else None, device=args.device)

    def score(paths: list[str]) -> Iterator[float]:
        for result in model.assess_all(paths):
            if result.error is not None:
                failed.append(f'{name}: {result.error}')
            yield float('nan') if result.score is None else result.score

    return score
