#!/usr/bin/env python
"""Say what a database will cost in CPU hours, GPU hours and disk, by making a small sample of it here."""

from __future__ import annotations

import argparse
from pathlib import Path

from miqa.labelling.plan import measure_images, measure_machine, plan_text, sample_images, temporary_root
from miqa.machines import build_machine, load_machine_configs
from miqa.running.allocator import keep_freed_memory
from miqa.running.command_line import ToolParser, run_command
from miqa.running.devices import usable_device
from miqa.taxonomy import DATABASE_TASKS, DEFAULT_MEASURES, MEASURES

EPILOG = """\
examples:
  python tools/data/plan.py photos/ --task cls --machines configs/machines/cls_efficientnet_lite.py --sources 10000
  python tools/data/plan.py coco/val2017 --task det --annotations instances_val2017.json \\
      --machines configs/machines/det_paper.py --gpu-images-per-second 60

All 250 versions of a few of your images are made in a temporary folder, timed and weighed; the machines run on some of
them. Costs are linear in the number of sources. GPU hours come from a GPU of this machine, or from the speed
that you state with --gpu-images-per-second; they are not guessed.
"""


def main() -> None:
    """Measure, extrapolate, print."""
    parser = ToolParser(description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', help='folder of source images')
    parser.add_argument('--task', required=True, choices=DATABASE_TASKS)
    parser.add_argument('--machines', metavar='CONFIG', help='config that lists the machines: vision models')
    parser.add_argument('--annotations', help='COCO file, for masks')
    parser.add_argument(
        '--measures', nargs='+', default=list(DEFAULT_MEASURES), choices=MEASURES,
        help=f'columns of the quality tables (default: {" ".join(DEFAULT_MEASURES)})',
    )  # fmt: skip
    parser.add_argument('--sources', type=int, default=10000, help='size of the database (default 10000)')
    parser.add_argument('--sample', type=int, default=2, help='sources to make now (default 2)')
    parser.add_argument('--machine-images', type=int, default=64, help='images per machine to time (default 64)')
    parser.add_argument('--batch-size', type=int, default=16)
    parser.add_argument('--device', help='cpu or cuda; default: a GPU if there is one')
    parser.add_argument(
        '--gpu-images-per-second', type=float, help='how fast your GPU runs one machine, where this computer has none'
    )
    args = parser.parse_args()
    keep_freed_memory()
    device = str(usable_device(args.device))
    paths = sample_images(Path(args.images), args.sample)
    with temporary_root() as folder:
        print(f'Making {len(paths)} sources with 250 versions each ...', flush=True)
        costs = measure_images(paths, Path(folder), args.task, args.annotations, measures=args.measures)
        machines = []
        for config in load_machine_configs(args.machines) if args.machines else []:
            print(f'Timing {config.get("name") or config.get("model") or config.get("config")} ...', flush=True)
            machine = build_machine(config, device)
            responses = Path(folder) / 'responses' / machine.name
            machines.append(measure_machine(machine, Path(folder), responses, args.machine_images, args.batch_size))
    print(f'\n{plan_text(costs, machines, args.sources, args.gpu_images_per_second)}')


if __name__ == '__main__':
    run_command(main)
