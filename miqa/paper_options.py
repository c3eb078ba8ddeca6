"""Options of the authors' train.py and evaluate.py, so that the lines in their README run as printed there."""

from __future__ import annotations

import argparse
from pathlib import Path

from .running.command_line import ConfigOptions, whole_number
from .taxonomy import LABELS, TASK_FOLDERS

#: What the authors' README trains and tests.
METHOD, TASK, LABEL = 'ra_miqa', 'cls', 'composite'
#: Options of theirs without effect here, with the number of values that they take: the config says it, or it is
#: found out. Training names those that were given.
_UNUSED = {
    '--train_split_file': 1, '--val_split_file': 1, '--transform_type': 1, '--image_size': '+', '--crop_size': '+',
    '--patch_num': 1, '--print_freq': 1, '--world-size': 1, '--rank': 1, '--dist-url': 1, '--dist-backend': 1,
    '--is_two_transform': 0, '--pretrained': 0, '--multiprocessing-distributed': 0,
}  # fmt: skip
_FOLDERS = {folder: task for task, folder in TASK_FOLDERS.items()}


def add_run_options(parser: argparse.ArgumentParser, label_help: str) -> None:
    """Add what training and testing share: config, database, label, any config key, launcher."""
    parser.add_argument('config_file', nargs='?', metavar='CONFIG', help='config file or name, such as ra_miqa_det')
    parser.add_argument('--config', help='the config file, if it is not the first argument')
    parser.add_argument('--label', '--metric_type', choices=LABELS, help=label_help)
    names = ('--data-root', '--data_root', '--data_path', '--data-path', '--test_data', '--test-data')
    parser.add_argument(*names, help='folder that holds miqa_cls/ ... and splits/')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='other config keys: key.sub=value ...')
    parser.add_argument('--launcher', choices=('none', 'pytorch', 'slurm'), default='none', help='default: none')
    parser.add_argument('--local-rank', '--local_rank', type=int, help=argparse.SUPPRESS)


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the authors' ``train.py`` that ours calls otherwise."""
    group = parser.add_argument_group("the authors' options", 'in place of CONFIG, as in the README of the paper')
    group.add_argument('-a', '--arch', metavar='METHOD', help='such as RA-MIQA (default) or resnet50')
    group.add_argument('--dataset', choices=sorted(_FOLDERS), help='default: miqa_cls')
    for task in ('cls', 'det', 'ins'):
        group.add_argument(f'--path_miqa_{task}', metavar='DIR', help=f'a folder called miqa_{task} beside splits/')
    group.add_argument('--loss_name', choices=('mse', 'smooth_l1', 'l1'), help='default: mse')
    group.add_argument('--warmup_epochs', type=float, help='default: 1')
    group.add_argument('--validate_num', type=whole_number(1), help='validations in each epoch (default: 2)')
    group.add_argument('-j', '--workers', type=whole_number(0), help='processes that read images')
    for name, count in _UNUSED.items():
        options: dict = {'action': 'store_true'} if count == 0 else {'nargs': count}
        names = ['-p', name] if name == '--print_freq' else sorted({name, name.replace('-', '_').replace('__', '--')})
        parser.add_argument(*names, dest=f'unused {name}', help=argparse.SUPPRESS, **options)


def unused(args: argparse.Namespace) -> list[str]:
    """Return the given options that decide nothing here."""
    return [name for name in _UNUSED if getattr(args, f'unused {name}', None)]


def config_name(method: str | None, task: str | None) -> str:
    """Return the name of the config that trains a method of the paper, such as ``ra_miqa_cls``.

    Args:
        method: in the paper's spelling or ours; None for RA-MIQA.
        task: cls, det or ins, or a folder such as ``miqa_det``; None for cls.
    """
    from .apis.methods import method_name

    return f'{method_name(method or METHOD)}_{_FOLDERS.get(task or TASK, task or TASK)}'


def data_root(args: argparse.Namespace) -> str | None:
    """Return the folder that holds the database named by ``--path_miqa_...``, if it is named.

    Raises:
        ValueError: the folder is not called as the layout of a data root wants it.
    """
    folder = args.dataset or TASK_FOLDERS[TASK]
    path = getattr(args, f'path_{folder}', None)
    if path is None:
        return None
    if Path(path).name != folder:
        raise ValueError(
            f'--path_{folder} {path}: the folder of the images must be called {folder} and lie beside splits/. Rename '
            'it, or make a link of that name.'
        )
    return str(Path(path).parent)


def schedule_options(args: argparse.Namespace) -> dict:
    """Return dotted config keys and values for the authors' options that the config has under other names."""
    loss = {'mse': 'MSELoss', 'smooth_l1': 'SmoothL1Loss', 'l1': 'L1Loss'}
    options = {
        'schedule.warmup_epochs': args.warmup_epochs,
        'train_cfg.validations_per_epoch': args.validate_num,
        'train_dataloader.num_workers': args.workers,
        'model.loss.type': args.loss_name and args.loss_name != 'mse' and loss[args.loss_name],
    }
    return {key: value for key, value in options.items() if value not in (None, False, '')}


def add_testing_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the authors' ``evaluate.py``."""
    group = parser.add_argument_group("the authors' options", 'in place of CONFIG and CHECKPOINT: released weights')
    group.add_argument('--model_name', metavar='METHOD', help='such as ra_miqa (default) or resnet50')
    group.add_argument('--train_dataset', choices=('cls', 'det', 'ins'), help='that the weights were trained on')
    group.add_argument('--test_dataset', choices=('cls', 'det', 'ins'), help='to test on (default: the same)')


def released_weights(args: argparse.Namespace) -> Path:
    """Fetch the authors' weights of a method, task and label, once, and return their file."""
    from .apis import zoo
    from .apis.methods import method_name

    entry = zoo.find(method_name(args.model_name or METHOD), args.train_dataset or TASK, args.label or LABEL)
    return zoo.fetch(entry)
