"""Sections of the report about a benchmark: its tables, intervals, breakdown by distortion and filter curves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from miqa.benchmark.run import ALL_MACHINES
from miqa.layout import scores_folder
from miqa.outside import read_regular_text
from miqa.outside.json_text import read_settings
from miqa.taxonomy import DATABASE_TASKS, IMAGE_TASKS, LABELS

from .breakdown_plots import heat_map
from .breakdowns import score_groups, score_matrix
from .filter_benefit import (
    ORACLE,
    RANDOM,
    RESULT_NAMES,
    compare_filters,
    comparison_plot,
    machine_plot,
    machine_results,
)
from .plots import REMOVED_SHARES, save_figure
from .report_page import data_table, heading, paragraph, pictures, preformatted

#: Columns of predictions_{task}_{label}.parquet that are not methods.
_FIXED = {'image', 'source', 'distortion', 'fg_level', 'bg_level', 'task', 'label', 'ground_truth'}


def read_scored_images(folder: Path, task: str, label: str) -> pd.DataFrame | None:
    """Return a benchmark's predictions for one task and label, or None where it has none."""
    path = Path(folder) / f'predictions_{task}_{label}.parquet'
    return _table(path, pd.read_parquet, _FIXED) if path.is_file() else None


def method_columns(scored: pd.DataFrame) -> list[str]:
    """Return the names of the methods among the columns of :func:`read_scored_images`."""
    return [name for name in scored if name not in _FIXED]


def benchmark_sections(folder: Path, data_root: str | None) -> list[tuple[str, list[str]]]:
    """Return (heading, HTML fragments) for one folder of ``tools/analysis/benchmark.py``.

    Args:
        folder: the results.
        data_root: the database with the stored responses, for filter curves; None: the one that was measured.
    """
    settings = _settings(folder)
    cells = _read_cells(folder)
    root = data_root or settings['data_root']
    tables = Markup(read_regular_text(folder / 'tables.html', kind='file of tables'))  # noqa: S704  to_html escaped it
    sections: list[tuple[str, list[str]]] = [
        (f'{folder.name}: tables', [tables, heading('Command') + preformatted(settings['command'])]),
        (f'{folder.name}: intervals', [_intervals(cells), *_parts(folder)]),
    ]
    filters = [text for task in DATABASE_TASKS for text in _filters(folder, root, task)]
    if filters:
        sections.append((f'{folder.name}: does filtering help?', filters))
    return sections


def _settings(folder: Path) -> dict:
    path = folder / 'settings.json'
    settings = read_settings(path)
    if not isinstance(settings, dict) or not {'data_root', 'command'} <= set(settings):
        raise ValueError(
            f'{path} is not what a benchmark writes: it lacks data_root or command. Run the benchmark again: '
            f'python tools/analysis/benchmark.py DATABASE --out {folder}'
        )
    return settings


def interval_plot(cells: pd.DataFrame, title: str) -> Figure:
    """Draw SRCC of each method with its interval, best on top."""
    cells = cells[cells.SRCC.notna()].sort_values('SRCC')
    figure = Figure(figsize=(5.0, 1.0 + 0.3 * len(cells)), layout='constrained')
    axes = figure.subplots()
    for place, row in enumerate(cells.itertuples()):
        color = {'human': '#8a94a0', 'confidence': '#E69F00'}.get(row.kind, '#0072B2')
        axes.hlines(place, float(row.SRCC_low), float(row.SRCC_high), color=color, lw=4, alpha=0.45)
        axes.plot(row.SRCC, place, 'o', color=color, ms=6)
    axes.set_yticks(range(len(cells)), list(cells.method))
    figure.suptitle(title, fontsize=11)
    axes.set_xlabel('SRCC')
    axes.spines[['top', 'right', 'left']].set_visible(False)
    axes.grid(axis='x', alpha=0.3)
    return figure


def interval_figures(cells: pd.DataFrame) -> dict[str, tuple[Figure, str]]:
    """Return name -> (figure, caption): SRCC with intervals for each task, label and set of labels."""
    figures: dict[str, tuple[Figure, str]] = {}
    for (task, label, labels_from), part in cells.groupby(['task', 'label', 'labels_from'], sort=False):
        if part.SRCC.notna().any():
            apart = labels_from != ALL_MACHINES
            title = f'{task}, {label}' + (' (other machines)' if apart else '')
            note = f' Labels from {labels_from}.' if apart else ''
            name = f'intervals_{task}_{label}' + (f'_{len(figures)}' if apart else '')
            caption = f'Grey: human vision; orange: confidence; blue: others.{note}'
            figures[name] = (interval_plot(part, title), caption)
    return figures


def _intervals(cells: pd.DataFrame) -> str:
    lead = paragraph(
        'SRCC with bootstrap intervals by source image. Methods whose bars overlap may still differ: the paired '
        'differences tell.'
    )
    return lead + pictures(*interval_figures(cells).values())


