"""Gains of one method over others in the parts of a test set where models are known to struggle."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from miqa.taxonomy import check_choice

from .bootstrap import SourceBootstrap, paired_difference
from .run import Benchmark

#: Name -> which images: of a table with ``fg_level`` and ``bg_level``, 1 (subtle) to 5.
PARTS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    'all': lambda table: table.fg_level > 0,
    'subtle: levels 1 and 2': lambda table: table[['fg_level', 'bg_level']].max(axis=1) <= 2,
    'level 1 alone': lambda table: (table.fg_level == 1) & (table.bg_level == 1),
    'strong: levels 4 and 5': lambda table: table[['fg_level', 'bg_level']].min(axis=1) >= 4,
    'background damaged more': lambda table: table.bg_level > table.fg_level,
    'foreground damaged more': lambda table: table.fg_level > table.bg_level,
}


def gains(
    table: pd.DataFrame,
    method: str,
    others: Sequence[str],
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare a method in SRCC with the best of others, part by part.

    The best of the others is chosen in each part by itself, which favours them. ``table`` is one of
    :attr:`miqa.benchmark.run.Benchmark.scores`; intervals of ``confidence`` come from a bootstrap by source.

    Returns:
        One row for each part that has at least two sources and labels that differ: ``part``, ``images``, ``SRCC``,
        ``best_other``, ``SRCC_other``, ``gain``, ``low``, ``high``, ``p_value``, ``is_difference``.
    """
    rows = []
    for part, choose in PARTS.items():
        members = table[choose(table)]
        if members.source.nunique() < 2 or members.ground_truth.nunique() < 2:
            continue
        bootstrap = SourceBootstrap(members.ground_truth, members.source, resamples, seed=seed)
        scores = {name: bootstrap.scores(members[name]) for name in dict.fromkeys([method, *others])}
        best = max(others, key=lambda name: scores[name].values['SRCC'])
        pair = paired_difference(scores[method], scores[best], 'SRCC', confidence)
        rows.append(
            {
                'part': part,
                'images': len(members),
                'SRCC': scores[method].values['SRCC'],
                'best_other': best,
                'SRCC_other': scores[best].values['SRCC'],
                'gain': pair.value,
                'low': pair.low,
                'high': pair.high,
                'p_value': pair.p_value,
                'is_difference': pair.is_one,
            }
        )
    return pd.DataFrame(rows)


def gains_of(benchmark: Benchmark, method: str) -> pd.DataFrame:
    """Return :func:`gains` of a method over the confidences of machines, for every label and set of labels.

    Raises:
        ValueError: the benchmark has no such method, or no confidence to compare it with.
    """
    rows = []
    for (task, label, labels_from), table in benchmark.scores.items():
        cells = benchmark.cells[(benchmark.cells.task == task) & (benchmark.cells.label == label)]
        check_choice(method, list(dict.fromkeys(cells.method)), 'method')
        confidences = [name for name in cells.method[cells.kind == 'confidence'].unique() if name in table]
        if not confidences:
            raise ValueError(f'There is no confidence to compare {method} with: add confidence:MACHINE to --methods.')
        if method in table:
            settings = {key: benchmark.settings[key] for key in ('resamples', 'confidence', 'seed')}
            rows_of_label = gains(table, method, confidences, **settings)
            rows.append(rows_of_label.assign(task=task, label=label, labels_from=labels_from))
    return pd.concat(rows, ignore_index=True)
