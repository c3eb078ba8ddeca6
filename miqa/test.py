"""Test a quality model: predictions.csv, metrics.json and a table by distortion, level and region pattern.

Examples:
  miqa test ra_miqa_det work_dirs/ra_miqa_det_composite/best.pth --data-root /data/miqd
  miqa test ra_miqa_cls miqa_ra_miqa_cls_composite_metric.pth.tar              # the authors' weights
  miqa test ra_miqa_cls best.pth --datasets miqa_cls miqa_det miqa_ins         # other databases too
  miqa test --model_name ra_miqa --train_dataset cls --test_dataset det        # the authors' weights, fetched once
  bash tools/dist_test.sh configs/ra_miqa_det.py best.pth 8                    # eight GPUs (in a clone)

In a clone, python tools/test.py and python evaluate.py are the same command.

RMSE is taken after a least-squares line from predictions to labels, as in the paper; --mapping chooses another map.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from .outside.configs import find_config, is_config
from .outside.regular_files import check_data_root, check_regular
from .paper_options import add_run_options, add_testing_options, config_name, released_weights
from .running.command_line import ToolParser, run_command, whole_number
from .running.requirements import require
from .taxonomy import TASK_FOLDERS

if TYPE_CHECKING:
    from .engine.provenance import Provenance

# PyTorch is imported when testing begins: --help and a wrong option do not wait for it.

DATASETS = {folder: task for task, folder in TASK_FOLDERS.items()}


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    add_arguments(parser)
    return finished(parser.parse_args(arguments), parser)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    add_run_options(parser, "the labels to compare with (default: the checkpoint's, else the config's)")
    parser.add_argument('checkpoint_file', nargs='?', metavar='CHECKPOINT', help='best.pth, or a released .pth.tar')
    names = ('--model_path', '--model-path', '--checkpoint')
    parser.add_argument(*names, dest='checkpoint', help='the same as CHECKPOINT')
    parser.add_argument('--datasets', nargs='+', choices=DATASETS, help="to test on (default: the config's task)")
    mappings = ('none', 'linear', 'logistic4', 'logistic5')
    parser.add_argument('--mapping', choices=mappings, default='linear', help='map before RMSE (default: linear)')
    parser.add_argument('--out', help='folder of the results (default: test/ or test_NAME/ beside the checkpoint)')
    parser.add_argument('--batch-size', '--batch_size', type=whole_number(1), help='images at a time on each process')
    add_testing_options(parser)


def finished(args: argparse.Namespace, parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return the arguments with config and checkpoint; without a checkpoint the authors' weights are used."""
    # With --config the only positional argument is the checkpoint.
    if args.config and args.config_file and not args.checkpoint_file:
        args.config_file, args.checkpoint_file = None, args.config_file
    # A single file that is no config is a checkpoint, which holds its config.
    if args.config_file and not is_config(args.config_file) and not (args.checkpoint_file or args.checkpoint):
        args.config_file, args.checkpoint_file = None, args.config_file
    for name, kind in (('config', 'config file'), ('checkpoint', 'checkpoint')):
        positional = getattr(args, f'{name}_file')
        if positional is not None and getattr(args, name) is not None:
            parser.error(f'name one {kind}')
        setattr(args, name, getattr(args, name) or positional)
    named = args.model_name or args.train_dataset
    if args.checkpoint is not None and named:
        parser.error('a checkpoint says what it is: leave out --model_name and --train_dataset, or the checkpoint')
    if args.checkpoint is None and not named:
        parser.error("name one checkpoint, or the authors' weights: --model_name ra_miqa --train_dataset cls")
    if args.test_dataset and not args.datasets:
        args.datasets = [TASK_FOLDERS[args.test_dataset]]
    return args


def main(args: argparse.Namespace | None = None) -> None:
    """Test as the command line says."""
    args = parse_arguments() if args is None else args
    if args.config:
        find_config(args.config)
    if args.checkpoint is not None:
        check_regular(args.checkpoint, kind='checkpoint file')
    if args.data_root is not None:
        check_data_root(args.data_root)
    require('torch', 'Testing')
    from mmengine.config import Config

    from .apis.zoo.testing_config import config_of_weights
    from .engine import check_data, leave_processes_group, load_config
    from .engine.experiment import check_conflicting_options
    from .engine.launch import one_process_per_folder
    from .engine.provenance import provenance_of
    from .running.allocator import keep_freed_memory

    keep_freed_memory()
    if args.checkpoint is None:
        args.checkpoint = str(released_weights(args))
        args.config = args.config or config_name(args.model_name, args.train_dataset)
    if args.config:
        config = load_config(args.config, args.cfg_options)
    else:
        config = config_of_weights(args.checkpoint, args.cfg_options)
    trained = provenance_of(args.checkpoint)
    check_conflicting_options(args.cfg_options, vars(args))
    if 'label' not in (args.cfg_options or {}):
        config.label = args.label or trained.label or config.label
    if args.data_root:
        config.data_root = args.data_root
    if args.batch_size:
        config.test_dataloader.batch_size = args.batch_size
    config.test_evaluator.mapping = None if args.mapping == 'none' else args.mapping
    for name in args.datasets or [TASK_FOLDERS[config.task]]:
        check_data(Config({**config.to_dict(), 'task': DATASETS[name]}), 'test')
    out = Path(args.out) if args.out else folder_beside(args.checkpoint, trained, config.label)
    with one_process_per_folder(out, args.launcher, 'name another --out'):
        test(args, config, trained, out)
    leave_processes_group()


