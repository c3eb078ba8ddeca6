#!/usr/bin/env python
r"""Print the paper's Table 1 and Table 2 for a database: our numbers, the published ones and the difference.

With a case as first word it measures time and memory on this computer instead; `benchmark.py CASE --help` says how:

{cases}

Examples:
  # MIQD-2.5M with the authors' weights, one file for each task and label
  python tools/analysis/benchmark.py /data/miqd --labels composite --methods PSNR SSIM VSI LPIPS DISTS \
      'RA-MIQA=configs/ra_miqa_{task}.py:weights/miqa_ra_miqa_{task}_{label}_metric.pth.tar'

  # predictions that tools/test.py has written already, and the confidence of a classifier that has answered
  python tools/analysis/benchmark.py DATA --tasks cls --methods SSIM confidence:tf_efficientnet_lite0 \
      'ours=work_dirs/mini_ra_miqa_cls_{label}/test/predictions.csv'

A method is name=predictions.csv or name=CONFIG:CHECKPOINT (name@MACHINE=... where it runs a machine inside, as
response-aware models do), a measure of human vision (PSNR SSIM VSI LPIPS DISTS HyperIQA MANIQA, or pyiqa:NAME), a rival
that needs no training (sharpness brightness contrast blur-exposure tta:CLASSIFIER ccs:MACHINES.py encoder:MODEL), or
the confidence of a machine with stored responses (max_probability:MACHINE, negative_entropy:MACHINE, energy:MACHINE,
mean_score:MACHINE, sum_scores:MACHINE, expected_count:MACHINE, or confidence:MACHINE for all of them). Paths may hold
{task} and {label}. A method that is named as in the paper (RA-MIQA, ResNet-50, ...) gets the published numbers beside
its own. One that cannot be scored stays there, with the reason.

Measures are kept beside the images (or in the user's cache) and continued after an interruption.
HyperIQA, MANIQA and pyiqa:NAME need pyiqa (pip install pyiqa), whose licence does not allow commercial use.
"""

import argparse
import importlib
import re
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from miqa.benchmark.gains import gains_of
from miqa.benchmark.methods import parse_methods
from miqa.benchmark.run import run_benchmark
from miqa.evaluation import MAPPINGS
from miqa.keeping import only_writer, write_json
from miqa.reports.benchmark_sections import save_figures
from miqa.reports.benchmark_tables import write_benchmark, write_gains
from miqa.running.allocator import keep_freed_memory
from miqa.running.command_line import SAME_AGAIN, ConfigOptions, ToolParser, run_command
from miqa.running.devices import usable_device
from miqa.taxonomy import DATABASE_TASKS, LABELS

#: Case -> what it measures; each is a module in ``cases/``.
CASES = {
    'decoding': 'reading one picture in three ways',
    'distortions': 'megapixels a second of each distortion',
    'files': 'scoring files, one at a time and in batches',
    'fidelity': 'quality measures of a version, beside piq and pyiqa',
    'hours': "training the paper's methods, extrapolated",
    'index': 'building and opening the index of a database',
    'inference': 'scoring in each runtime and number format',
    'loader': 'loading pictures for training, beside a plain loader',
    'service': 'the HTTP endpoint under load',
    'tasks': 'three tasks in one pass',
    'train': 'a training step with each technique',
    'video': 'reading and scoring a video, with its memory',
}


def run_case(name: str, words: list[str]) -> None:
    """Parse the options of a case, measure, print its tables and write its figures.

    Args:
        name: one of :data:`CASES`. Its module yields (title, rows) from ``run(args)`` as soon as they are measured.
        words: the options.
    """
    args, tables = parse_case(name, words), {}
    for title, rows in importlib.import_module(f'cases.{name}').run(args):
        tables[title] = rows
        importlib.import_module('cases.timing').show(title, rows)
        if args.out:
            write_json(args.out, tables)


