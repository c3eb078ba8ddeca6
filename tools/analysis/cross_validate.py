#!/usr/bin/env python
r"""Cross-validate a config by photograph: no picture is scored by a model that has seen its photograph.

Examples:
  python tools/data/cache_features.py configs/mini/response_cls.py --split all --out data/demo/response_features/cls
  python tools/analysis/cross_validate.py configs/cached/response_cls.py --labels composite consistency accuracy \
      --out work_dirs/folds/response
  python tools/analysis/benchmark.py data/demo --split all --methods confidence:tf_efficientnet_lite0 \
      'response-aware=work_dirs/folds/response/predictions.csv'

Both splits of the database together are divided into folds of whole photographs. In each, a share of the photographs
that are not tested chooses the weights (--selection), and the tested ones are looked at once. Finished folds are kept:
run it again after an interruption and it goes on.
"""

import argparse
from pathlib import Path

from miqa.engine import load_config
from miqa.running.allocator import keep_freed_memory
from miqa.running.command_line import SAME_AGAIN, ConfigOptions, ToolParser, run_command
from miqa.taxonomy import LABELS


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('config', help='config file, such as configs/cached/response_cls.py')
    parser.add_argument('--data-root', '--data_root', help="the database (default: the config's)")
    parser.add_argument('--out', required=True, help='folder of the results')
    parser.add_argument('--folds', type=int, default=5, help='default: %(default)s')
    parser.add_argument('--selection', type=float, default=0.2, help='share that chooses weights (0.2)')
    parser.add_argument('--labels', nargs='+', choices=LABELS, help="labels to test on (default: the config's)")
    parser.add_argument('--amp', action='store_true', help='mixed precision: bfloat16 on CPUs and newer GPUs')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='other config keys: key.sub=value ...')
    return parser.parse_args(arguments)


def main() -> None:
    """Run the folds and print their scores, mean and spread."""
    args = parse_arguments()
    keep_freed_memory()
    from miqa.benchmark.folds import cross_validate

    config = load_config(args.config, args.cfg_options)
    if args.data_root:
        config.data_root = args.data_root
    table = cross_validate(config, args.out, args.folds, args.selection, args.labels, args.amp)
    for label, rows in table.groupby('label', sort=False):
        each = ', '.join(f'{value:.3f}' for value in rows.SRCC)
        print(f'{label}: SRCC {rows.SRCC.mean():.4f} ± {rows.SRCC.std(ddof=0):.4f} over {len(rows)} folds ({each})')
    print(f'Saved {Path(args.out) / "predictions.csv"} and {Path(args.out) / "folds.csv"}.')


if __name__ == '__main__':
    run_command(main, SAME_AGAIN)
