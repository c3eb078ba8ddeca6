#!/usr/bin/env python
"""Compute labels from the responses of machines, in the files of MIQD-2.5M."""

from __future__ import annotations

import argparse

from miqa.labelling import ScoreOptions, label_database
from miqa.machines import load_machine_configs, machine_name
from miqa.running.command_line import SAME_AGAIN, ToolParser, process_count, run_command
from miqa.running.parallel import BACKENDS
from miqa.taxonomy import DATABASE_TASKS

EPILOG = """\
examples:
  python tools/data/make_labels.py DATA --task cls
  python tools/data/make_labels.py DATA --task det --ground-truth instances_val2017.json --jobs 8

  # other weights or another choice of machines: no machine is run again, and no score is computed again
  python tools/data/make_labels.py DATA --task cls --machines configs/machines/my_choice.py --overwrite

consistency compares a machine's answer to the distorted image with its own answer to the clean one; accuracy compares
it with the ground truth. Both are averaged over the machines, weighted by the weight of each. See
docs/your_own_models.md.
"""


def parse_args(argv=None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, epilog=EPILOG)
    parser.add_argument('data_root', help='the database, with responses made by run_machines.py')
    parser.add_argument('--task', required=True, choices=DATABASE_TASKS)
    parser.add_argument(
        '--ground-truth',
        metavar='FILE',
        help='cls: CSV with filename, class_index; det, ins: COCO JSON (default: ground_truth.csv or .json '
        'beside src_images)',
    )
    parser.add_argument('--machines', metavar='CONFIG', help='take machines and weights from this config')
    parser.add_argument('--consistency', choices=('top1', 'soft'), default='top1', help='cls (default: top1)')
    parser.add_argument(
        '--confidence',
        type=float,
        default=0.3,
        help='det, ins: detections on the clean image with at least this score are the reference (default 0.3)',
    )
    parser.add_argument('--jobs', '--workers', type=process_count, default=-1, help='processes (default: one per core)')
    parser.add_argument('--backend', choices=BACKENDS, default='loky', help='loky: here; ray, dask: a cluster')
    parser.add_argument('--overwrite', action='store_true', help='replace labels that were made otherwise')
    return parser.parse_args(argv)


def main(argv=None) -> None:
    """Write the labels and print what they are."""
    args = parse_args(argv)
    weights = None
    if args.machines:
        weights = {machine_name(config): config.get('weight', 1.0) for config in load_machine_configs(args.machines)}
    manifest = label_database(
        args.data_root, args.task, ground_truth=args.ground_truth, weights=weights,
        options=ScoreOptions(args.consistency, args.confidence), jobs=args.jobs, backend=args.backend,
        overwrite=args.overwrite,
    )  # fmt: skip
    print(f'{manifest["images"]} images of {manifest["sources"]} sources, {len(manifest["machines"])} machines')
    for label, values in manifest['statistics'].items():
        if values:
            print(f'  {label:12s} mean {values["mean"]:.4f}, standard deviation {values["std"]:.4f}')
    if manifest['excluded_images']:
        reasons = sorted(set(manifest['excluded'].values()))
        print(f'  {manifest["excluded_images"]} images have no label: {"; ".join(reasons)} (see labels/manifest.json)')


if __name__ == '__main__':
    run_command(main, SAME_AGAIN)
