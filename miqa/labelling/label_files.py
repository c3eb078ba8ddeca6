"""Label files in the formats of MIQD-2.5M."""

from __future__ import annotations

import csv
from pathlib import Path

from ..utils import atomic_write


def write_cls_labels(folder: Path, source: str, rows: list[dict]) -> Path:
    """Write ``{source}_mmos.csv``.

    Args:
        folder: ``miqa_cls/labels``.
        source: stem of the clean image.
        rows: one per version, with ``dist_images``, ``weighted_consistency``, ``weighted_accuracy``,
            ``mean_consistency``, ``std_consistency``, ``mean_accuracy`` and ``std_accuracy``.
    """
    columns = (
        'dist_images',
        'weighted_consistency',
        'weighted_accuracy',
        'mean_consistency',
        'std_consistency',
        'mean_accuracy',
        'std_accuracy',
    )
    return _write(folder / f'{source}_mmos.csv', columns, rows)


def write_detection_labels(folder: Path, source: str, label: str, rows: list[dict]) -> Path:
    """Write ``{source}_accuracy.csv`` or ``{source}_consistency.csv`` of det or ins.

    Args:
        folder: ``miqa_det/labels`` or ``miqa_ins/labels``.
        source: stem of the clean image.
        label: ``accuracy`` or ``consistency``.
        rows: one per version, with ``filename``, ``AP_weighted_avg``, ``AP_mean``, ``AP_std`` and the same with
            ``AP75`` in place of ``AP``.
    """
    columns = (
        'filename',
        'AP_weighted_avg',
        'AP_mean',
        'AP_std',
        'AP75_weighted_avg',
        'AP75_mean',
        'AP75_std',
    )
    return _write(folder / f'{source}_{label}.csv', columns, rows)


def _write(path: Path, columns: tuple[str, ...], rows: list[dict]) -> Path:
    with atomic_write(path) as temporary, open(temporary, 'w', newline='', encoding='utf-8') as stream:
        writer = csv.DictWriter(stream, columns, lineterminator='\n')
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f'{row[key]:.6f}' if isinstance(row[key], float) else row[key] for key in columns})
    return path
