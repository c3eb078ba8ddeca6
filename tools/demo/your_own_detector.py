#!/usr/bin/env python
"""From a folder of images, COCO annotations and a detector to a gate that says which images the detector can use.

Examples:
  # your images and your detector (see docs/your_own_models.md for the config)
  python tools/demo/your_own_detector.py --images shots/ --annotations shots.json --machines my_detector.py

  # no detector yet? a small one is trained here on the same images; it knows them by heart, so its numbers say nothing
  # about other images, but what follows is the same
  python tools/demo/your_own_detector.py --images tiny_coco/train2017 --annotations instances_train2017.json

Each step is a command that is printed and that you can run yourself. Needs: bash tools/install_machines.sh
Run it again after an interruption and it goes on. OUT/filter_curve.png shows what the gate is worth: the detector's
average precision on the images that remain when those with the lowest scores are removed, against removing at random.
These images are versions of sources that the gate was not trained on.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from miqa.evaluation.predictions import read_predictions
from miqa.keeping import atomic_write
from miqa.machines.small_detector import train_small_detector
from miqa.outside import read_regular_text
from miqa.outside.json_text import parse_json
from miqa.reports.filter_benefit import compare_filters, comparison_plot, machine_results
from miqa.reports.plots import REMOVED_SHARES, save_figure
from miqa.running.command_line import SAME_AGAIN, ToolParser, run_command

REPOSITORY = Path(__file__).resolve().parents[2]


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('--images', required=True, help='folder of images')
    parser.add_argument('--annotations', required=True, help='COCO JSON of their objects')
    parser.add_argument('--machines', help='config of your detector; without it a small one is trained here')
    parser.add_argument('--out', default='work_dirs/your_own_detector', help='folder of the results')
    parser.add_argument('--detector-epochs', type=int, default=40, help='of the small detector (default 40)')
    parser.add_argument(
        '--distortions',
        nargs='+',
        default=['jpeg_compression', 'gaussian_noise', 'motion_blur', 'darkness'],
        help='which of the ten (default: four of them, for time)',
    )
    parser.add_argument(
        '--config', default='configs/mini/plain_cnn_det.py', help='the gate (default: small, for a CPU)'
    )
    parser.add_argument('--epochs', type=int, default=3, help='of the gate (default 3)')
    parser.add_argument(
        '--val-share',
        '--held-out',
        dest='held_out',
        type=float,
        default=0.25,
        help='share of sources to test on (default 0.25)',
    )
    parser.add_argument('--jobs', '--workers', type=int, default=-1, help='processes (default: one per core)')
    return parser.parse_args(arguments)


def run(tool: str, *arguments) -> None:
    """Print and run one of this package's commands; stop with its error."""
    command = [sys.executable, str(REPOSITORY / 'tools' / tool), *map(str, arguments)]
    print('\n$ python', f'tools/{tool}', *map(str, arguments), flush=True)
    result = subprocess.run(command, check=False)
    if result.returncode:
        raise ChildProcessError(f'tools/{tool} failed; its message is above.')


def show_benefit(data: Path, predictions: Path, out: Path) -> None:
    """Draw the filter curve of the gate on held-out sources, and print what it gains."""
    table = read_predictions(predictions)
    table['filename'] = [Path(image).name for image in table['image']]
    results = machine_results(data, 'det', table)
    curves, areas = compare_filters({'gate': table['prediction'].to_numpy()}, results)
    figure = comparison_plot(curves, title='What the gate is worth to the detector', ylabel='AP@0.75')
    save_figure(figure, out / 'filter_curve.png')
    with atomic_write(out / 'filter_curve.csv') as temporary:
        pd.DataFrame(curves, index=pd.Index(REMOVED_SHARES, name='removed')).to_csv(temporary)
    print(f'\nMean AP@0.75 of the detector on {len(table)} versions of held-out sources:')
    for share in (0, 0.2, 0.4, 0.6):
        i = int(np.argmin(np.abs(np.array(REMOVED_SHARES) - share)))
        values = ', '.join(f'{name} {curve[i]:.3f}' for name, curve in curves.items())
        print(f'  lowest-scored {share:.0%} removed: {values}')
    print(areas.round(4).to_string())


def main() -> None:
    """Run all steps."""
    args = parse_arguments()
    out = Path(args.out)
    data = out / 'data'
    machines = args.machines
    if machines is None:
        print('No --machines: training a small detector on these images. It will know them by heart (overfitted).')
        machines = train_small_detector(
            REPOSITORY / 'configs/detectors/atss_efficientnet_lite0.py',
            args.images,
            args.annotations,
            out / 'detector',
            args.detector_epochs,
        )
    truth = data / 'miqa_det/ground_truth.json'
    if not truth.is_file():
        parse_json(read_regular_text(args.annotations), args.annotations)
        truth.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(truth) as temporary:
            shutil.copyfile(args.annotations, temporary)
    run(
        'data/make_distortions.py', args.images, '--out', data, '--task', 'det', '--annotations', args.annotations,
        '--patterns', 'uniform', '--measures', 'none', '--jobs', args.jobs, '--distortions', *args.distortions,
    )  # fmt: skip
    run('data/run_machines.py', data, '--task', 'det', '--machines', machines, '--batch-size', 8)
    run('data/make_labels.py', data, '--task', 'det', '--jobs', args.jobs)
    if not (data / 'splits').exists():
        run('data/make_splits.py', data, '--task', 'det', '--val-share', args.held_out)
    run('data/verify.py', data, '--task', 'det')
    config = args.config if Path(args.config).is_file() else REPOSITORY / args.config
    gate = out / 'gate'
    run(
        'train.py', config, '--data-root', data, '--work-dir', gate, '--epochs', args.epochs,
        '--label', 'accuracy', '--resume', 'auto',
    )  # fmt: skip
    run('test.py', config, gate / 'best.pth', '--data-root', data, '--label', 'accuracy', '--out', gate / 'test')
    show_benefit(data, gate / 'test/predictions.csv', out)
    print(f'\nThe gate: {gate / "best.pth"}; the curve: {out / "filter_curve.png"}')


if __name__ == '__main__':
    run_command(main, SAME_AGAIN)
