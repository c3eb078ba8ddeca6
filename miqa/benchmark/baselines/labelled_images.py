"""The images of a split with all their labels, as a table."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from miqa.datasets import open_index
from miqa.taxonomy import LABELS

#: Columns of the table, then one for each label.
COLUMNS = ('image', 'filename', 'source', 'distortion', 'fg_level', 'bg_level')


def read_test_images(
    data_root: str | os.PathLike, task: str, split: str = 'val', missing: str = 'error'
) -> pd.DataFrame:
    """Read the images of a split: ``val`` (the test set) or ``train``; ``missing='skip'`` leaves out images not there.

    Returns:
        One row for each image, in the order of the index: ``image`` (path below the image root), ``filename``,
        ``source``, ``distortion``, ``fg_level``, ``bg_level``, and the three labels (float64).

    Raises:
        FileNotFoundError, DatabaseError: what :func:`miqa.datasets.open_index` raises.
    """
    index = open_index(data_root, task, split, missing)
    images = [index.image(position) for position in range(len(index))]
    versions = [index.version(position) for position in range(len(index))]
    table = pd.DataFrame(
        {
            'image': images,
            'filename': [image.rpartition('/')[2] for image in images],
            'source': [version.source for version in versions],
            'distortion': [version.distortion for version in versions],
            'fg_level': np.array([version.fg_level for version in versions], np.int64),
            'bg_level': np.array([version.bg_level for version in versions], np.int64),
        }
    )
    for label in LABELS:
        table[label] = np.asarray(index.labels(label), np.float64)
    return table
