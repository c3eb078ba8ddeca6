"""Reports of pairs: tables, a picture, a page."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from miqa.benchmark.pairs import CONFIDENCE, LIMIT, PairScores
from miqa.keeping import atomic_write
from miqa.outside.tables import csv_cell

from .plots import save_figure
from .report_page import Page, data_table, pictures

_COLUMNS = {
    'within': 'SRCC within sets',
    'pooled': 'SRCC pooled',
    'below': 'bad below good',
    'gain': 'gain within sets',
}


def pairs_figure(scores: PairScores) -> Figure:
    """Plot the score of each bad picture against its label: a row for each method, a column for each set."""
    groups = sorted(scores.table['set'].unique())
    size = (2.2 * len(groups) + 0.6, 1.9 * len(scores.methods) + 0.4)
    figure = Figure(figsize=size, layout='constrained')
    panels = figure.subplots(len(scores.methods), len(groups), squeeze=False, sharex=True)
    for row, name in enumerate(scores.methods):
        for column, group in enumerate(groups):
            part = scores.table[scores.table['set'] == group]
            axes = panels[row][column]
            axes.scatter(part['label'], part[f'{name} (bad)'], s=9, alpha=0.7)
            axes.grid(alpha=0.25)
            axes.tick_params(labelsize=7)
            if row == 0:
                axes.set_title(f'{group} ({len(part)})', fontsize=9)
            if column == 0:
                axes.set_ylabel(name, fontsize=8)
    figure.supxlabel('label: how far machines keep their output', fontsize=9)
    return figure


def shown_table(summary: pd.DataFrame) -> pd.DataFrame:
    """Write the summary of :func:`miqa.benchmark.pairs.summarise` for people: values with intervals, as text."""

    def cell(row: pd.Series, key: str) -> str:
        if pd.isna(row[key]) or (key == 'gain' and row.name == CONFIDENCE):
            return '–'
        interval = '' if pd.isna(row[f'{key}_low']) else f' [{row[f"{key}_low"]:.2f}, {row[f"{key}_high"]:.2f}]'
        return f'{row[key]:.3f}{interval}'

    columns = {title: [cell(row, key) for _, row in summary.iterrows()] for key, title in _COLUMNS.items()}
    return pd.DataFrame(columns, index=summary.index)


def markdown_table(summary: pd.DataFrame) -> str:
    """Write the summary as a table in GitHub's Markdown."""
    table = shown_table(summary)
    lines = ['| | ' + ' | '.join(table.columns) + ' |', '|---' * (len(table.columns) + 1) + '|']
    lines += [f'| {name} | ' + ' | '.join(row) + ' |' for name, row in zip(table.index, table.to_numpy(), strict=True)]
    return '\n'.join(lines)


def write_pairs_report(folder: Path, scores: PairScores, summary: pd.DataFrame, names: dict[str, str]) -> None:
    """Write ``pairs.csv``, ``summary.csv``, ``summary.json``, ``pairs.png`` and ``report.html`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table, index in (('pairs.csv', scores.table, False), ('summary.csv', summary, True)):
        with atomic_write(folder / name) as temporary:
            table.map(csv_cell).to_csv(temporary, index=index, lineterminator='\n')
    content = {
        **names,
        'pairs': len(scores.table),
        'skipped': scores.skipped,
        'methods': json.loads(summary.to_json(orient='index')),
    }
    with atomic_write(folder / 'summary.json') as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + '\n', encoding='utf-8')
    figure = pairs_figure(scores)
    save_figure(figure, folder / 'pairs.png')
    sets = scores.table.groupby('set').agg(scenes=('label', 'size'), label=('label', 'mean'))
    page = Page('Pairs of good and bad pictures', '; '.join(f'{key}: {value}' for key, value in names.items()))
    page.add_section(
        'Methods',
        data_table(shown_table(summary)),
        f'"{LIMIT}" compares the probe\'s answers to both pictures; all others see one picture at a time. Intervals of '
        f'95 percent by a bootstrap over scenes; the gain is over "{CONFIDENCE}".',
    )
    page.add_section('Scores against labels', pictures((figure, 'Score of each bad picture against its label')))
    page.add_section('Sets', data_table(sets))
    if scores.skipped:
        page.add_section('Skipped', *scores.skipped)
    with atomic_write(folder / 'report.html') as temporary:
        temporary.write_text(page.html(), encoding='utf-8')