def parse_case(name: str, words: list[str]) -> argparse.Namespace:
    """Read the options of a case."""
    case = importlib.import_module(f'cases.{name}')
    parser = ToolParser(prog=f'benchmark.py {name}', description=case.__doc__)
    parser.add_argument('--repeats', type=int, default=3, help='rounds; the median counts (default: %(default)s)')
    parser.add_argument('--out', metavar='FILE', help='also write the figures as JSON')
    case.add_options(parser)
    args = parser.parse_args(words)
    if args.repeats < 1:
        parser.error('--repeats must be at least 1.')
    return args


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line, of the tables or of a case."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words and words[0] in CASES:
        return parse_case(words[0], words[1:])
    cases = '\n'.join(f'  {name:12} {about}' for name, about in CASES.items())
    parser = ToolParser(description=__doc__.replace('{cases}', cases))
    parser.add_argument('data_root', metavar='DATA', help='folder with miqa_cls/ ... and splits/')
    parser.add_argument('--methods', nargs='+', required=True, metavar='METHOD', help='rows of the tables, see above')
    parser.add_argument('--tasks', '--task', nargs='+', choices=DATABASE_TASKS, help="default: the database's")
    parser.add_argument('--labels', '--label', nargs='+', choices=LABELS, default=list(LABELS), help='default: all')
    parser.add_argument('--split', choices=('val', 'all'), default='val', help='all: for a cross-validation (val)')
    parser.add_argument('--out', default='work_dirs/benchmark', help='folder of the results (default: %(default)s)')
    parser.add_argument('--mapping', choices=['none', *filter(None, MAPPINGS)], default='linear', help='before RMSE')
    parser.add_argument('--resamples', type=int, default=1000, help='bootstrap resamples (default: 1000)')
    parser.add_argument('--seed', type=int, default=0, help='of the bootstrap (default: 0)')
    parser.add_argument('--missing', choices=['error', 'skip'], default='error', help='images that are not there')
    parser.add_argument('--cache', help='folder of measured baselines (default: beside the images)')
    parser.add_argument('--device', default='cpu', help="where the baselines' networks run (default: cpu)")
    parser.add_argument('--jobs', '--workers', type=int, default=-1, help='processes (default: one per core)')
    parser.add_argument('--plots', action='store_true', help='also draw intervals and filter curves as PNG files')
    parser.add_argument(
        '--gains-of', metavar='NAME', help='also compare this method with the best confidence, by kind of damage'
    )
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='config keys for CONFIG:CHECKPOINT')
    return parser.parse_args(arguments)


def main() -> None:
    """Run the benchmark and print its tables, or measure a case."""
    if sys.argv[1:2] and sys.argv[1] in CASES:
        run_case(sys.argv[1], sys.argv[2:])
        return
    args = parse_arguments()
    keep_freed_memory()
    tasks = args.tasks or [
        task for task in DATABASE_TASKS if (Path(args.data_root) / f'miqa_{task}' / 'labels').is_dir()
    ]
    if not tasks:
        raise FileNotFoundError(f'{args.data_root} has no labels: expected miqa_cls/labels, miqa_det/labels, ...')
    Path(args.out).mkdir(parents=True, exist_ok=True)
    with only_writer(args.out, 'name another --out'):
        run(args, tasks)


def run(args: argparse.Namespace, tasks: list[str]) -> None:
    """Run the benchmark on these tasks, save and print its tables."""
    benchmark = run_benchmark(
        args.data_root, parse_methods(args.methods, args.data_root, tasks), tasks, args.labels,
        mapping=None if args.mapping == 'none' else args.mapping, resamples=args.resamples, seed=args.seed,
        missing=args.missing, split=args.split, report=lambda text: print(text, file=sys.stderr), cache=args.cache,
        device=str(usable_device(args.device)), jobs=args.jobs, options=args.cfg_options,
    )  # fmt: skip
    command = ' '.join(shlex.quote(word) for word in ['python', 'tools/analysis/benchmark.py', *sys.argv[1:]])
    paths = write_benchmark(benchmark, args.out, command)
    if args.plots:
        paths += save_figures(Path(args.out))
    text = paths[0].read_text(encoding='utf-8')
    if args.gains_of:
        table = gains_of(benchmark, args.gains_of)
        paths.append(write_gains(table, args.gains_of, Path(args.out)))
        text += '\n' + paths[-1].read_text(encoding='utf-8')
    if Console().is_terminal:
        Console().print(Markdown(re.sub('</?(sub|u)>', '', text.replace('<br>', ' '))))
    else:
        print(text)
    print('Saved ' + ', '.join(map(str, paths)) + '.')


if __name__ == '__main__':
    run_command(main, '' if sys.argv[1:2] and sys.argv[1] in CASES else SAME_AGAIN)
