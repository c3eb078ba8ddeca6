#!/usr/bin/env python
"""Test a quality model: predictions.csv, metrics.json and a table by distortion, level and region pattern.

Examples:
  python tools/test.py configs/ra_miqa_det.py work_dirs/ra_miqa_det_composite/best.pth --data-root /data/miqd
  python tools/test.py configs/ra_miqa_cls.py miqa_ra_miqa_cls_composite_metric.pth.tar     # the authors' weights
  python tools/test.py configs/ra_miqa_cls.py best.pth --datasets miqa_cls miqa_det miqa_ins  # other databases too
  bash tools/dist_test.sh configs/ra_miqa_det.py best.pth 8                                # eight GPUs

RMSE is taken after a least-squares line from predictions to labels, as in the paper; --mapping chooses another map.
"""

import argparse
from pathlib import Path

from mmengine.config import DictAction

from miqa.engine import build_runner, leave_processes_group, load_config
from miqa.engine.launch import LAUNCHERS
from miqa.engine.provenance import provenance_of
from miqa.engine.testing import test_and_tabulate
from miqa.evaluation import MAPPINGS
from miqa.reports.predictions import with_region_pattern, write_predictions
from miqa.reports.tables import print_scores, score_parts, scores_as_json
from miqa.taxonomy import LABELS, TASK_FOLDERS
from miqa.utils import keep_previous, write_json
from miqa.utils.allocator import keep_freed_memory
from miqa.utils.command_line import run_command

DATASETS = {folder: task for task, folder in TASK_FOLDERS.items()}


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config_file', nargs='?', metavar='CONFIG', help='config file, such as configs/ra_miqa_det.py')
    parser.add_argument(
        'checkpoint_file', nargs='?', metavar='CHECKPOINT', help='best.pth of a run, or a released .pth.tar'
    )
    parser.add_argument('--config', help='the config file, where it is not the first argument')
    parser.add_argument(
        '--model_path', '--model-path', '--checkpoint', dest='checkpoint', help='the same as CHECKPOINT'
    )
    parser.add_argument(
        '--data-root', '--data_root', '--test_data', '--test-data', help='folder with miqa_cls/ ... and splits/'
    )
    parser.add_argument(
        '--datasets', nargs='+', choices=DATASETS, help="databases to test on (default: the config's task)"
    )
    parser.add_argument(
        '--label', choices=LABELS, help="the labels to compare with (default: the checkpoint's, else the config's)"
    )
    parser.add_argument(
        '--mapping', choices=['none', *filter(None, MAPPINGS)], default='linear', help='map before RMSE'
    )
    parser.add_argument(
        '--out', help="folder of the results (default: test/ beside the checkpoint's config name in work_dirs)"
    )
    parser.add_argument('--batch-size', '--batch_size', type=int, help='images at a time on each process')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='any other config key: key.sub=value ...')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='who started this process')
    parser.add_argument('--local-rank', '--local_rank', type=int, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    # With --config the only positional argument is the checkpoint.
    if args.config and args.config_file and not args.checkpoint_file:
        args.config_file, args.checkpoint_file = None, args.config_file
    for name, what in (('config', 'config file'), ('checkpoint', 'checkpoint')):
        positional = getattr(args, f'{name}_file')
        if (positional is None) == (getattr(args, name) is None):
            parser.error(f'name one {what}')
        setattr(args, name, getattr(args, name) or positional)
    return args


def main() -> None:
    """Test as the command line says."""
    args = parse_arguments()
    keep_freed_memory()
    config = load_config(args.config, args.cfg_options)
    trained = provenance_of(args.checkpoint)
    config.label = args.label or trained.label or config.label
    if args.data_root:
        config.data_root = args.data_root
    if args.batch_size:
        config.test_dataloader.batch_size = args.batch_size
    config.test_evaluator.mapping = None if args.mapping == 'none' else args.mapping
    out = Path(args.out or Path('work_dirs') / f'{Path(args.config).stem}_{config.label}' / 'test')
    tables, metrics = [], {}
    for name in args.datasets or [TASK_FOLDERS[config.task]]:
        config.task = DATASETS[name]
        runner = build_runner(config, out, args.launcher, checkpoint=args.checkpoint)
        _, table = test_and_tabulate(runner)
        if table is None:
            continue
        scores = score_parts(with_region_pattern(table), config.test_evaluator.mapping)
        title = f'{Path(args.checkpoint).name} on {name}, {config.label} ({len(table)} images)'
        if trained.task not in (None, config.task):
            title += f'; trained for {trained.task}'
        if trained.label not in (None, config.label):
            title += f'; trained on {trained.label}'
        print_scores(scores, title)
        tables.append(table)
        metrics[name] = scores_as_json(scores)
    if tables:
        save(out, args, config, tables, metrics)
    leave_processes_group()


def save(out: Path, args: argparse.Namespace, config, tables: list, metrics: dict) -> None:
    """Write predictions.csv and metrics.json; earlier ones are kept under another name."""
    import pandas as pd

    kept = [keep_previous(out / name) for name in ('predictions.csv', 'metrics.json')]
    for path in filter(None, kept):
        print(f'Kept earlier results as {path}.')
    write_predictions(out / 'predictions.csv', pd.concat(tables, ignore_index=True))
    facts = {'config': args.config, 'checkpoint': str(args.checkpoint), 'label': config.label, 'mapping': args.mapping}
    write_json(out / 'metrics.json', {**facts, 'datasets': metrics})
    print(f'Saved {out / "predictions.csv"} and {out / "metrics.json"}.')


if __name__ == '__main__':
    run_command(main)
