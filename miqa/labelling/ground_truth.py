"""Ground truth files: classes of images."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from miqa.layout import CLASS_FILE, CLASS_INDEX
from miqa.outside.tables import id_of, read_table


def read_classes(path: str | os.PathLike) -> dict[str, int]:
    """Read the classes of the sources from a CSV with the columns ``filename`` and ``class_index``.

    Returns:
        Stem of the file name -> class index.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, a class is not a number from 0, or a source has two classes.
    """
    if not Path(path).exists():
        raise FileNotFoundError(
            f'There is no ground truth {path}: a CSV with the columns {CLASS_FILE} (of the clean image) and '
            f"{CLASS_INDEX} (from 0, in the classifiers' order)."
        )
    classes: dict[str, int] = {}
    for number, row in enumerate(read_table(path, [CLASS_FILE, CLASS_INDEX], 'ground truth').rows, start=1):
        stem = PurePosixPath(row[CLASS_FILE].replace('\\', '/')).stem
        text = id_of(row[CLASS_INDEX], f'{CLASS_INDEX} in row {number} of {path}')
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise ValueError(f'{path}, row {number}: {CLASS_INDEX} is {text!r}, not a whole number from 0.')
        if not stem:
            raise ValueError(f'{path}, row {number}: {CLASS_FILE} is empty.')
        if classes.setdefault(stem, int(text)) != int(text):
            raise ValueError(f'{path} gives {stem} two classes, {classes[stem]} and {text}.')
    if not classes:
        raise ValueError(f'{path} holds no rows.')
    return classes


def check_sources_known(sources, truth, path) -> None:
    """Raise a ValueError if a source of the database is missing from the ground truth ``truth``, read from ``path``."""
    missing = sorted(set(sources) - set(truth))
    if missing:
        raise ValueError(
            f'{path} has no ground truth for {len(missing)} of {len(set(sources))} sources, such as {missing[0]}. Add '
            'them, or name the right file.'
        )
