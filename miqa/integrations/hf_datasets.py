"""Scores as columns of a Hugging Face dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from miqa.apis.model import MIQAModel
from miqa.running import require

if TYPE_CHECKING:
    from datasets import Dataset


def score_batch(model: MIQAModel, column: str = 'image', prefix: str = 'miqa') -> Callable[[dict], dict]:
    """Make a function for ``dataset.map(..., batched=True)``.

    Args:
        model: a loaded model.
        column: with pictures: Pillow pictures (the feature ``Image``), paths, or bytes of files.
        prefix: of the new columns.

    Returns:
        A function from a batch to its columns ``{prefix}_score`` (None where a picture could not be read),
        ``{prefix}_quality`` and ``{prefix}_error`` (None where all went well).
    """

    def score(batch: dict[str, list]) -> dict[str, list]:
        assessments = list(model.assess_all([_picture(value) for value in batch[column]]))
        return {
            f'{prefix}_score': [one.score for one in assessments],
            f'{prefix}_quality': [one.quality for one in assessments],
            f'{prefix}_error': [None if one.error is None else str(one.error) for one in assessments],
        }

    return score


def add_scores(
    dataset: Dataset, model: MIQAModel, *, column: str = 'image', prefix: str = 'miqa', batch_size: int = 64
) -> Dataset:
    """Return the dataset with columns for score, quality and error; pictures are decoded by this project.

    Decoding by ``datasets`` would end the run at the first broken picture; here it becomes a row with an error.

    Args:
        dataset: with a column of pictures.
        model: a loaded model.
        column: with the pictures.
        prefix: of the new columns.
        batch_size: rows at a time.

    Raises:
        ImportError: ``datasets`` is not installed.
        ValueError: there is no such column, or there are columns of the new names already.
    """
    datasets = require('datasets', 'Scoring a Hugging Face dataset')
    Features, Image, Value = datasets.Features, datasets.Image, datasets.Value  # noqa: N806

    if column not in dataset.column_names:
        raise ValueError(f'The dataset has no column {column!r}; it has {", ".join(dataset.column_names)}.')
    new = {f'{prefix}_score': 'float64', f'{prefix}_quality': 'string', f'{prefix}_error': 'string'}
    taken = sorted(set(new) & set(dataset.column_names))
    if taken:
        raise ValueError(f'The dataset has the columns {", ".join(taken)} already. Choose another prefix.')
    before = dataset.features
    raw = dataset.cast_column(column, Image(decode=False)) if isinstance(before[column], Image) else dataset
    features = Features({**raw.features, **{name: Value(kind) for name, kind in new.items()}})
    # The model cannot be hashed for the cache of `map`; a fingerprint from a digest of its weights can.
    scored = raw.map(
        score_batch(model, column, prefix),
        batched=True,
        batch_size=batch_size,
        features=features,
        desc='quality',
        new_fingerprint=_fingerprint(raw, model, column, prefix),
    )
    return scored.cast_column(column, before[column]) if isinstance(before[column], Image) else scored


def _picture(value: Any):
    """Turn an undecoded cell, ``{'bytes': ..., 'path': ...}``, into what models take; others are taken already."""
    if isinstance(value, dict):
        return value['bytes'] if value.get('bytes') is not None else value['path']
    return value


def _fingerprint(dataset: Dataset, model: MIQAModel, column: str, prefix: str) -> str:
    about = '\n'.join((dataset._fingerprint, model.identity, column, prefix))
    return hashlib.sha256(about.encode()).hexdigest()[:16]
