#!/usr/bin/env python
"""Draw the README's first picture, docs/images/what_is_miqa.png: distorted photographs, classifiers' answers, scores.

Needs `pip install -e '.[train]'`. The photographs are shipped with Python packages; the packaged model was not trained
on any of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import timm.data
from matplotlib.figure import Figure

from miqa.apis.model import MIQAModel
from miqa.distortions import apply_distortion
from miqa.distortions.fidelity import fidelity
from miqa.machines.timm_classifier import TimmClassifier
from miqa.networks.packaged_weights import PACKAGED_LITES
from miqa.pictures.package_photos import installed_photos
from miqa.reports.plots import save_figure
from miqa.running.command_line import ToolParser, run_command

#: Photograph, distortion and its level (of 5). tools/train_box.py reports on these photographs and trains on none.
EXAMPLES = (
    ('ai_benchmark_51', 'pixelate', 5), ('ai_benchmark_78', 'glass_blur', 5), ('ai_benchmark_6', 'motion_blur', 4),
    ('foolbox_imagenet_08_915', 'motion_blur', 4), ('ai_benchmark_92', 'gaussian_noise', 3),
)  # fmt: skip
_GREEN, _RED, _BLUE, _GREY = '#1a7f37', '#b42318', '#0072b2', '#8a8a8a'


class Example(NamedTuple):
    """A column of the figure."""

    image: np.ndarray  # uint8 RGB (H, W, 3), distorted
    title: str
    answers: list[tuple[str, bool]]  # of each classifier: the class that it names, and whether it is the right one
    scores: dict[str, float]


def make_examples() -> list[Example]:
    """Distort the photographs of :data:`EXAMPLES`, run three classifiers and the packaged model on them."""
    photos = {photo.source: photo for photo in installed_photos()}
    classifiers = [TimmClassifier(name, 'packaged') for name in PACKAGED_LITES[:3]]
    model, names = MIQAModel(), timm.data.ImageNetInfo()
    examples = []
    for source, distortion, level in EXAMPLES:
        photo = photos[source]
        clean = photo.read()
        image = apply_distortion(clean, distortion, level)
        classes = [int(classifier.predict([image])[0].probabilities.argmax()) for classifier in classifiers]
        examples.append(
            Example(
                image,
                f'{photo.class_name}: {distortion.replace("_", " ")}, level {level}',
                [(names.index_to_description(index).split(',')[0], index == photo.class_index) for index in classes],
                {'MIQA': model.assess(image[:, :, ::-1]), 'SSIM': fidelity(clean, image, names=('SSIM',))['SSIM']},
            )
        )
    return examples


def draw(examples: list[Example]) -> Figure:
    """Draw examples side by side: the picture, below it the answers, and the scores as bars."""
    figure = Figure(figsize=(14, 5.2))
    grid = figure.add_gridspec(
        3, len(examples), height_ratios=(2.5, 0.95, 0.62), left=0.085, right=0.985, top=0.85, bottom=0.1, hspace=0.06,
        wspace=0.12,
    )  # fmt: skip
    figure.suptitle('How well will vision models do on this image?', fontsize=16, weight='bold', y=0.975)
    for column, example in enumerate(examples):
        picture, answers, bars = (figure.add_subplot(grid[row, column]) for row in range(3))
        picture.imshow(example.image, interpolation='antialiased')
        picture.set_title(example.title, fontsize=11)
        answers.set(xlim=(0, 1), ylim=(len(example.answers), 0))
        for row, (name, right) in enumerate(example.answers):
            mark, color = ('\u2713', _GREEN) if right else ('\u2717', _RED)
            answers.text(0.02, row + 0.5, mark, color=color, va='center', fontsize=13, weight='bold')
            answers.text(0.13, row + 0.5, name, color=color, va='center', fontsize=11)
        bars.barh(range(len(example.scores)), list(example.scores.values()), color=(_BLUE, _GREY), height=0.7)
        bars.set(xlim=(0, 1.2), ylim=(len(example.scores) - 0.4, -0.6), xticks=[], yticks=[])
        bars.spines[['top', 'right', 'bottom']].set_visible(False)
        for row, value in enumerate(example.scores.values()):
            bars.text(value + 0.03, row, f'{value:.2f}', va='center', fontsize=10.5)
        for axes in (picture, answers):
            axes.set_axis_off()
        if not column:
            bars.set_yticks(range(len(example.scores)), list(example.scores), fontsize=11)
            bars.tick_params(axis='y', length=0)
            answers.text(-0.42, len(example.answers) / 2, 'three\nclassifiers', va='center', fontsize=11)
    figure.text(
        0.5, 0.04,
        'Photographs on which the packaged model was not trained, chosen so that SSIM misleads. Classifiers: '
        'EfficientNet-Lite0, 1, 2. MIQA takes the distorted image alone; SSIM compares it with the original.',
        ha='center', va='center', fontsize=9.5, color='0.35',
    )  # fmt: skip
    return figure


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('--out', type=Path, default=Path('docs/images/what_is_miqa.png'), help='default: %(default)s')
    return parser.parse_args(arguments)


def main() -> None:
    """Draw the figure."""
    args = parse_arguments()
    save_figure(draw(make_examples()), args.out, dpi=110)
    print(f'Saved {args.out}.')


if __name__ == '__main__':
    run_command(main)
