"""Which machines made the labels of a database, and the labels without some of them."""

from __future__ import annotations

import os
from collections.abc import Collection

import numpy as np
import pandas as pd

from miqa.keeping.sealed import read_sealed_json
from miqa.labelling import Aggregation, ScoreFolder, composite
from miqa.layout import FILED_LABELS, MANIFEST, label_folder, machines_in, scores_folder


def label_machines(data_root: str | os.PathLike, task: str) -> dict[str, float] | None:
    """Return machine -> weight of the machines that made the labels, or None if the database does not say.

    MIQD-2.5M does not: its labels come from 75 machines, whose weights are not published.
    """
    path = label_folder(data_root, task) / MANIFEST
    if not path.is_file():
        return None
    advice = 'Make the labels again: tools/data/make_labels.py with --overwrite.'
    machines = machines_in(read_sealed_json(path, advice))
    return {name: float(entry['weight']) for name, entry in machines.items()} or None


def labels_without(data_root: str | os.PathLike, task: str, excluded: Collection[str]) -> pd.DataFrame:
    """Compute labels again from the stored scores of all machines but the excluded ones.

    Returns:
        Columns ``consistency``, ``accuracy`` and ``composite`` (float64), index ``filename``; NaN where none of
        the remaining machines has both scores.

    Raises:
        FileNotFoundError: the scores of a machine are missing.
        ValueError: the database does not say which machines made its labels, or none is left.
    """
    machines = label_machines(data_root, task)
    if machines is None:
        raise ValueError(
            f'{label_folder(data_root, task)} has no {MANIFEST} that names the machines behind the '
            f'labels, so labels without {", ".join(sorted(excluded))} cannot be computed.'
        )
    remaining = {name: weight for name, weight in machines.items() if name not in excluded}
    if not remaining:
        raise ValueError(f'All labels of {task} come from {", ".join(sorted(machines))}: nothing is left without them.')
    index = None
    for name, weight in remaining.items():
        table = ScoreFolder(scores_folder(data_root, task) / name).read()
        names = pd.Index(table['filename'].to_pylist())
        if index is None:
            index = names
            totals = {label: Aggregation(len(index)) for label in FILED_LABELS}
        rows = names.get_indexer(index)
        if (rows < 0).any() or len(names) != len(index):
            raise ValueError(f'{name} has not scored the same images as the other machines; run make_labels.py again.')
        for label, total in totals.items():
            total.add(table[label].to_numpy(zero_copy_only=False).astype(np.float64)[rows], weight)
    labels = pd.DataFrame({label: total.summary().weighted for label, total in totals.items()}, index=index)
    return labels.assign(composite=composite(labels.consistency, labels.accuracy))
