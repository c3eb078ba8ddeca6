"""Real pairs of good and bad pictures of one scene: labels by classifiers, and how well scores follow them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from miqa.labelling.classification import soft_consistency
from miqa.pictures import read_image


def list_pairs(root: Path) -> list[tuple[str, int, Path, Path]]:
    """Return set, number of the scene, good and bad picture of every pair below ``root``."""
    pairs = []
    for folder in sorted(path for path in root.iterdir() if (path / 'good').is_dir()):
        for number, good in enumerate(sorted((folder / 'good').iterdir())):
            pairs.append((folder.name, number, good, folder / 'bad' / good.name))
    return pairs


def label_pairs(pairs: list, classify: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
    """Return ``consistency`` (N, machines) of the bad pictures and ``confidence`` (N, 2, machines) of good and bad."""
    consistency, confidence = [], []
    for _, _, good, bad in pairs:
        clean, damaged = classify(read_image(good)), classify(read_image(bad))
        consistency.append(soft_consistency(damaged, clean))
        confidence.append((clean.max(1), damaged.max(1)))
    return {'consistency': np.array(consistency), 'confidence': np.array(confidence)}


def judge(names: list[str], scores: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Return the mean SRCC within sets, the pooled one, and the share of pairs whose bad picture scores lower.

    Args:
        names: set of each pair, (N,).
        scores: (N, 2) of good and bad pictures.
        label: (N,) of the bad pictures.
    """
    sets = np.array(names)
    each = {name: float(spearmanr(scores[sets == name, 1], label[sets == name])[0]) for name in dict.fromkeys(names)}
    return {
        **each,
        'within': float(np.mean(list(each.values()))),
        'pooled': float(spearmanr(scores[:, 1], label)[0]),
        'ordered': float((scores[:, 1] < scores[:, 0]).mean()),
    }
