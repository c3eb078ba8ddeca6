"""Which labels the label files of a database hold."""

from __future__ import annotations

import os
from pathlib import Path

from miqa.layout import FILED_LABELS, MANIFEST

from .sealed import read_sealed_json


def filed_labels(folder: str | os.PathLike) -> tuple[str, ...]:
    """Return which of accuracy and consistency the label files in ``folder`` hold: both, unless its manifest says one.

    A database without annotations has consistency alone, one of unpaired pictures accuracy alone.
    """
    path = Path(folder) / MANIFEST
    advice = 'Make the labels again: python tools/data/make_labels.py DATA --task TASK --overwrite'
    labels = read_sealed_json(path, advice).get('labels') if path.is_file() else None
    return tuple(label for label in FILED_LABELS if labels is None or label in labels)
