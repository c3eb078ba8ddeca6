"""The paper's numbers, as data.

Source: Wang, Zhang and Lin, "Image Quality Assessment for Machines: Paradigm, Large-scale Database, and Models",
arXiv:2508.19850 (2025). ``published_tables.csv`` holds Table 1 (composite labels) and Table 2 (consistency and
accuracy labels; it has no KRCC). They were measured on the val split of MIQD-2.5M: 250,000 images for cls and 238,000
each for det and ins.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from miqa.taxonomy import TASKS, TEST_LABEL_DEVIATIONS

if TYPE_CHECKING:
    import pandas as pd

SOURCE = 'arXiv:2508.19850'

TEST_IMAGES = {'cls': 250_000, 'det': 238_000, 'ins': 238_000}  # Images in the official test sets

#: Methods of the paper's tables, in their order: seven made for human vision, then those trained on MIQD-2.5M.
HUMAN_METHODS = ('PSNR', 'SSIM', 'VSI', 'LPIPS', 'DISTS', 'HyperIQA', 'MANIQA')
TRAINED_METHODS = ('ResNet-18', 'ResNet-50', 'EfficientNet-b1', 'EfficientNet-b5', 'ViT-small', 'RA-MIQA')

_KEYS = ('table', 'method', 'task', 'label')
_TABLES = Path(__file__).with_name('published_tables.csv')


@lru_cache(maxsize=1)
def published_tables() -> pd.DataFrame:
    """Return all published rows: ``table, method, task, label, SRCC, PLCC, KRCC, RMSE`` (KRCC is NaN in Table 2)."""
    import pandas as pd

    table = pd.read_csv(_TABLES)
    return table.rename(columns=str.upper).rename(columns={name.upper(): name for name in _KEYS})


def published_scores(method: str, task: str, label: str) -> dict[str, float] | None:
    """Return the paper's scores of one method, task and label, or None if it has no such row."""
    return _scores().get((method, task, label))


@lru_cache(maxsize=1)
def _scores() -> dict[tuple[str, str, str], dict[str, float]]:
    with open(_TABLES, encoding='utf-8', newline='') as stream:
        return {
            (row['method'], row['task'], row['label']): {
                name.upper(): float(row[name] or 'nan') for name in ('srcc', 'plcc', 'krcc', 'rmse')
            }
            for row in csv.DictReader(stream)
        }


def is_official_test_set(labels: np.ndarray, task: str, label: str) -> bool:
    """Return True if test labels look like the paper's: as many images, and the same standard deviation.

    The deviation of the paper's labels follows from its tables (RMSE = sigma sqrt(1 - PLCC^2) in every row). Published
    numbers may be set beside measured ones only where this is true; elsewhere they describe another database.
    """
    from miqa.datasets.fingerprint import TOLERANCE, label_fingerprint

    if task not in TASKS:
        return False
    deviation = TEST_LABEL_DEVIATIONS[label, task]
    return len(labels) == TEST_IMAGES[task] and abs(label_fingerprint(labels) - deviation) <= TOLERANCE + 1e-9
