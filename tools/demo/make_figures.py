#!/usr/bin/env python
"""Draw docs/images/what_is_miqa.png from the demo database and a trained model's predictions on it.

Examples:
  bash tools/quickstart.sh
  python tools/demo/make_figures.py
  python tools/demo/make_figures.py --images foolbox_imagenet_15_99_snow_4.png ai_benchmark_0_fog_1.png
"""

import argparse
from pathlib import Path

import pandas as pd
import timm.data

from miqa.distortions.fidelity import fidelity
from miqa.evaluation.predictions import read_predictions
from miqa.labelling import read_classes
from miqa.layout import ground_truth_path, image_root
from miqa.machines import answered_machines, list_sources
from miqa.pictures import read_image
from miqa.reports.example_figure import Example, example_figure
from miqa.reports.plots import save_figure
from miqa.running.command_line import ToolParser, run_command

TITLE = 'How well will vision models do on this image?'
FOOTER = (
    'Distorted photographs held out from training. Label: how far the answers of the vision models stay the same and '
    "right. The quality model (the quickstart's CNN) sees the distorted image alone; SSIM compares it with the "
    'original. Picked among images where the model is within 0.15 of the label and SSIM misleads.'
)


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('--data-root', default='data/demo', help='the demo database (default: %(default)s)')
    parser.add_argument(
        '--predictions',
        default='work_dirs/quickstart/cnn/test/predictions.csv',
        help='written by tools/test.py (default: %(default)s)',
    )
    parser.add_argument('--images', nargs='+', metavar='FILE', help='file names (default: five that differ most)')
    parser.add_argument('--out', default='docs/images/what_is_miqa.png', help='default: %(default)s')
    return parser.parse_args(arguments)


def measure_ssim(data_root: str, predictions: pd.DataFrame) -> pd.Series:
    """Return SSIM of every predicted image with its clean source, by file name."""
    clean = {source.source: source for source in list_sources(data_root, 'cls')}
    values = {}
    for row in predictions.itertuples():
        name = Path(row.image).name
        source = clean[row.source]
        pair = read_image(source.clean), read_image(source.folder / name)
        values[name] = fidelity(*pair, names=('SSIM',))['SSIM']
    return pd.Series(values)


def choose(predictions: pd.DataFrame, ssim: pd.Series, count: int = 5) -> list[str]:
    """Choose images of different sources and distortions, from the worst label to the best, where SSIM misleads.

    Only images on which the model is about right are taken: the figure explains the idea, not the errors. For those
    see the scatter plots.
    """
    table = predictions.assign(name=[Path(image).name for image in predictions.image])
    table = table.assign(ssim=table.name.map(ssim))
    table['misled'] = (table.ssim.rank(pct=True) - table.ground_truth.rank(pct=True)).abs()
    table = table[(table.prediction - table.ground_truth).abs() < 0.15]
    table['step'] = pd.qcut(table.ground_truth.rank(method='first'), count, labels=False)
    chosen = []
    for _, group in table.groupby('step'):
        taken = table[table.name.isin(chosen)]
        fresh = group[~group.source.isin(taken.source) & ~group.distortion.isin(taken.distortion)]
        chosen.append((fresh if len(fresh) else group).sort_values('misled').name.iloc[-1])
    return chosen


def describe(row) -> str:
    """Say in words what was done to an image."""
    name = row.distortion.replace('_', ' ').replace('jpeg compression', 'JPEG')
    if row.fg_level == row.bg_level:
        return f'{name}, level {row.fg_level} of 5'
    return f'{name}: object {row.fg_level}, rest {row.bg_level}'


def main() -> None:
    """Draw the figure."""
    args = parse_arguments()
    predictions = read_predictions(args.predictions)
    ssim = measure_ssim(args.data_root, predictions)
    names = args.images or choose(predictions, ssim)
    rows = predictions.set_index([[Path(image).name for image in predictions.image]])
    truth = read_classes(ground_truth_path(args.data_root, 'cls'))
    info = timm.data.ImageNetInfo()
    machines = []
    for folder in answered_machines(args.data_root, 'cls'):
        answers = pd.concat(table.to_pandas() for table in folder.tables(['filename', 'top1']))
        machines.append((folder.folder.name.rpartition('_')[2].title(), answers.set_index('filename').top1))
    examples = []
    for name in names:
        row = rows.loc[name]
        image = read_image(image_root(args.data_root, 'cls') / row.source / name)
        answers = [
            (machine, info.index_to_description(int(top1[name])).split(',')[0], int(top1[name]) == truth[row.source])
            for machine, top1 in machines
        ]
        scores = {'label': row.ground_truth, 'quality model': row.prediction, 'SSIM': ssim[name]}
        examples.append(Example(image, describe(row), answers, scores))
    save_figure(example_figure(examples, TITLE, FOOTER), args.out, dpi=110)
    print(f'Saved {args.out}, from {" ".join(names)}')


if __name__ == '__main__':
    run_command(main)
