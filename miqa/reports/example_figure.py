"""One picture that says what machine-centric quality is: images, what machines see in them, and the scores."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_RIGHT, _WRONG = '#1a7f37', '#b42318'
_BARS = ('#0072B2', '#D55E00', '#8a8a8a', '#CC79A7')


@dataclass
class Example:
    """One image of the figure.

    Attributes:
        image: uint8 RGB (H, W, 3).
        title: what was done to it.
        answers: (machine, what it says, whether that is right) for each machine.
        scores: name of a score -> value in [0, 1].
    """

    image: np.ndarray
    title: str
    answers: list[tuple[str, str, bool]] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)


def example_figure(examples: Sequence[Example], title: str, footer: str = '') -> Figure:
    """Draw examples side by side: the image, the answers of the machines below it, the scores as bars.

    Raises:
        ValueError: there are no examples, or they have different scores.
    """
    if not examples:
        raise ValueError('A figure of examples needs at least one.')
    names = list(examples[0].scores)
    if any(list(example.scores) != names for example in examples):
        raise ValueError(f'All examples need the same scores, {names}, in the same order.')
    answers = max(len(example.answers) for example in examples)
    figure = Figure(figsize=(2.55 * len(examples) + 1.3, 5.6))
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        3,
        len(examples),
        height_ratios=(2.5, 0.3 * answers + 0.15, 0.36 * len(names) + 0.1),
        left=0.125,
        right=0.985,
        top=0.82,
        bottom=0.09 if footer else 0.03,
        wspace=0.12,
        hspace=0.06,
    )
    figure.text(0.5, 0.955, title, ha='center', va='center', fontsize=15, weight='bold')
    for column, example in enumerate(examples):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(_square(example.image), interpolation='antialiased')
        axes.set_title(example.title, fontsize=10.5)
        axes.set_axis_off()
        _draw_answers(figure.add_subplot(grid[1, column]), example, answers)
        _draw_scores(figure.add_subplot(grid[2, column]), example, names, first=column == 0)
    box = figure.axes[1].get_position()
    figure.text(0.008, (box.y0 + box.y1) / 2, 'vision\nmodels say', va='center', fontsize=10)
    if footer:
        figure.text(0.5, 0.03, textwrap.fill(footer, 190), ha='center', va='center', fontsize=8.5, color='0.35')
    return figure


def _square(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def _draw_answers(axes, example: Example, rows: int) -> None:
    axes.set(xlim=(0, 1), ylim=(rows, 0))
    axes.set_axis_off()
    for row, (machine, answer, right) in enumerate(example.answers):
        color = _RIGHT if right else _WRONG
        axes.text(0.0, row + 0.5, '\u2713' if right else '\u2717', color=color, va='center', fontsize=12, weight='bold')
        text = textwrap.shorten(f'{machine}: {answer}', 30, placeholder='\u2026')
        axes.text(0.09, row + 0.5, text, color=color, va='center', fontsize=9)


def _draw_scores(axes, example: Example, names: list[str], first: bool) -> None:
    values = [example.scores[name] for name in names]
    axes.barh(range(len(names)), np.clip(values, 0, 1), color=_BARS[: len(names)], height=0.7)
    axes.set(xlim=(0, 1.28), ylim=(len(names) - 0.4, -0.6), xticks=[], yticks=[])
    axes.spines[['top', 'right', 'bottom']].set_visible(False)
    for row, value in enumerate(values):
        axes.text(float(np.clip(value, 0, 1)) + 0.03, row, f'{value:.2f}', va='center', fontsize=9)
    if first:
        axes.set_yticks(range(len(names)), names, fontsize=10)
        axes.tick_params(axis='y', length=0)
