"""Compare scoring methods on the same images: table, scatter plots, filter curves."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from miqa.benchmark.run import ALL_MACHINES, Benchmark
from miqa.evaluation import SCORES
from miqa.keeping import atomic_write
from miqa.outside.names import fitting_name
from miqa.taxonomy import check_choice

from .plots import filter_plot, save_figure, scatter_plot

# What a filter curve shows on the vertical axis, by task.
_RESULTS = {
    'cls': 'mean top-1 accuracy of the rest',
    'det': 'mean AP of the rest',
    'ins': 'mean AP of the rest',
    'seg': 'mean IoU of the rest',
}


def print_comparison(benchmark: Benchmark, task: str, label: str, console: Console | None = None) -> None:
    """Print a table for each set of labels of a task and label, the best SRCC first, with its 95% interval.

    Methods that could not be scored follow below with the reason. A method that asks one of the machines
    behind the labels is marked, for it shares a part of the labels.
    """
    console = console or Console(width=None if Console().is_terminal else 110)
    cells = benchmark.cells[(benchmark.cells.task == task) & (benchmark.cells.label == label)]
    # First the labels that no method has helped to make.
    groups = sorted(cells.groupby('labels_from', sort=False), key=lambda group: group[0] == ALL_MACHINES)
    for labels_from, rows in groups:
        sets = benchmark.test_sets
        sets = sets[(sets.task == task) & (sets.label == label) & (sets.labels_from == labels_from)].iloc[0]
        table = Table(
            title=f'{task}, {label} label from {labels_from}: {sets.images} images of {sets.sources} held-out sources',
            title_justify='left',
        )
        table.add_column('method')
        for name in SCORES:
            table.add_column(name, justify='right')
        table.add_column('95% of SRCC', justify='right')
        scored = rows[rows.failure == ''].sort_values('SRCC', ascending=False)
        for row in scored.itertuples(index=False):
            mark = ' *' if row.made_labels == 'yes' else ''
            numbers = [f'{getattr(row, name):.3f}' for name in SCORES]
            table.add_row(row.method + mark, *numbers, f'{row.SRCC_low:.2f} to {row.SRCC_high:.2f}')
        console.print(table)
        if (scored.made_labels == 'yes').any():
            console.print('* runs one of the machines that made these labels, which is an advantage.')
        for row in rows[rows.failure != ''].itertuples(index=False):
            console.print(f'{row.method} was not scored: {row.failure}')


def save_comparison(
    benchmark: Benchmark, images: pd.DataFrame, task: str, label: str, out: str | os.PathLike
) -> list[Path]:
    """Write ``comparison.csv``, ``scatter_{method}.png`` and ``filter_curve.png`` below ``out``; return the files.

    Earlier results are replaced. ``images`` are those of :func:`miqa.benchmark.baselines.read_test_images`; the filter
    curve averages their ``accuracy``.

    Raises:
        ValueError: the task and label were not scored.
    """
    tables = [f'{key[0]}, {key[1]}' for key in benchmark.scores if key[2] == ALL_MACHINES]
    check_choice(f'{task}, {label}', tables, 'task and label')
    scores = benchmark.scores[task, label, ALL_MACHINES]
    cells = benchmark.cells[(benchmark.cells.task == task) & (benchmark.cells.label == label)]
    scored = cells[(cells.labels_from == ALL_MACHINES) & (cells.failure == '')]
    methods = list(scored.sort_values('SRCC', ascending=False).method)
    correct = images.set_index('image').accuracy.reindex(scores.image).to_numpy()
    out = Path(out)
    paths = [out / 'comparison.csv']
    with atomic_write(paths[0]) as temporary:
        cells.to_csv(temporary, index=False, float_format='%.6f')
    for method in methods:
        name = re.sub(r'\W+', '_', method.lower()).strip('_') or 'method'
        path, number = out / f'scatter_{fitting_name(name, ".png", 200)}', 1
        while path in paths:
            number += 1
            path = out / f'scatter_{fitting_name(name, f"_{number}.png", 200)}'
        paths.append(path)
        save_figure(scatter_plot(scores[method], scores.ground_truth, title=f'{method}: {label}, {task}'), paths[-1])
    paths.append(out / 'filter_curve.png')
    figure = filter_plot({method: scores[method] for method in methods}, correct, ylabel=_RESULTS[task])
    save_figure(figure, paths[-1])
    return paths
