#!/usr/bin/env python
r"""Compare ways of scoring the same test images: a table, a scatter plot of each, and what filtering by each gains.

Examples:
  python tools/analysis/compare.py data/demo --out work_dirs/comparison --methods PSNR SSIM \
      max_probability:tf_efficientnet_lite0 'RA-MIQA=work_dirs/ra_miqa_cls_composite/test/predictions.csv'
  python tools/analysis/compare.py /data/miqd --task det --label accuracy --out work_dirs/comparison_det \
      --methods SSIM 'ours=configs/ra_miqa_det.py:work_dirs/ra_miqa_det_accuracy/best.pth'

A method is name=predictions.csv (from tools/test.py), name=CONFIG:CHECKPOINT, a measure of human vision (PSNR, SSIM) or
the confidence of a machine with stored responses; tools/analysis/benchmark.py lists all forms, and prints the
paper's tables for all tasks and labels. The filter curve removes the lowest-scored 0 to 70% of the images and shows
how well the machines do on the rest.
"""

import argparse
import sys

from miqa.benchmark.baselines import read_test_images
from miqa.benchmark.methods import parse_methods
from miqa.benchmark.run import run_benchmark
from miqa.evaluation import MAPPINGS
from miqa.reports.comparison import print_comparison, save_comparison
from miqa.running.allocator import keep_freed_memory
from miqa.running.command_line import SAME_AGAIN, ToolParser, run_command
from miqa.taxonomy import DATABASE_TASKS, LABELS


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('data_root', metavar='DATA', help='folder with miqa_cls/ ... and splits/')
    parser.add_argument('--methods', nargs='+', required=True, metavar='METHOD', help='what to compare, see above')
    parser.add_argument('--task', choices=DATABASE_TASKS, default='cls', help='default: cls')
    parser.add_argument('--label', choices=LABELS, default='composite', help='default: composite')
    parser.add_argument(
        '--split',
        choices=('val', 'all'),
        default='val',
        help='images to score on: the test split, or all for predictions of a cross-validation (default: val)',
    )
    parser.add_argument(
        '--out', default='work_dirs/comparison', help='folder of the results, replaced if there (default: %(default)s)'
    )
    parser.add_argument(
        '--mapping', choices=['none', *filter(None, MAPPINGS)], default='linear', help='map before RMSE'
    )
    parser.add_argument('--resamples', type=int, default=1000, help='bootstrap resamples (default: 1000)')
    parser.add_argument(
        '--jobs', '--workers', type=int, default=-1, help='processes that measure (default: one per core)'
    )
    return parser.parse_args(arguments)


def main() -> None:
    """Compare as the command line says."""
    args = parse_arguments()
    keep_freed_memory()
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


if __name__ == '__main__':
    run_command(main, SAME_AGAIN)
