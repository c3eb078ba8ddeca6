"""Accuracy and consistency by distortion level, from stored scores of machines."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from matplotlib.figure import Figure

from miqa.labelling import ScoreFolder, top1_accuracy
from miqa.machines import answered_machines
from miqa.taxonomy import DISTORTIONS, LEVELS, parse_version_name

from .filter_benefit import folders_of_scores
from .plots import new_figure

SCORES = ('accuracy', 'consistency')  # What the kept scores are, by name of the column


def scores_by_level(data_root: str | os.PathLike, task: str) -> pd.DataFrame:
    """Average the scores of every machine over the images, for each distortion and level, uniform versions only.

    Returns:
        One row for each machine, distortion and level, with ``accuracy``, ``consistency`` (means, in [0, 1]) and
        ``images`` (how many have an accuracy).

    Raises:
        FileNotFoundError: there are no scores.
    """
    tables = []
    for folder in folders_of_scores(data_root, task):
        table = ScoreFolder(folder).read().to_pandas()
        versions = [parse_version_name(name) for name in table['filename']]
        table['machine'] = folder.name
        table['distortion'] = [version.distortion for version in versions]
        table['level'] = [version.fg_level if version.fg_level == version.bg_level else 0 for version in versions]
        grouped = table[table['level'] > 0].groupby(['machine', 'distortion', 'level'])
        tables.append(grouped.agg(**{name: (name, 'mean') for name in SCORES}, images=('accuracy', 'count')))
    return pd.concat(tables).reset_index()


def clean_accuracy(data_root: str | os.PathLike, classes: Mapping[str, int]) -> dict[str, float]:
    """Return each classifier's top-1 accuracy on the clean images, by machine."""
    accuracies = {}
    for machine in answered_machines(data_root, 'cls'):
        clean = [
            machine.read(part, columns=['source', 'top1'], filters=pc.field('distortion').is_null())
            for part in machine.parts()
        ]
        rows = pd.concat([table.to_pandas() for table in clean]).dropna()
        truth = np.array([classes[source] for source in rows['source']])
        accuracies[machine.folder.name] = float(top1_accuracy(rows['top1'].to_numpy(np.int64), truth).mean())
    return accuracies


def mean_table(rows: pd.DataFrame, score: str = 'accuracy') -> pd.DataFrame:
    """Average ``rows`` of :func:`scores_by_level` over the machines: distortions (in the paper's order) by level."""
    table = rows.pivot_table(index='distortion', columns='level', values=score, aggfunc='mean')
    distortions = [name for name in DISTORTIONS if name in table.index]
    return table.loc[
        distortions + [name for name in table.index if name not in distortions], [v for v in LEVELS if v in table]
    ]


def rises(table: pd.DataFrame, tolerance: float = 0.0) -> list[str]:
    """Say where a table of :func:`mean_table` rises from one level to the next by more than ``tolerance``."""
    sentences = []
    for name, row in table.iterrows():
        for level, following in zip(table.columns, table.columns[1:], strict=False):
            if row[following] > row[level] + tolerance:
                sentences.append(
                    f'{name}: {row[level]:.3f} at level {level}, {row[following]:.3f} at level {following}'
                )
    return sentences


def level_plot(rows: pd.DataFrame, clean: Mapping[str, float] | None = None, score: str = 'accuracy') -> Figure:
    """Draw one panel for each distortion with a line for each machine, from level 0 (clean) where that is known."""
    names = list(mean_table(rows, score).index)
    columns = min(5, len(names))
    lines = -(-len(names) // columns)
    figure, panels = new_figure(2.5 * columns, 2.3 * lines + 0.4, lines, columns, sharex=True, sharey=True)
    panels = np.atleast_1d(panels).ravel()
    for axes, name in zip(panels, names, strict=False):
        for machine, part in rows[rows['distortion'] == name].groupby('machine'):
            part = part.sort_values('level')
            levels, values = part['level'].tolist(), part[score].tolist()
            if clean:
                levels, values = [0, *levels], [clean[machine], *values]
            axes.plot(levels, values, marker='o', ms=3, label=machine)
        axes.set_title(name.replace('_', ' '), fontsize=9)
        axes.set_ylim(0, 1)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    for axes in panels[::columns]:
        axes.set_ylabel(score)
    for axes in panels[-columns:]:
        axes.set_xlabel('level (0: clean)' if clean else 'level')
    panels[0].legend(frameon=False, fontsize=6)
    return figure