def _parts(folder: Path) -> list[str]:
    figures, labels, predictions = [], {}, {}
    for task in DATABASE_TASKS:
        for label in LABELS:
            scored = read_scored_images(folder, task, label)
            if scored is None:
                continue
            keys = f'{IMAGE_TASKS[task]}/' + scored.image
            labels[f'{task} {label}'] = pd.Series(scored.ground_truth.to_numpy(), index=keys)
            parts = {}
            for name in method_columns(scored):
                table = scored.rename(columns={name: 'prediction'})
                parts[name] = score_groups(table, 'distortion').SRCC
                predictions[f'{name} ({task} {label})'] = pd.Series(scored[name].to_numpy(), index=keys)
            if parts:
                text = f'SRCC of each method within each distortion, {task}, {label}.'
                figures.append((heat_map(pd.DataFrame(parts).T, title=f'{task}, {label}', low=0.0), text))
    out: list[str] = [heading('By distortion') + pictures(*figures)] if figures else []
    if len(labels) > 1:
        agreement, _ = score_matrix(labels, labels)
        caption = 'SRCC between sets of labels on the images that they share.'
        out.append(heading('Agreement of labels') + pictures((heat_map(agreement), caption)))
    return out


def filter_figures(folder: Path, root: str, task: str) -> tuple[dict[str, tuple[Figure, str]], pd.DataFrame | None]:
    """Return name -> (figure, caption) of a task's filter curves, and the areas gained; nothing without predictions.

    One figure compares all methods with a random order and the oracle, on average over the machines; one shows
    every machine, for consistency and accuracy scores of the first trained method where the benchmark has them.

    Raises:
        FileNotFoundError: the database has no stored scores of machines.
    """
    read = ((label, read_scored_images(folder, task, label)) for label in LABELS)
    scored = {label: table for label, table in read if table is not None and method_columns(table)}
    if not scored:
        return {}, None
    label, table = next(iter(scored.items()))
    names = table.image.str.rpartition('/')[2]
    results = machine_results(root, task, pd.DataFrame({'filename': names}))
    result = RESULT_NAMES[task]
    curves, areas = compare_filters({method: table[method].to_numpy() for method in method_columns(table)}, results)
    trained = [method for method in method_columns(table) if _is_trained(folder, method)]
    panels = {
        f'{trained[0]}, {kind} scores': scored[kind][trained[0]].to_numpy()
        for kind in ('consistency', 'accuracy')
        if trained
        and kind in scored
        and trained[0] in scored[kind]
        # Panels share one set of results; a label that skipped other images cannot join.
        and scored[kind].image.equals(table.image)
    }
    if not panels:
        best = trained[0] if trained else areas.area_gained.drop([ORACLE, RANDOM]).idxmax()
        panels = {best: table[best].to_numpy()}
    title = f'{task}: mean of {results.shape[1]} machines'
    caption = f'{result} of the images kept, scored by each method ({label} models where a method is trained).'
    figures = {
        f'filter_{task}': (comparison_plot(curves, title=title, ylabel=result), caption),
        f'filter_{task}_machines': (
            machine_plot(panels, results, title=task, ylabel=result),
            f'One line for each machine: {result}.',
        ),
    }
    areas = areas.sort_values('area_gained', ascending=False)
    areas.index.name = 'scored by'
    return figures, areas


def _filters(folder: Path, root: str | None, task: str) -> list[str]:
    if root is None:
        return []
    try:
        figures, areas = filter_figures(folder, root, task)
    except FileNotFoundError as error:
        return [heading(task), paragraph(str(error))]
    if areas is None:
        return []
    caption = (
        f'Area gained: mean rise of {RESULT_NAMES[task]} over removed shares of 0 to {REMOVED_SHARES[-1]:g}, mean over '
        f'machines; the oracle removes what each machine itself gets wrong.'
    )
    return [heading(task), pictures(*figures.values()), data_table(areas, caption=caption)]


def save_figures(folder: Path) -> list[Path]:
    """Write the interval plots and filter curves of a benchmark as PNG files into its folder; return their paths.

    Filter curves are omitted where the database has no stored scores of machines.
    """
    root = _settings(folder)['data_root']
    cells = _read_cells(folder)
    figures = interval_figures(cells)
    for task in cells.task.unique():
        if scores_folder(root, task).is_dir():
            figures.update(filter_figures(folder, root, task)[0])
    paths = []
    for name, (figure, _) in figures.items():
        paths.append(folder / f'{name}.png')
        save_figure(figure, paths[-1], dpi=110)
    return paths


def _read_cells(folder: Path) -> pd.DataFrame:
    columns = {'method', 'kind', 'task', 'label', 'labels_from', 'SRCC', 'SRCC_low', 'SRCC_high'}
    options = {'keep_default_na': False, 'na_values': {'SRCC': [''], 'SRCC_low': ['']}}
    return _table(folder / 'scores.csv', pd.read_csv, columns, **options)


def _table(path: Path, read: Callable[..., pd.DataFrame], columns: set[str], **options: Any) -> pd.DataFrame:
    try:
        table = read(path, **options)
        problem = '' if columns <= set(table) else f'it lacks the columns {", ".join(sorted(columns - set(table)))}'
    except (ValueError, OSError) as error:
        problem = str(error).rstrip('.')
    if problem:
        raise ValueError(f'{path} is not a table of tools/analysis/benchmark.py: {problem}. Run that again.')
    return table


def _is_trained(folder: Path, method: str) -> bool:
    cells = _read_cells(folder)
    return bool(((cells.method == method) & cells.kind.isin(['model', 'predictions'])).any())