def folder_beside(checkpoint: str | Path, trained: Provenance, label: str) -> Path:
    """Return where results go that no ``--out`` names: a folder of their own beside the checkpoint.

    A run's ``best.pth`` has ``test/``, where the report looks; another file ``test_NAME/``, and labels that it was not
    trained on their own. Where nothing can be written there, the folder is in ``work_dirs/``.
    """
    checkpoint = Path(checkpoint)
    name = checkpoint.name.removesuffix('.tar').removesuffix('.pth')
    parts = ['test', *([] if name == 'best' else [name]), *([] if label == (trained.label or label) else [label])]
    parent = checkpoint.parent
    if not os.access(parent, os.W_OK):
        parent = Path('work_dirs') / parent.name
    return parent / '_'.join(parts)


def test(args: argparse.Namespace, config, trained, out: Path) -> None:
    """Predict and score each database."""
    from .engine import build_runner, selected_on
    from .engine.testing import predict_and_tabulate
    from .evaluation.predictions import with_region_pattern
    from .reports.tables import print_scores, score_parts, scores_as_json

    tables, metrics = [], {}
    for name in args.datasets or [TASK_FOLDERS[config.task]]:
        config.task = DATASETS[name]
        runner = build_runner(config, out, args.launcher, checkpoint=args.checkpoint)
        _, table = predict_and_tabulate(runner)
        if table is None:
            continue
        scores = score_parts(with_region_pattern(table), config.test_evaluator.mapping)
        title = f'{Path(args.checkpoint).name} on {name}, {config.label} ({len(table)} images)'
        if trained.task not in (None, config.task):
            title += f'; trained for {trained.task}'
        if trained.label not in (None, config.label):
            title += f'; trained on {trained.label}'
        if trained.config is not None:
            title += f'; weights chosen on {selected_on(trained.config)}'
        print_scores(scores, title)
        tables.append(table)
        metrics[name] = scores_as_json(scores)
    if tables:
        save(out, args, config, tables, metrics, trained)


def save(out: Path, args: argparse.Namespace, config, tables: list, metrics: dict, trained: Provenance) -> None:
    """Write predictions.csv and metrics.json; earlier ones are kept under another name."""
    import pandas as pd

    from .engine import selected_on
    from .evaluation.predictions import write_predictions
    from .keeping import keep_previous, write_json

    previous = [keep_previous(out / name) for name in ('predictions.csv', 'metrics.json')]
    for path in filter(None, previous):
        print(f'Kept earlier results as {path}.')
    identity = identity_of(args.checkpoint, config, trained)
    write_predictions(out / 'predictions.csv', pd.concat(tables, ignore_index=True).assign(model=identity))
    facts = {'config': args.config, 'checkpoint': str(args.checkpoint), 'label': config.label, 'mapping': args.mapping}
    if trained.config is not None:
        facts['weights_chosen_on'] = selected_on(trained.config)
    write_json(out / 'metrics.json', {**facts, 'datasets': metrics})
    print(f'Saved {out / "predictions.csv"} and {out / "metrics.json"}.')
    for warning in warnings_of(tables):
        print(warning)


def identity_of(checkpoint: str | Path, config, trained: Provenance) -> str:
    """Return how :attr:`miqa.apis.model.MIQAModel.identity` names these weights, so that a gate recognises them."""
    from .apis.methods import name_of_network
    from .keeping import sha256_of_file

    method = name_of_network(config.model.network.to_dict())
    task, label = trained.task or config.task, trained.label or config.label
    return f'{method}/{task}/{label}@{sha256_of_file(checkpoint)[:12]}'


def warnings_of(tables: list) -> list[str]:
    """Return a sentence for each table of predictions of few sources, or whose rank correlation is negative."""
    from .evaluation import falling_scores, quality_correlations
    from .splits.enough import few_sources

    sentences = []
    for table in tables:
        srcc = quality_correlations(table.prediction, table.ground_truth, None)['SRCC']
        sentences.append(falling_scores(f'This model on {table.task.iloc[0]}, {table.label.iloc[0]},', srcc))
        sentences.append(few_sources({'test': table.source.nunique()}))
    return [sentence for sentence in sentences if sentence]


def command() -> None:
    """Run :func:`main` as a command: an expected error is a sentence, and nothing is left running."""
    run_command(main)


if __name__ == '__main__':
    command()
