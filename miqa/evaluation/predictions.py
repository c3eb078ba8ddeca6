"""The predictions file behind every table and plot: one row per test image."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from miqa.keeping import atomic_write
from miqa.outside.tables import TableError, cell_text, csv_cell, number_of, read_table
from miqa.taxonomy import region_pattern

#: Columns of ``predictions.csv``, in this order.
COLUMNS = ('image', 'source', 'task', 'label', 'distortion', 'fg_level', 'bg_level', 'ground_truth', 'prediction')
#: Column that says whose predictions they are, as :attr:`miqa.apis.model.MIQAModel.identity` names models; where known.
MODEL_COLUMN = 'model'


def write_predictions(path: str | os.PathLike, predictions: pd.DataFrame) -> None:
    """Write predictions with the columns of :data:`COLUMNS`, and :data:`MODEL_COLUMN` where it is there, atomically.

    Numbers keep full float32 precision.
    """
    columns = [*COLUMNS, *({MODEL_COLUMN} & set(predictions))]
    with atomic_write(path) as temporary:
        names = {name: predictions[name].map(csv_cell) for name in ('image', 'source')}
        predictions.assign(**names).to_csv(temporary, columns=columns, index=False, float_format='%.9g')


def read_predictions(path: str | os.PathLike) -> pd.DataFrame:
    """Read predictions and add the column ``region_pattern``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a table with these columns and at least one row, or a cell is not a number.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f'There is no predictions file {path}; miqa test writes one.')
    table = read_table(path, COLUMNS, 'predictions file', [MODEL_COLUMN])
    if not table.rows:
        raise TableError(f'The predictions file {path} has no rows below its header. Run miqa test again.')
    predictions = pd.DataFrame(table.rows)
    for column in ('image', 'source'):
        predictions[column] = predictions[column].map(cell_text)
    for column in ('fg_level', 'bg_level', 'ground_truth', 'prediction'):
        try:
            numbers = [number_of(text, table.decimal_comma) for text in predictions[column]]
            predictions[column] = np.array(numbers, np.int64 if column.endswith('level') else np.float64)
        except ValueError as error:
            raise TableError(f'The predictions file {path}, column {column}: {error}. Run miqa test again.') from None
    return with_region_pattern(predictions)


def with_region_pattern(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return predictions with the column ``region_pattern`` made from the two level columns."""
    patterns = [region_pattern(fg, bg) for fg, bg in zip(predictions.fg_level, predictions.bg_level, strict=True)]
    return predictions.assign(region_pattern=patterns)
