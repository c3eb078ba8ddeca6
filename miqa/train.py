"""Train a quality model.

Examples:
  miqa train ra_miqa_det --data-root /data/miqd                     # a config by its name, from any folder
  miqa train configs/resnet50_cls.py --label accuracy --batch-size 128 --amp
  miqa train ra_miqa_det --resume auto                              # go on after a kill
  miqa train ra_miqa_det --gpu-ids 0 1                              # two GPUs of this machine
  bash tools/dist_train.sh configs/ra_miqa_det.py 8                 # eight GPUs, several nodes (in a clone)

Without CONFIG the paper's RA-MIQA is trained for classification (ra_miqa_cls). In a clone, python tools/train.py and
python train.py are the same command.

Results are in work_dirs/<config>_<label>/: best.pth, latest.pth, log, TensorBoard events, config, environment.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .outside.configs import find_config
from .outside.regular_files import check_data_root, check_regular
from .paper_options import add_run_options, add_training_options, config_name, data_root, schedule_options, unused
from .running.command_line import ToolParser, as_typed, run_command, sentence, whole_number
from .running.requirements import in_a_clone, require

# PyTorch is imported when training begins: --help and a wrong option do not wait for it.


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    add_arguments(parser)
    return finished(parser.parse_args(arguments), parser)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    add_run_options(parser, 'what the scores predict (default: composite)')
    parser.add_argument('--work-dir', '--work_dir', help='folder of results (default: work_dirs/<config>_<label>)')
    parser.add_argument(
        '-b', '--batch-size', '--batch_size', type=whole_number(1), help='images per update, over all processes'
    )
    parser.add_argument('--lr', '--learning-rate', '--learning_rate', type=float, help='highest learning rate')
    parser.add_argument('--epochs', '--num_epochs', type=whole_number(1), help='passes over the training split')
    parser.add_argument('--gpu-ids', '--gpu_ids', nargs='+', help='GPUs of this machine, one process each')
    parser.add_argument('--resume', nargs='?', const='auto', help='auto: from the latest checkpoint; or from a file')
    parser.add_argument('--amp', action='store_true', help='mixed precision: bfloat16 on CPUs and newer GPUs')
    parser.add_argument('--selection', type=sentence(_share_or_test), metavar='SHARE|test',
                        help="training photographs that choose best.pth; test: the paper's way")  # fmt: skip
    parser.add_argument('--seed', type=int, help='seed of all random numbers')
    parser.add_argument('--deterministic', action='store_true', help='choose deterministic GPU algorithms (slower)')
    add_training_options(parser)


def finished(args: argparse.Namespace, parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return the arguments with their config; without one it is that of the paper's method and task."""
    if args.config_file is not None and args.config is not None:
        parser.error('name one config file, such as configs/ra_miqa_det.py')
    args.config = args.config or args.config_file
    if args.config is None:
        args.config = config_name(args.arch, args.dataset)
    elif args.arch or args.dataset:
        parser.error('a config names method and task: leave out --arch and --dataset, or the config')
    args.data_root = args.data_root or data_root(args)
    return args


def _share_or_test(text: str) -> str | float:
    """Read ``test`` or a number; whether the number is a share is checked with the config."""
    try:
        return text if text == 'test' else float(text)
    except ValueError:
        raise ValueError(f'a share such as 0.2, or test; not {text!r}') from None


def use_gpus(args: argparse.Namespace) -> None:
    """Show only the chosen GPUs to this process; restart under torchrun where there are several."""
    if not args.gpu_ids or args.launcher != 'none':
        return
    from .engine.launch import show_only_gpus

    count = show_only_gpus(args.gpu_ids)
    if count > 1:
        torchrun = ['-m', 'miqa.running.torchrun', '--standalone', f'--nproc_per_node={count}', '-m', 'miqa.train']
        os.execv(sys.executable, [sys.executable, *torchrun, *_without_verb(sys.argv)[1:], '--launcher', 'pytorch'])


def test_command(config: str, checkpoint: Path) -> str:
    """Return the command that tests what was trained, with the options that were given for data and config."""
    options = as_typed('--data-root', '--data_root', '--data_path', '--data-path', '--test_data', '--cfg-options')
    return f'{_program("test.py", sys.argv[0])} {shlex.quote(str(config))} {shlex.quote(str(checkpoint))}{options}'


def closing_sentences(config: str, work_dir: Path, best: float | None, settings: Mapping, latest: object) -> list[str]:
    """Return what a finished training says: its best score, what it is worth and the command that tests it.

    Args:
        config: as given on the command line.
        work_dir: folder of the run.
        best: highest SRCC of a validation; None where no validation gave one.
        settings: the config of the run.
        latest: path of the last weights.
    """
    from .engine import selected_on
    from .evaluation import falling_scores

    if best is None:
        return [f'Done. No validation gave a score that is defined; the last weights are {latest}.']
    weights = work_dir / 'best.pth'
    state = (
        f'Done. Best SRCC {best:.4f}: {weights}, chosen on {selected_on(settings)}. Test it: '
        f'{test_command(config, weights)}'
    )
    return [state, *filter(None, [falling_scores('This model', best)])]


#: Folder of the run of this process, once it is known.
_work_dirs: list[Path] = []


