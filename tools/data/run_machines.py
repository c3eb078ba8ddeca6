#!/usr/bin/env python
"""Run machines over a database and keep every raw response, in Parquet."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from miqa.labelling.class_maps import known_maps
from miqa.labelling.coco_objects import coco_objects
from miqa.labelling.ground_truth import check_sources_known, read_classes
from miqa.labelling.recognised_machines import complete_configs, given_classes, trial_of_database
from miqa.layout import ground_truth_path, responses_folder
from miqa.machines import SourceImages, build_machine, list_sources, load_machine_configs, machine_configs_of
from miqa.machines.recognition.machine_file import is_machine_file
from miqa.machines.recognition.options import file_option
from miqa.machines.runner import run_machine
from miqa.running.allocator import keep_freed_memory
from miqa.running.command_line import SAME_AGAIN, ToolParser, run_command, sentence, whole_number
from miqa.running.cores import usable_cores
from miqa.running.devices import usable_device
from miqa.running.parallel import parse_shard, shard_of
from miqa.taxonomy import DATABASE_TASKS

EPILOG = """\
examples:
  # three small classifiers over a database, on this machine
  python tools/data/run_machines.py DATA --task cls --machines configs/machines/cls_efficientnet_lite.py

  # the first of four shards of a large one (run the others anywhere; all write into the same folder)
  python tools/data/run_machines.py DATA --task det --machines configs/machines/det_paper.py --shard 1/4

  # all GPUs of a computer: each process takes its part of the shard
  torchrun --nproc_per_node 8 tools/data/run_machines.py DATA --task cls --machines configs/machines/cls_paper.py

Responses go to DATA/miqa_{task}/responses/{machine}/. Run the same command again after an interruption: what is done is
kept, and at most one unfinished part of each process is done again. Images that cannot be read are recorded
with the reason and counted; their labels are skipped.
"""


def parse_args(argv=None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, epilog=EPILOG)
    parser.add_argument('data_root', help='the database: holds miqa_cls/ or miqa_det/ with images/ and src_images/')
    parser.add_argument('--task', required=True, choices=DATABASE_TASKS)
    parser.add_argument(
        '--machines',
        required=True,
        metavar='CONFIG',
        help='config that lists the machines (vision models), or a network (.onnx), whose use is found out',
    )
    parser.add_argument(
        '--classes', nargs='+', metavar='NAME', help='names of the classes of a network (.onnx), or one file of them'
    )
    parser.add_argument(
        '--machine-options', nargs='+', default=[], metavar='KEY=VALUE', type=sentence(file_option),
        help='how a network (.onnx) is used, where it is not found out: size=416x416, layout=yolo, channels=bgr, ...',
    )  # fmt: skip
    parser.add_argument('--write-config', metavar='FILE', help='write how the network (.onnx) is used: a config')
    parser.add_argument('--only', nargs='+', metavar='NAME', help='run only these machines of the config')
    parser.add_argument(
        '--ground-truth',
        metavar='FILE',
        help='cls: CSV of classes, for true_probability; det, ins: COCO file, seg: folder of maps, only checked',
    )
    parser.add_argument(
        '--shard', type=sentence(parse_shard), default='1/1', metavar='I/N', help='run part I of N of the sources'
    )
    parser.add_argument('--limit', type=int, metavar='N', help='take only the first N sources')
    parser.add_argument('--device', help='cpu, cuda, cuda:1; default: a GPU if there is one')
    parser.add_argument(
        '--batch-size', type=whole_number(1), default=32, help='images for a network at a time (default 32)'
    )
    parser.add_argument(
        '--workers', type=whole_number(0), help='processes that decode; default: this process share of the cores'
    )
    parser.add_argument('--sources-per-part', type=int, default=16, help='sources in one Parquet file (default 16)')
    parser.add_argument(
        '--store-probabilities', action='store_true', help='cls: keep whole vectors (2 bytes per class and image)'
    )
    parser.add_argument(
        '--score-threshold', type=float, default=0.01, help='det, ins: lowest score that is kept (default 0.01)'
    )
    return parser.parse_args(argv)


def _checked_truth(args: argparse.Namespace, sources: list[str]) -> dict[str, int] | None:
    """Read the ground truth where there is one, so that what is wrong with it shows before days of work.

    Only cls needs its content here: the classes. Seg has a folder of maps.
    """
    truth = Path(args.ground_truth or ground_truth_path(args.data_root, args.task))
    if not args.ground_truth and not truth.exists():
        return None
    if args.task == 'cls':
        truth_of = read_classes(truth)
    elif args.task == 'seg':
        truth_of = known_maps(truth)
    else:
        truth_of = coco_objects(str(truth), args.task == 'ins').objects
    check_sources_known(sources, truth_of, truth)
    return truth_of if args.task == 'cls' else None


def _configs(args: argparse.Namespace, sources: list[SourceImages], device: str) -> list[dict]:
    if not is_machine_file(args.machines):
        return load_machine_configs(args.machines, args.only)
    return complete_configs(
        machine_configs_of([args.machines], args.task), lambda: trial_of_database(args.data_root, args.task, sources),
        given_classes(args.classes), dict(args.machine_options), device, args.data_root, args.write_config,
    )  # fmt: skip


def main(argv=None) -> None:
    """Run the machines one after another on this process's part of the sources."""
    args = parse_args(argv)
    keep_freed_memory()
    rank, ranks = int(os.environ.get('RANK', 0)), int(os.environ.get('WORLD_SIZE', 1))
    local, locals_ = int(os.environ.get('LOCAL_RANK', 0)), int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    device = str(usable_device(args.device))
    if device == 'cuda':
        device = str(usable_device(f'cuda:{local}'))
    number, count = args.shard
    shard = ((number - 1) * ranks + rank + 1, count * ranks)
    workers = args.workers if args.workers is not None else max(1, usable_cores() // (2 * locals_))
    all_sources = list_sources(args.data_root, args.task)
    sources = all_sources[: args.limit]
    classes = _checked_truth(args, [source.source for source in sources])
    mine = shard_of(sources, shard)
    unreadable = 0
    configs = _configs(args, all_sources, device)
    for place, config in enumerate(configs, 1):
        machine = build_machine(config, device)
        if machine.task != args.task:
            raise ValueError(f'{machine.name} is a machine for {machine.task}, not for {args.task}.')
        folder = responses_folder(args.data_root, args.task) / machine.name
        counts = run_machine(
            machine, mine, folder, true_classes=classes, shard=shard, batch_size=args.batch_size, workers=workers,
            sources_per_part=args.sources_per_part, store_probabilities=args.store_probabilities,
            score_threshold=args.score_threshold,
        )  # fmt: skip
        unreadable = max(unreadable, counts['unreadable'])
        print(
            f'[{place}/{len(configs)}] {machine.name}, shard {shard[0]}/{shard[1]}: {counts["images"]} images '
            f'now, {counts["kept"]} before, {counts["unreadable"]} unreadable -> {folder}'
        )
    if unreadable:
        print(f'{unreadable} images could not be read; the reasons are above and in the column "error".')


if __name__ == '__main__':
    run_command(main, SAME_AGAIN)
