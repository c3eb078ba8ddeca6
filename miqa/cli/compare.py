r"""``miqa compare``: compare ways of scoring the same test images."""

from __future__ import annotations

import argparse
import sys

from miqa.apis.command_options import SOME_FAILED
from miqa.keeping.files import try_folder
from miqa.running.command_line import process_count
from miqa.running.requirements import require
from miqa.taxonomy import DATABASE_TASKS, LABELS

DESCRIPTION = r"""Compare ways of scoring the same test images: a table, a scatter plot of each,
and what filtering by each gains.

Examples:
  miqa compare data/demo --out work_dirs/comparison --methods PSNR SSIM \
      max_probability:tf_efficientnet_lite0 'RA-MIQA=work_dirs/ra_miqa_cls_composite/test/predictions.csv'
  miqa compare /data/miqd --task det --label accuracy --out work_dirs/comparison_det \
      --methods SSIM 'ours=configs/ra_miqa_det.py:work_dirs/ra_miqa_det_accuracy/best.pth'

A method is name=predictions.csv (from miqa test), name=CONFIG:CHECKPOINT, a measure of human vision (PSNR, SSIM) or
the confidence of a machine with stored responses. In a clone of the repository, tools/analysis/benchmark.py --help
lists all forms; it prints the paper's tables for all tasks and labels. The filter curve removes the lowest-scored
0 to 70% of the images and shows how well the machines do on the rest.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument('data_root', metavar='DATA', help='folder with miqa_cls/ ... and splits/')
    parser.add_argument('--methods', nargs='+', required=True, metavar='METHOD', help='what to compare, see above')
    parser.add_argument('--task', choices=DATABASE_TASKS, default='cls', help='default: cls')
    parser.add_argument('--label', choices=LABELS, default='composite', help='default: composite')
    parser.add_argument('--split', choices=('val', 'all'), default='val', help='all: for a cross-validation (val)')
    parser.add_argument('--out', default='work_dirs/comparison', help='default: %(default)s')
    parser.add_argument(
        '--mapping', choices=('none', 'linear', 'logistic4', 'logistic5'), default='linear', help='map before RMSE'
    )
    parser.add_argument('--resamples', type=int, default=1000, help='bootstrap resamples (default: 1000)')
    parser.add_argument('--jobs', '--workers', type=process_count, default=-1, help='processes (default: one per core)')


def run(args: argparse.Namespace) -> int:
    """Compare as the command line says; returns 3 where a method could not be scored."""
    require('pandas', 'Comparing methods')
    from miqa.benchmark.baselines import read_test_images
    from miqa.benchmark.methods import parse_methods
    from miqa.benchmark.run import run_benchmark
    from miqa.reports.comparison import print_comparison, save_comparison
    from miqa.running.allocator import keep_freed_memory

    keep_freed_memory()
    try_folder(args.out)
    methods = parse_methods(args.methods, args.data_root, [args.task])
    benchmark = run_benchmark(
        args.data_root,
        methods,
        [args.task],
        [args.label],
        mapping=None if args.mapping == 'none' else args.mapping,
        resamples=args.resamples,
        split=args.split,
        report=lambda text: print(text, file=sys.stderr),
        jobs=args.jobs,
    )
    print_comparison(benchmark, args.task, args.label)
    images = read_test_images(args.data_root, args.task, args.split)
    for path in save_comparison(benchmark, images, args.task, args.label, args.out):
        print(f'Saved {path}')
    return SOME_FAILED if (benchmark.cells.failure != '').any() else 0
