"""Label files of the small database of ``helpers_database``: where they are, and how a test changes one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from helpers_database import source_ids


def cls_file(root: Path, number: int = 0) -> Path:
    """Return the label file of a source of a database for cls."""
    return root / 'miqa_cls' / 'labels' / f'{source_ids("cls", 4)[number]}_mmos.csv'


def det_file(root: Path, label: str, number: int = 0) -> Path:
    """Return the file of a label of a source of a database for det."""
    return root / 'miqa_det' / 'labels' / f'{source_ids("det", 4)[number]}_{label}.csv'


def edit(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Change a table of strings and write it back; the time stamp moves too."""
    change(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(path, index=False)


def put(column: str, row: int, value: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return a change that writes one value."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[row, column] = value
        return table

    return change
