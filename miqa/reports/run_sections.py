"""Report sections about one run, and about several runs."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from miqa.datasets import label_fingerprint
from miqa.evaluation import SCORES, falling_scores, quality_correlations
from miqa.layout import CATEGORY_COLUMN, SPLIT_COLUMNS, image_root, source_of_entry, split_path
from miqa.outside.tables import read_table
from miqa.taxonomy import DATABASE_TASKS, IMAGE_TASKS

from .breakdown_plots import contact_sheet, heat_map, residual_plot
from .breakdowns import level_grid, residuals, score_groups, score_matrix, worst_predictions
from .plots import new_figure, scatter_plot
from .report_page import data_table, failure, folded, heading, paragraph, pictures, tiles
from .run_folder import RunFolder
from .tables import score_parts

_CATEGORIES = 10  # Lowest and highest categories that are shown: MIQD-2.5M's cls has 1,000 of them


def run_sections(run: RunFolder, data_root: str | None, mapping: str | None = 'linear') -> list[tuple[str, list[str]]]:
    """Return (heading, HTML fragments) for one run: one section for each task and label that it was tested on.

    Args:
        run: the folder.
        data_root: the database, for pictures and categories; None: the one in the run's config.
        mapping: before RMSE and for residuals.
    """
    config = run.config()
    root = data_root or (config.get('data_root') if config is not None else None)
    predictions = run.predictions()
    about = _about(run)
    if predictions is None:
        text = paragraph('This run has not been tested yet: miqa test writes its predictions.')
        return [(run.path.name, [_curves(run), text, *about])]
    sections: list[tuple[str, list[str]]] = []
    for (task, label), part in predictions.groupby(['task', 'label'], sort=False):
        part = part.reset_index(drop=True)
        first = not sections
        fragments = _results(part, task, label, root, mapping)
        sections.append((f'{run.path.name}: {task}, {label}', [*fragments, *([_curves(run), *about] if first else [])]))
    return sections


def _results(part: pd.DataFrame, task: str, label: str, root: str | None, mapping: str | None) -> list[str]:
    try:
        scores = quality_correlations(part.prediction, part.ground_truth, mapping)
    except ValueError as error:
        return [failure(str(error))]
    fragments: list[str] = [
        tiles({**{name: f'{value:.4f}' for name, value in scores.items()}, 'images': f'{len(part):,}'}),
        paragraph(
            f'{part.source.nunique()} source images; standard deviation of the labels '
            f'{label_fingerprint(part.ground_truth):.4f}; RMSE after a least-squares map ({mapping or "none"}).'
        ),
    ]
    if warning := falling_scores('This model', scores['SRCC']):
        fragments.append(failure(warning))
    residual = residuals(part, mapping)
    fragments.append(
        pictures(
            (scatter_plot(part.prediction, part.ground_truth, mapping=mapping), 'Labels against predictions.'),
            (residual_plot(part, residual), 'What is left after the fitted map, whole and by distortion.'),
        )
    )
    grid = level_grid(part, 'SRCC', mapping)
    distortions = score_groups(part, 'distortion', mapping)[list(SCORES)]
    fragments.append(
        pictures(
            (
                heat_map(grid, title='SRCC by level', xlabel='background level', ylabel='foreground level'),
                'SRCC within each pair of foreground and background level; the diagonal is uniform.',
            ),
            (heat_map(distortions, title='scores by distortion'), 'The four scores within each distortion.'),
        )
    )
    table = score_parts(part, mapping).set_index(['group', 'part'])
    table.index.names = [None, None]
    fragments.append(heading('Parts of the test set') + data_table(table))
    fragments.append(_categories(part, task, root, mapping))
    fragments.append(heading('Worst predictions') + _worst(part, task, root, mapping))
    return fragments


def _worst(part: pd.DataFrame, task: str, root: str | None, mapping: str | None) -> str:
    worst = worst_predictions(part, 12, mapping)
    columns = ['image', 'ground_truth', 'residual']
    table = data_table(worst.set_index('image')[columns[1:]], caption='At most one of each source and distortion.')
    folder = None if root is None else image_root(root, task)
    if folder is None or not folder.is_dir():
        return paragraph(f'The pictures are not shown: there is no folder {folder}; --data-root names it.') + table
    text = 'Label and mapped prediction; red is scored too high, blue too low.'
    return pictures((contact_sheet(worst, folder), text)) + table


def _categories(part: pd.DataFrame, task: str, root: str | None, mapping: str | None) -> str:
    categories = source_categories(root, task) if root else None
    if not categories:
        return ''
    table = score_groups(part.assign(category=part.source.map(categories)), 'category', mapping)[['n', *SCORES]]
    if len(table) < 2:
        return ''
    table = table.sort_values('SRCC')
    title = heading('Categories of the source')
    if len(table) <= 2 * _CATEGORIES:
        return title + data_table(table)
    extremes = pd.concat([table.head(_CATEGORIES), table.dropna(subset=['SRCC']).tail(_CATEGORIES)])
    return title + data_table(extremes, caption=f'The {_CATEGORIES} lowest and highest of {len(table)} by SRCC.')


def source_categories(data_root: str, task: str) -> dict[str, str] | None:
    """Return source -> category from the split file of cls, or None where the database names none."""
    path = split_path(data_root, task, 'val')
    if task != 'cls' or not path.is_file():
        return None
    names = SPLIT_COLUMNS['cls']
    rows = read_table(path, [], 'split file', optional=(names, CATEGORY_COLUMN)).rows
    if not rows or set(rows[0]) != {names, CATEGORY_COLUMN}:
        return None
    return {source_of_entry(row[names], task, str(path)): row[CATEGORY_COLUMN] for row in rows if row[names]}


def _curves(run: RunFolder) -> str:
    curves = run.curves()
    panels = [name for name in ('loss', 'SRCC', 'PLCC', 'lr') if name in curves and curves[name].notna().sum() > 1]
    if not panels:
        return ''
    figure, all_axes = new_figure(3.6 * len(panels), 2.7, 1, len(panels))
    for axes, name in zip(np.atleast_1d(all_axes).ravel(), panels, strict=True):
        labelled = curves.dropna(subset=[name])
        axes.plot(
            labelled.step, labelled[name], color='#0072B2', lw=1.6, marker='o' if len(labelled) < 30 else None, ms=3
        )
        axes.set(title=name, xlabel='step')
    return heading('Training') + pictures((figure, 'Logged values by step.'))


def _about(run: RunFolder) -> list[str]:
    environment, config = run.environment(), run.config_text()
    return [
        folded('Config', config) if config is not None else '',
        folded('Environment', json.dumps(environment, indent=2)) if environment else '',
    ]


def matrix_fragments(runs: list[RunFolder]) -> list[str]:
    """Return the cross-task and cross-label matrix of all runs, and the agreement of labels; empty for one column."""
    predicted: dict[str, pd.Series] = {}
    truths: dict[str, pd.Series] = {}
    for run in runs:
        table = run.predictions()
        if table is None:
            continue
        # Images of det and ins are the same files; those of cls are others.
        names = table.task.map(IMAGE_TASKS) + '/' + table.image
        table = table.assign(key=names)
        for (task, label), part in table.groupby(['task', 'label'], sort=False):
            truths.setdefault(f'{task} {label}', part.drop_duplicates('key').set_index('key').ground_truth)
        predicted[run.path.name] = table.drop_duplicates('key').set_index('key').prediction
    if len(truths) < 2:
        return []
    order = sorted(truths, key=lambda name: (DATABASE_TASKS.index(name.split()[0]), name))
    truths = {name: truths[name] for name in order}
    crossed, _ = score_matrix(predicted, truths)
    agreement, counts = score_matrix(truths, truths)
    return [
        paragraph(
            'Rows were trained, columns are the labels that they are compared with, by SRCC on the images that both '
            'have; a dash means that the run was not tested on such images (miqa test --datasets).'
        ),
        pictures(
            (heat_map(crossed, title='across tasks and labels'), 'SRCC of every run with every set of labels.'),
            (heat_map(agreement, title='agreement of labels'), 'SRCC between sets of labels on their common images.'),
        ),
        data_table(counts, caption='Images that two sets of labels share.'),
    ]