def how_to_go_on() -> str:
    """Return the message after an interruption: the command that resumes, or that the next run starts again."""
    if _work_dirs and not any(_work_dirs[-1].glob('*.pth')):
        return f'There is no checkpoint in {_work_dirs[-1]} yet: the same command begins again.'
    return resume_command()


def resume_command(words: Sequence[str] | None = None) -> str:
    """Return the message after an interruption with the command that resumes: this one, with ``--resume``.

    Args:
        words: the command line; None: this process's.
    """
    words = _without_verb(sys.argv if words is None else words)
    if '--launcher' in words:
        # torchrun's or Slurm's doing.
        place = words.index('--launcher')
        del words[place : place + 2]
    arguments = words[1:]
    if not any(word.partition('=')[0] == '--resume' for word in arguments):
        arguments += ['--resume']
    several = int(os.environ.get('WORLD_SIZE', 1)) > 1 and not {'--gpu-ids', '--gpu_ids'} & set(arguments)
    if several and 'SLURM_PROCID' in os.environ:
        job = [os.environ.get('SLURM_JOB_PARTITION', 'PARTITION'), os.environ.get('SLURM_JOB_NAME', 'JOB_NAME')]
        return f'Go on with: {in_a_clone(f"bash tools/slurm_train.sh {shlex.join([*job, *arguments])}")}'
    if several:
        config, *options = arguments
        words = shlex.join([config, os.environ['WORLD_SIZE'], *options])
        return f'Go on with: {in_a_clone(f"bash tools/dist_train.sh {words}")}'
    return f'Go on with: {_program("train.py", words[0])} {shlex.join(arguments)}'


def _without_verb(words: Sequence[str]) -> list[str]:
    """Return a command line without the ``train`` of ``miqa train``."""
    words = list(words)
    if words[1:2] == ['train'] and Path(words[0]).stem in ('miqa', '__main__'):
        del words[1]
    return words


def _program(name: str, started: str) -> str:
    """Return how to call another command in the style of this one: as a script of a clone or as a verb."""
    if started.endswith('tools/train.py'):
        return f'python {shlex.quote(str(Path(started).with_name(name)))}'
    return f'miqa {name.removesuffix(".py")}'


def random_weights(node: object, walked: tuple[str, ...] = ('model',)) -> Iterator[str]:
    """Yield the options that start each part of a config's model with random weights instead of fetched ones."""
    for key, value in node.items() if isinstance(node, Mapping) else ():
        path = '.'.join([*walked, key])
        if key == 'pretrained' and value not in (False, None):
            yield f'{path}=False'
        elif key == 'weights' and isinstance(value, str):
            yield f'{path}=None'
        else:
            yield from random_weights(value, (*walked, key))


def main(args: argparse.Namespace | None = None) -> None:
    """Train as the command line says."""
    args = parse_arguments() if args is None else args
    find_config(args.config)
    if args.data_root is not None:
        check_data_root(args.data_root)
    if args.resume not in (None, 'auto'):
        check_regular(args.resume, kind='checkpoint file')
    require('torch', 'Training')
    from .engine import build_runner, check_data, leave_processes_group, load_config
    from .engine.experiment import check_conflicting_options
    from .engine.launch import one_process_per_folder
    from .errors import WeightsUnavailable
    from .running.allocator import keep_freed_memory

    if names := unused(args):
        print(f'Not used here, as the config or the layout of the data says it: {", ".join(names)}.', file=sys.stderr)
    if '--multiprocessing-distributed' in names and not args.gpu_ids:
        print('To train on several GPUs: --gpu-ids 0 1', file=sys.stderr)
    use_gpus(args)  # before anything asks CUDA, which settles the choice
    keep_freed_memory()
    config = load_config(args.config, {**schedule_options(args), **(args.cfg_options or {})})
    check_conflicting_options(args.cfg_options, {**vars(args), 'schedule.lr': args.lr, 'schedule.epochs': args.epochs})
    for name in ('label', 'data_root', 'batch_size', 'selection', 'seed'):
        if getattr(args, name) is not None:
            config[name] = getattr(args, name)
    for name in ('lr', 'epochs'):
        if getattr(args, name) is not None:
            config.schedule[name] = getattr(args, name)
    if args.deterministic:
        config.randomness = {'seed': config.seed, 'deterministic': True}
        config.env_cfg.cudnn_benchmark = False
    check_data(config, 'train', 'val')
    work_dir = args.work_dir or Path('work_dirs') / f'{find_config(args.config).stem}_{config.label}'
    _work_dirs.append(Path(work_dir))
    with one_process_per_folder(work_dir, args.launcher, 'name another --work-dir'):
        runner = build_runner(config, work_dir, args.launcher, resume=args.resume or False, amp=args.amp)
        try:
            runner.train()
        except WeightsUnavailable as error:
            keys = ' '.join(random_weights(config.model))
            raise WeightsUnavailable(f'{error} For this config: --cfg-options {keys}') from error
    best = runner.message_hub.runtime_info.get('best_score')
    if runner.rank == 0:
        for line in closing_sentences(args.config, Path(work_dir), best, runner.cfg, runner.latest):
            print(line)
    del runner  # its network holds the group
    leave_processes_group()


def command() -> None:
    """Run :func:`main` as a command: an expected error is a sentence, and nothing is left running."""
    run_command(main, how_to_go_on)


if __name__ == '__main__':
    command()
