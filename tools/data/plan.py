#!/usr/bin/env python
"""Say what a database will cost in CPU hours, GPU hours and disk, by making a small sample of it here."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from miqa.labelling.plan import extrapolate, measure_images, measure_machine, sample_images, temporary_root
from miqa.machines import build_machine, load_machine_configs
from miqa.taxonomy import TASKS
from miqa.utils.command_line import run_command

EPILOG = """\
examples:
  python tools/data/plan.py photos/ --task cls --machines configs/machines/cls_efficientnet_lite.py --sources 10000
  python tools/data/plan.py coco/val2017 --task det --annotations instances_val2017.json \\
      --machines configs/machines/det_paper.py --gpu-images-per-second 60

All 250 versions of a few of your images are made in a temporary folder, timed and weighed; the systems run on some of
them. Costs are linear in the number of sources. GPU hours come from a GPU of this machine, or from the speed
that you state with --gpu-images-per-second; they are not guessed.
"""


def main() -> None:
    """Measure, extrapolate, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('images', help='folder of source images')
    parser.add_argument('--task', required=True, choices=TASKS)
    parser.add_argument('--machines', metavar='CONFIG', help='config that lists the systems')
    parser.add_argument('--annotations', help='COCO file, for masks')
    parser.add_argument('--sources', type=int, default=10000, help='size of the database (default 10000)')
    parser.add_argument('--sample', type=int, default=2, help='sources to make now (default 2)')
    parser.add_argument('--machine-images', type=int, default=64, help='images per system to time (default 64)')
    parser.add_argument('--batch-size', type=int, default=16)
    parser.add_argument('--device', help='cpu or cuda; default: a GPU if there is one')
    parser.add_argument(
        '--gpu-images-per-second', type=float, help='how fast your GPU runs one system, where there is none here'
    )
    args = parser.parse_args()
    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    paths = sample_images(Path(args.images), args.sample)
    with temporary_root() as folder:
        print(f'Making {len(paths)} sources with 250 versions each ...', flush=True)
        costs = measure_images(paths, Path(folder), args.task, args.annotations)
        machines = []
        for config in load_machine_configs(args.machines) if args.machines else []:
            print(f'Timing {config.get("name") or config.get("model") or config.get("config")} ...', flush=True)
            machine = build_machine(config, device)
            responses = Path(folder) / 'responses' / machine.name
            machines.append(measure_machine(machine, Path(folder), responses, args.machine_images, args.batch_size))
    plan = extrapolate(costs, machines, args.sources, args.gpu_images_per_second)
    print(
        f'\nMeasured here on {costs.sampled} sources of {costs.megapixels:.2f} megapixels on average '
        f'(time of the processor; {os.cpu_count()} cores here):'
    )
    print(f'  per source: distort {costs.distort_seconds:.1f} s, quality table {costs.measure_seconds:.1f} s,', end=' ')
    print(f'decode {costs.decode_seconds:.1f} s of one core; {costs.bytes / 1e6:.1f} MB')
    for item in machines:
        where = 'the GPU' if item.device == 'cuda' else 'one core'
        print(f'  per image: {item.name} {1000 * item.seconds:.1f} ms of {where}, {item.bytes:.0f} bytes of response')
    print(f'\n{args.sources} sources, {plan.images} images:')
    print(f'  distortions     {plan.distort_hours:10.1f} CPU core hours')
    print(f'  quality tables  {plan.measure_hours:10.1f} CPU core hours (make_distortions.py --measures none: 0)')
    if machines:
        print(f'  decoding        {plan.decode_hours * len(machines):10.1f} CPU core hours ({len(machines)} systems)')
        on = {item.name: item.device for item in machines}
        for name, hours in plan.machine_hours.items():
            print(f'  {name:30s} {hours:10.1f} {"GPU hours" if on[name] == "cuda" else "CPU core hours"}')
        if plan.gpu_hours is None:
            print('  GPU hours       not known: no GPU here; state --gpu-images-per-second')
        else:
            stated = args.gpu_images_per_second
            basis = f'as stated, {stated:g} images per second and system' if stated else 'as measured here'
            print(f'  GPU hours       {plan.gpu_hours:10.1f} ({basis})')
    print(f'  disk            {plan.image_bytes / 1e9:10.1f} GB images, {plan.response_bytes / 1e9:.2f} GB responses')


if __name__ == '__main__':
    run_command(main)
