"""Scatter plots of predictions and labels, and filter curves.

Pure functions over arrays; they draw with matplotlib's file backend, so no display is needed, and change no
global state of matplotlib.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from miqa.keeping import atomic_write

#: Shares of lowest-scored images that a filter curve removes: 0, 0.05 .. 0.7, the range of the paper's plots.
REMOVED_SHARES = tuple(round(0.05 * step, 2) for step in range(15))

# Okabe and Ito's colours, distinguishable with any kind of colour vision (jfly.uni-koeln.de/color, 2008).
_COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000', '#F0E442')


def scatter_plot(pred: ArrayLike, gt: ArrayLike, *, title: str = '', mapping: str | None = 'linear') -> Figure:
    """Draw labels (nominally 0 to 1) against predictions, both (N,), with the map that PLCC and RMSE are taken after.

    ``mapping`` is one of :data:`miqa.evaluation.MAPPINGS`; ``None`` draws the diagonal.

    Raises:
        ValueError: as :func:`miqa.evaluation.quality_correlations` does, for values it cannot compare.
    """
    from miqa.evaluation.correlation import quality_correlations
    from miqa.evaluation.mapping import fit_mapping

    numbers = quality_correlations(pred, gt, mapping)
    pred, gt = np.asarray(pred, dtype=np.float64).ravel(), np.asarray(gt, dtype=np.float64).ravel()
    figure, axes = new_figure(5.0, 4.6)
    # A quarter of a million full dots would be one blot: fewer images, stronger dots.
    opacity = float(np.clip(40 / np.sqrt(len(pred)), 0.05, 0.7))
    axes.scatter(pred, gt, s=14, alpha=opacity, color=_COLORS[0], edgecolors='none', rasterized=len(pred) > 5000)
    line = np.linspace(pred.min(), pred.max(), 200)
    name = 'prediction = label' if mapping is None else f'least-squares map ({mapping})'
    axes.plot(line, fit_mapping(pred, gt, mapping)(line), color=_COLORS[1], lw=2, label=name)
    text = '\n'.join(f'{name} {value:.3f}' for name, value in numbers.items())
    axes.text(0.03, 0.97, text, transform=axes.transAxes, va='top', family='monospace', fontsize=9)
    axes.set(xlabel='predicted quality', ylabel='label', title=title)
    axes.legend(loc='lower right', frameon=False)
    return figure


def filter_curve(scores: ArrayLike, correct: ArrayLike, shares: Sequence[float] = REMOVED_SHARES) -> np.ndarray:
    """Compute the mean result on what is left after the lowest-scored images are removed.

    ``round(share * N)`` images go. Where several images share the score at the border, which of them go is
    undecided, so the mean over all choices is given: each of the tied images counts with the share of them that
    stays. The curve therefore does not depend on the order of the images.

    Args:
        scores: shape (N,), finite, higher is better.
        correct: what is averaged, shape (N,): 0 or 1 for a right classification, or an average precision.
        shares: shares to remove, each in [0, 1).

    Returns:
        float64 array of shape (len(shares),).

    Raises:
        ValueError: shapes differ, there are no images, a value is not finite, or a share is outside [0, 1)
            or removes every image.
    """
    scores, correct = np.asarray(scores, np.float64).ravel(), np.asarray(correct, np.float64).ravel()
    if scores.shape != correct.shape or scores.size == 0:
        raise ValueError(
            f'A filter curve needs one result per score and at least one; got {scores.size} scores, '
            f'{correct.size} results.'
        )
    if not (np.isfinite(scores).all() and np.isfinite(correct).all()):
        raise ValueError('A filter curve needs finite scores and results; there is a NaN or an infinity.')
    order = np.argsort(scores, kind='stable')
    scores = scores[order]
    # Mean result of each image's group of ties, so that a border inside the group takes a fair part of it.
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.bincount(group, weights=correct[order]) / sizes
    ordered = means[group]
    values = []
    for share in shares:
        if not 0 <= share < 1:
            raise ValueError(f'A share of images to remove must be at least 0 and below 1, not {share!r}.')
        removed = round(share * len(ordered))
        if removed == len(ordered):
            raise ValueError(f'Removing a share of {share:g} of {len(ordered)} images leaves none.')
        values.append(ordered[removed:].mean())
    return np.asarray(values)


def filter_plot(
    scores: Mapping[str, ArrayLike],
    correct: ArrayLike,
    *,
    ylabel: str = 'top-1 accuracy of the rest',
) -> Figure:
    """Draw a :func:`filter_curve` for each way of scoring the same images: name -> scores (N,), higher is better.

    ``ylabel`` is what the mean of ``correct``, (N,), is.

    Raises:
        ValueError: as :func:`filter_curve` does.
    """
    figure, axes = new_figure(5.6, 4.6)
    for index, (name, values) in enumerate(scores.items()):
        curve = filter_curve(values, correct)
        color, style = _COLORS[index % len(_COLORS)], '-' if index < len(_COLORS) else '--'
        axes.plot(REMOVED_SHARES, curve, style, color=color, lw=2, marker='o', ms=3, label=name)
    base = float(np.mean(np.asarray(correct, np.float64)))
    axes.axhline(base, color='0.6', lw=1, ls=':', label='nothing removed')
    axes.set(xlabel='share of lowest-scored images removed', ylabel=ylabel)
    axes.set_xlim(REMOVED_SHARES[0], REMOVED_SHARES[-1])
    axes.legend(frameon=False, fontsize=8)
    return figure


def save_figure(figure: Figure, path: str | os.PathLike, dpi: int = 150) -> None:
    """Write a figure to ``path``, atomically; the suffix (.png, .pdf, .svg) decides the format."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=dpi)


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Return an empty figure of this size in inches and its axes (an array of them, (rows, columns), if several).

    The axes have a faint grid and no frame above and to the right; ``options`` are those of ``Figure.subplots``.
    """
    figure = Figure(figsize=(width, height), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for panel in axes.flat:
        panel.spines[['top', 'right']].set_visible(False)
        panel.grid(alpha=0.25)
    return figure, axes if axes.size > 1 else axes[0, 0]
