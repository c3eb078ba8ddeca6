#!/usr/bin/env python
"""Train a quality model.

Examples:
  python tools/train.py configs/ra_miqa_det.py --data-root /data/miqd
  python tools/train.py configs/resnet50_cls.py --label accuracy --batch-size 128 --amp
  python tools/train.py configs/ra_miqa_det.py --resume auto        # go on after a kill
  python tools/train.py configs/ra_miqa_det.py --gpu-ids 0 1        # two GPUs of this machine
  bash tools/dist_train.sh configs/ra_miqa_det.py 8                 # eight GPUs, several nodes

Results are in work_dirs/<config>_<label>/: best.pth, latest.pth, log, TensorBoard events, config, environment.
"""

import argparse
import os
import sys
from pathlib import Path

from mmengine.config import DictAction

from miqa.engine import build_runner, leave_processes_group, load_config
from miqa.engine.launch import LAUNCHERS
from miqa.taxonomy import LABELS
from miqa.utils.allocator import keep_freed_memory
from miqa.utils.command_line import run_command


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config_file', nargs='?', metavar='CONFIG', help='config file, such as configs/ra_miqa_det.py')
    parser.add_argument('--config', help='the config file, where it is not the first argument')
    parser.add_argument('--work-dir', '--work_dir', help='folder of results (default: work_dirs/<config>_<label>)')
    parser.add_argument('--label', choices=LABELS, help='what the scores predict (default: composite)')
    parser.add_argument('--data-root', '--data_root', '--data_path', help='folder that holds miqa_cls/ ... and splits/')
    parser.add_argument('--batch-size', '--batch_size', type=int, help='images per update, over all processes')
    parser.add_argument('--lr', '--learning-rate', '--learning_rate', type=float, help='highest learning rate')
    parser.add_argument('--epochs', type=int, help='passes over the training split')
    parser.add_argument('--gpu-ids', '--gpu_ids', nargs='+', type=int, help='GPUs of this machine, one process each')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from the latest checkpoint of the work dir (auto) or from a file',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision: bfloat16 on CPUs and newer GPUs')
    parser.add_argument('--seed', type=int, help='seed of everything random')
    parser.add_argument('--deterministic', action='store_true', help='choose deterministic GPU algorithms (slower)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='any other config key: key.sub=value ...')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='who started this process')
    parser.add_argument('--local-rank', '--local_rank', type=int, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if (args.config_file is None) == (args.config is None):
        parser.error('name one config file, such as configs/ra_miqa_det.py')
    args.config = args.config or args.config_file
    return args


def use_gpus(args: argparse.Namespace) -> None:
    """Show only the chosen GPUs to this process; restart under torchrun where there are several."""
    if not args.gpu_ids or args.launcher != 'none':
        return
    os.environ['CUDA_VISIBLE_DEVICES'] = ','.join(map(str, args.gpu_ids))
    if len(args.gpu_ids) > 1:
        torchrun = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={len(args.gpu_ids)}']
        os.execv(sys.executable, [sys.executable, *torchrun, *sys.argv, '--launcher', 'pytorch'])


def main() -> None:
    """Train as the command line says."""
    args = parse_arguments()
    keep_freed_memory()
    use_gpus(args)
    config = load_config(args.config, args.cfg_options)
    for knob in ('label', 'data_root', 'batch_size', 'seed'):
        if getattr(args, knob) is not None:
            config[knob] = getattr(args, knob)
    for knob in ('lr', 'epochs'):
        if getattr(args, knob) is not None:
            config.schedule[knob] = getattr(args, knob)
    if args.deterministic:
        config.randomness = {'seed': config.seed, 'deterministic': True}
        config.env_cfg.cudnn_benchmark = False
    work_dir = args.work_dir or Path('work_dirs') / f'{Path(args.config).stem}_{config.label}'
    runner = build_runner(config, work_dir, args.launcher, resume=args.resume or False, amp=args.amp)
    runner.train()
    best = runner.message_hub.runtime_info.get('best_score')
    if runner.rank == 0 and best is not None:
        print(
            f'Done. Best SRCC {best:.4f}: {Path(work_dir) / "best.pth"}. Test it: python tools/test.py '
            f'{args.config} {Path(work_dir) / "best.pth"}'
        )
    leave_processes_group()


if __name__ == '__main__':
    run_command(main)
