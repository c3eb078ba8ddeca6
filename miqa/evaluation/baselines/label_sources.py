"""Which vision systems made the labels of a database, and what the labels would be without some of them."""

from __future__ import annotations

import json
import os
from collections.abc import Collection

import numpy as np
import pandas as pd

from miqa.labelling import Aggregation, ScoreFolder, composite, scores_folder
from miqa.machines import task_root


def label_systems(data_root: str | os.PathLike, task: str) -> dict[str, float] | None:
    """Return system -> weight of the vision systems that made the labels, or None if the database does not say.

    MIQD-2.5M does not: its labels come from 75 systems, whose weights are not published.
    """
    path = task_root(data_root, task) / 'labels' / 'manifest.json'
    if not path.is_file():
        return None
    systems = json.loads(path.read_text(encoding='utf-8')).get('systems')
    return {name: float(entry['weight']) for name, entry in systems.items()} if systems else None


def labels_without(data_root: str | os.PathLike, task: str, left_out: Collection[str]) -> pd.DataFrame:
    """Compute labels again from the stored scores of all systems but those that are left out.

    Returns:
        Columns ``consistency``, ``accuracy`` and ``composite`` (float64), index ``filename``; NaN where none of
        the remaining systems has both scores.

    Raises:
        FileNotFoundError: the scores of a system are missing.
        ValueError: the database does not say which systems made its labels, or none is left.
    """
    systems = label_systems(data_root, task)
    if systems is None:
        raise ValueError(
            f'{task_root(data_root, task) / "labels"} has no manifest.json that names the vision systems behind the '
            f'labels, so labels without {", ".join(sorted(left_out))} cannot be computed.'
        )
    rest = {name: weight for name, weight in systems.items() if name not in left_out}
    if not rest:
        raise ValueError(f'All labels of {task} come from {", ".join(sorted(systems))}: nothing is left without them.')
    index = None
    for name, weight in rest.items():
        table = ScoreFolder(scores_folder(data_root, task) / name).read()
        names = pd.Index(table['filename'].to_pylist())
        if index is None:
            index = names
            totals = {label: Aggregation(len(index)) for label in ('consistency', 'accuracy')}
        rows = names.get_indexer(index)
        if (rows < 0).any() or len(names) != len(index):
            raise ValueError(f'{name} has not scored the same images as the other systems; run make_labels.py again.')
        for label, total in totals.items():
            total.add(table[label].to_numpy(zero_copy_only=False).astype(np.float64)[rows], weight)
    labels = pd.DataFrame({label: total.summary().weighted for label, total in totals.items()}, index=index)
    return labels.assign(composite=composite(labels.consistency, labels.accuracy))
