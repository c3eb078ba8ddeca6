"""Filter benefit: machine accuracy on the images that remain after removing the worst-scored.

For each machine, top-1 (cls), average precision at IoU 0.75 (det, ins) or mean IoU (seg) of single images is averaged
over the images kept, against the share removed. A useful score makes the curve rise; a random order leaves it flat; the
oracle, which removes the images that the machine itself gets most wrong, is the most that any order can do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.integrate import trapezoid

from miqa.labelling import ScoreFolder
from miqa.layout import MANIFEST, scores_folder
from miqa.running import generator_for

from .plots import REMOVED_SHARES, filter_curve, new_figure

RESULT_NAMES = {'cls': 'top-1 accuracy', 'det': 'AP@0.75', 'ins': 'AP@0.75', 'seg': 'mIoU'}  # What is averaged, by task

_COLUMNS = {'cls': 'accuracy', 'det': 'accuracy_75', 'ins': 'accuracy_75', 'seg': 'accuracy'}
ORACLE, RANDOM = 'oracle', 'random order'


def folders_of_scores(data_root: str | os.PathLike, task: str) -> list[Path]:
    """Return the folders of the machines whose scores are stored, sorted.

    Raises:
        FileNotFoundError: there are none.
    """
    root = scores_folder(data_root, task)
    folders = sorted(path.parent for path in root.glob(f'*/{MANIFEST}'))
    if not folders:
        raise FileNotFoundError(
            f'There are no scores of machines in {root}. Make them with tools/data/run_machines.py and make_labels.py.'
        )
    return folders


def machine_results(data_root: str | os.PathLike, task: str, images: pd.DataFrame) -> pd.DataFrame:
    """Return what each machine got right on each image (column ``filename``), from its stored scores.

    Returns:
        float64 in [0, 1], one column for each machine, rows as in ``images``: ``cls`` 0 or 1; ``det``, ``ins`` average
        precision of the image at IoU 0.75; ``seg`` mean IoU; NaN where a machine has no result.

    Raises:
        FileNotFoundError: there are no stored scores.
    """
    columns = {}
    for folder in folders_of_scores(data_root, task):
        table = ScoreFolder(folder).read()
        values = table[_COLUMNS[task]].to_numpy(zero_copy_only=False).astype(np.float64)
        columns[folder.name] = (
            pd.Series(values, index=table['filename'].to_pylist()).reindex(images.filename).to_numpy()
        )
    return pd.DataFrame(columns, index=images.index)


def machine_curves(
    scores: np.ndarray, results: pd.DataFrame, shares: Sequence[float] = REMOVED_SHARES
) -> dict[str, np.ndarray]:
    """Return for each machine the curve of its mean result on the images kept, (len(shares),).

    Images on which a machine has no result do not count for it.
    """
    curves = {}
    for machine in results:
        has_label = results[machine].notna().to_numpy()
        curves[machine] = filter_curve(scores[has_label], results[machine].to_numpy()[has_label], shares)
    return curves


def area_gained(curve: np.ndarray, shares: Sequence[float] = REMOVED_SHARES) -> float:
    """Return the mean rise of a curve above its start: its area above "nothing removed" over the range of shares.

    0.05 means: averaged over how much one removes, the rest is 5 points better than all images.
    """
    removed = np.asarray(shares, np.float64)
    return float(trapezoid(curve - curve[0], removed) / (removed[-1] - removed[0]))


def compare_filters(
    scores: Mapping[str, np.ndarray], results: pd.DataFrame, shares: Sequence[float] = REMOVED_SHARES
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Compare ways of scoring, averaged over the machines, with a random order and the oracle.

    ``scores``: name -> scores (N,), finite, higher is better; ``results`` are those of :func:`machine_results`.

    Returns:
        (name -> mean curve, table of ``area_gained`` and ``share_of_oracle`` indexed by name). ``random order``
        and ``oracle`` are among the names.
    """
    order = generator_for('random order', 0, len(results)).permutation(len(results)).astype(float)
    curves = {}
    for name, values in {**scores, RANDOM: order}.items():
        curves[name] = np.mean(list(machine_curves(np.asarray(values, np.float64), results, shares).values()), axis=0)
    oracles = []
    for machine in results:
        labels = results[machine].dropna().to_numpy()
        oracles.append(filter_curve(labels, labels, shares))
    curves[ORACLE] = np.mean(oracles, axis=0)
    areas = pd.Series({name: area_gained(curve, shares) for name, curve in curves.items()})
    best = areas[ORACLE]
    return curves, pd.DataFrame({'area_gained': areas, 'share_of_oracle': areas / best if best else np.nan})


def comparison_plot(curves: Mapping[str, np.ndarray], *, title='', ylabel='') -> Figure:
    """Draw the mean curves of :func:`compare_filters`; random order and oracle in grey, dashed."""
    figure, axes = new_figure(5.8, 4.0)
    for name, curve in curves.items():
        style = {ORACLE: dict(color='0.35', ls='--'), RANDOM: dict(color='0.6', ls=':')}.get(
            name, dict(marker='o', ms=3)
        )
        axes.plot(REMOVED_SHARES, curve, label=name, lw=2, **style)
    axes.set(xlabel='share of lowest-scored images removed', ylabel=f'{ylabel} of the rest', title=title)
    axes.legend(frameon=False, fontsize=8)
    return figure


def machine_plot(panels: Mapping[str, np.ndarray], results: pd.DataFrame, *, title='', ylabel='') -> Figure:
    """Draw one line for each machine, one panel for each kind of score, as the paper does.

    Args:
        panels: name of a panel (``consistency scores``, ``accuracy scores``) -> scores (N,).
        results: from :func:`machine_results`.
        title: text above.
        ylabel: name of the result.
    """
    figure, all_axes = new_figure(1.2 + 4.6 * len(panels), 4.0, 1, len(panels), sharey=True)
    all_axes = np.atleast_1d(all_axes).ravel()
    for axes, (name, scores) in zip(all_axes, panels.items(), strict=True):
        for machine, curve in machine_curves(np.asarray(scores, np.float64), results).items():
            gained = area_gained(curve)
            axes.plot(REMOVED_SHARES, curve, marker='o', ms=3, lw=1.8, label=f'{machine} ({gained:+.3f})')
        axes.set(xlabel='share of lowest-scored images removed', title=name)
        axes.legend(frameon=False, fontsize=7, title='in brackets: area gained', title_fontsize=7)
    all_axes[0].set_ylabel(f'{ylabel} of the rest')
    figure.suptitle(title)
    return figure
