"""Where a method works and where it fails: scores of parts, across tasks and labels, and worst errors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from miqa.evaluation import SCORES, quality_correlations
from miqa.evaluation.mapping import fit_mapping
from miqa.taxonomy import LEVELS


def score_groups(predictions: pd.DataFrame, by: str | list[str], mapping: str | None = 'linear') -> pd.DataFrame:
    """Score the parts of a test set that share the value of the columns ``by``, the mapping fitted in each by itself.

    Returns:
        One row for each part, indexed by ``by``: ``n``, the four scores, and ``note``, which says why the scores of
        a part are NaN (constant labels, or fewer than 3 images).
    """
    rows = {}
    for part, members in predictions.groupby(by, sort=True):
        try:
            scores = {**quality_correlations(members.prediction, members.ground_truth, mapping), 'note': ''}
        except ValueError as error:
            scores = {**dict.fromkeys(SCORES, float('nan')), 'note': str(error)}
        rows[part] = {'n': len(members), **scores}
    table = pd.DataFrame.from_dict(rows, orient='index', columns=['n', *SCORES, 'note'])
    if isinstance(by, list):
        table.index = pd.MultiIndex.from_tuples(table.index, names=by)
    else:
        table.index.name = by
    return table


def level_grid(predictions: pd.DataFrame, score: str = 'SRCC', mapping: str | None = 'linear') -> pd.DataFrame:
    """Return one score for every pair of levels: rows foreground 1 to 5, columns background 1 to 5."""
    table = score_groups(predictions, ['fg_level', 'bg_level'], mapping)
    return table[score].unstack('bg_level').reindex(index=list(LEVELS), columns=list(LEVELS))


def score_matrix(
    predictions: Mapping[str, pd.Series], truths: Mapping[str, pd.Series], score: str = 'SRCC'
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare every set of predictions with every set of labels, on the images that both have.

    This is the cross-task and the cross-label matrix (rows: what was trained on; columns: what is tested on) and, with
    labels on both sides, the agreement between tasks and labels. Values are indexed by image: give images of different
    databases different names. ``score`` is one of SRCC, PLCC, KRCC, RMSE.

    Returns:
        (scores, numbers of common images); a score is NaN where fewer than 3 images are shared or values are constant.
    """
    values = pd.DataFrame(index=list(predictions), columns=list(truths), dtype=float)
    counts = pd.DataFrame(0, index=list(predictions), columns=list(truths))
    for row, predicted in predictions.items():
        for column, truth in truths.items():
            both = pd.concat([predicted.rename('x'), truth.rename('y')], axis=1, join='inner').dropna()
            counts.loc[row, column] = len(both)
            if len(both) >= 3 and both.x.nunique() > 1 and both.y.nunique() > 1:
                values.loc[row, column] = quality_correlations(both.x, both.y)[score]
    return values, counts


def residuals(predictions: pd.DataFrame, mapping: str | None = 'linear') -> pd.Series:
    """Return mapped prediction minus label of each image: what is left after the map that RMSE is taken after."""
    x, y = predictions.prediction.to_numpy(np.float64), predictions.ground_truth.to_numpy(np.float64)
    return pd.Series(fit_mapping(x, y, mapping)(x) - y, index=predictions.index, name='residual')


def worst_predictions(predictions: pd.DataFrame, count: int = 12, mapping: str | None = 'linear') -> pd.DataFrame:
    """Return the images with the largest residuals, worst first, at most one of each source and distortion.

    Without that limit one hard picture would fill the sheet with its 25 level pairs.
    """
    table = predictions.assign(residual=residuals(predictions, mapping))
    table = table.iloc[np.argsort(-table.residual.abs().to_numpy(), kind='stable')]
    return table.drop_duplicates(['source', 'distortion']).head(count)
