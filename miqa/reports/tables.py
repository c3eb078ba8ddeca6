"""Scores of a whole test set and of its parts, as numbers and as text."""

from __future__ import annotations

import pandas as pd
from rich.console import Console
from rich.table import Table

from miqa.evaluation import SCORES, UndefinedScores, quality_correlations


def score_parts(predictions: pd.DataFrame, mapping: str | None = 'linear') -> pd.DataFrame:
    """Score predictions whole and by distortion, level of uniform versions, and region pattern.

    Args:
        predictions: with the columns of :data:`miqa.evaluation.predictions.COLUMNS` and ``region_pattern``.
        mapping: fitted for each part by itself, see :func:`miqa.evaluation.quality_correlations`.

    Returns:
        One row a part: ``group`` (overall, distortion, level, region_pattern), ``part``, ``n``, the four scores and
        ``note``. Where no correlation is defined (constant, NaN, or under 3 images) the scores are NaN and ``note``
        is the reason.
    """
    rows = [{'group': 'overall', 'part': 'all', 'n': len(predictions), **_score(predictions, mapping)}]
    uniform = predictions[predictions.region_pattern == 'uniform']
    for group, column, table in (
        ('distortion', 'distortion', predictions),
        ('level', 'fg_level', uniform),
        ('region_pattern', 'region_pattern', predictions),
    ):
        for part, members in table.groupby(column, sort=group == 'level'):
            rows.append({'group': group, 'part': str(part), 'n': len(members), **_score(members, mapping)})
    return pd.DataFrame(rows)


def _score(members: pd.DataFrame, mapping: str | None) -> dict:
    try:
        return {**quality_correlations(members.prediction, members.ground_truth, mapping), 'note': ''}
    except UndefinedScores as error:
        return {**dict.fromkeys(SCORES, float('nan')), 'note': str(error)}


def print_scores(scores: pd.DataFrame, title: str) -> None:
    """Print what :func:`score_parts` returns as a table; undefined scores show as a dash, each reason once below."""
    table = Table(title=title, title_justify='left')
    table.add_column('')
    for column in ('n', *SCORES):
        table.add_column(column, justify='right')
    group: str | None = None
    names_of_note: dict[str, list[str]] = {}
    for row in scores.itertuples(index=False):
        if row.group != group:
            group = row.group
            table.add_section()
        name = 'all' if group == 'overall' else f'level {row.part}' if group == 'level' else row.part
        numbers = (getattr(row, score) for score in SCORES)
        if row.note:
            names_of_note.setdefault(row.note, []).append(name)
        table.add_row(name, str(row.n), *('-' if number != number else f'{number:.4f}' for number in numbers))
    console = Console(width=None if Console().is_terminal else 100)
    console.print(table)
    for note, names in names_of_note.items():
        console.print(f'{", ".join(names)}: {note}', style='dim')


def scores_as_json(scores: pd.DataFrame) -> dict:
    """Nest what :func:`score_parts` returns as ``{group: {part: {n, SRCC, ...}}}``; undefined scores become None."""
    nested: dict = {}
    for row in scores.to_dict('records'):
        entry = {'n': row['n'], **{name: None if row[name] != row[name] else row[name] for name in SCORES}}
        if row['note']:
            entry['note'] = row['note']
        nested.setdefault(row['group'], {})[row['part']] = entry
    return nested
