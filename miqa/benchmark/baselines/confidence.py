"""Confidence of a machine in its own answer: available without any quality model or training.

From the stored responses of one machine (:mod:`miqa.machines`); every statistic is higher for better images:

* cls: ``max_probability`` (Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution
  Examples", ICLR 2017), ``negative_entropy`` of the class probabilities in nats, and ``energy``, the logsumexp of the
  logits, which is the negative free energy of Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020.
* det, ins: over the detections with a score of at least :data:`KEPT_SCORE`, ``mean_score`` (0 if there are none) and
  ``sum_scores``; over all stored detections ``expected_count``, the sum of the scores, which is the expected number
  of right detections if scores are probabilities.
"""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from miqa.layout import responses_folder
from miqa.machines import ResponseFolder
from miqa.taxonomy import check_choice

#: Detections with less are not kept: MMDetection's default for drawing them, and make_labels.py's default.
KEPT_SCORE = 0.3

#: Statistics of each task.
STATISTICS = {
    'cls': ('max_probability', 'negative_entropy', 'energy'),
    'det': ('mean_score', 'sum_scores', 'expected_count'),
    'ins': ('mean_score', 'sum_scores', 'expected_count'),
}

_COLUMNS = {
    'max_probability': 'max_probability',
    'negative_entropy': 'entropy',
    'energy': 'logsumexp',
    'mean_score': 'scores',
    'sum_scores': 'scores',
    'expected_count': 'scores',
}


def parse_confidence(name: str) -> tuple[str, str] | None:
    """Split ``statistic:machine``, such as ``max_probability:tf_efficientnet_lite0``; None if it is not such a name."""
    statistic, colon, machine = name.partition(':')
    return (statistic, machine) if colon and statistic in _COLUMNS and machine else None


def confidence_scores(data_root: str | os.PathLike, task: str, statistic: str, machine: str) -> pd.Series:
    """Return one statistic for every distorted image that the machine has answered.

    Returns:
        float64, index ``filename``; NaN for images that the machine could not read.

    Raises:
        FileNotFoundError: the machine has no stored responses for the task.
        ValueError: the statistic belongs to another task, or the responses lack what it needs.
    """
    check_choice(statistic, STATISTICS[task], f'confidence statistic of {task}')
    folder = ResponseFolder(responses_folder(data_root, task) / machine)
    if not folder.parts():
        raise FileNotFoundError(
            f'{machine} has no stored responses for {task} ({folder.folder}). '
            'Make them with tools/data/run_machines.py.'
        )
    column = _COLUMNS[statistic]
    tables = [
        table.filter(pc.is_valid(table['distortion'])) for table in folder.tables(['filename', 'distortion', column])
    ]
    table = pa.concat_tables(tables)
    if column == 'scores':
        values = _over_detections(table['scores'].combine_chunks(), statistic)
    else:
        values = table[column].to_numpy(zero_copy_only=False).astype(np.float64)
    if np.isnan(values).all():
        raise ValueError(f'The responses of {machine} hold no {column}, which {statistic} needs.')
    names = table['filename'].to_pylist()
    return pd.Series(-values if statistic == 'negative_entropy' else values, index=names, name=statistic)


def _over_detections(scores: pa.ListArray, statistic: str) -> np.ndarray:
    """Return the statistic of each list of scores, NaN for null."""
    image = pc.list_parent_indices(scores).to_numpy(zero_copy_only=False)
    flat = pc.list_flatten(scores).to_numpy(zero_copy_only=False).astype(np.float64)
    if statistic != 'expected_count':
        confident = flat >= KEPT_SCORE
        image, flat = image[confident], flat[confident]
    count = len(scores)
    values: np.ndarray = np.bincount(image, weights=flat, minlength=count)
    if statistic == 'mean_score':
        values /= np.maximum(np.bincount(image, minlength=count), 1)
    return np.where(pc.is_valid(scores).to_numpy(zero_copy_only=False), values, np.nan)
