"""Recognise the paper's test set by its label deviation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from miqa.taxonomy import TEST_LABEL_DEVIATIONS

TOLERANCE = 0.0002  # How far a deviation may be from the published one, which has four digits


def label_fingerprint(labels: np.ndarray) -> float:
    """Return the population standard deviation of labels, in float64.

    In the paper's tables RMSE = sigma * sqrt(1 - PLCC^2) for every row, with this sigma.
    """
    return float(np.std(np.asarray(labels, dtype=np.float64)))


def describe_fingerprint(
    fingerprint: float,
    task: str,
    label: str,
    split: str,
    official: bool,
    missing: int,
    without_labels: Sequence[str] = (),
) -> str:
    """Return a sentence on what a split's label deviation, of :func:`label_fingerprint`, means.

    ``official`` says that the sources are exactly those of the authors' split file, ``missing`` how many images and
    ``without_labels`` which sources are skipped.
    """
    start = f'Label fingerprint of {task} {split}, {label}: standard deviation {fingerprint:.4f}'
    if split != 'val':
        return f'{start} (the paper gives none for training labels).'
    if not official:
        return f'{start}. The sources are not those of the official test split, so there is no published value.'
    published = TEST_LABEL_DEVIATIONS[label, task]
    # Half a unit of the last digit of float32 labels is far below the tolerance.
    if abs(fingerprint - published) <= TOLERANCE + 1e-9:
        return f"{start}, which agrees with the {published:.4f} of the paper's test set."
    reasons = [f'{missing} images'] * bool(missing) + [f'{len(without_labels)} sources'] * bool(without_labels)
    skipped = f' {" and ".join(reasons)} of the split are skipped.' if reasons else ''
    return (
        f'{start}, but the official test split has {published:.4f} in the paper: these are not the labels that its '
        f'numbers were measured with, so results cannot be compared with the published table.{skipped}'
    )
