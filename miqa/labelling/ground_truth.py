"""Ground truth files: classes of images, and COCO annotations."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

from ..machines.image_list import image_root

#: Where ground truth lies in a database if no other file is named.
DEFAULT_FILES = {'cls': 'ground_truth.csv', 'det': 'ground_truth.json', 'ins': 'ground_truth.json'}


def default_ground_truth(data_root: str | os.PathLike, task: str) -> Path:
    """Return the place of ground truth beside the images, such as ``miqa_cls/ground_truth.csv``."""
    return image_root(data_root, task) / DEFAULT_FILES[task]


def read_classes(path: str | os.PathLike) -> dict[str, int]:
    """Read the classes of the sources from a CSV with the columns ``filename`` and ``class_index``.

    Returns:
        Stem of the file name -> class index.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, a class is not a number from 0, or a source has two classes.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'There is no ground truth {path}. It is a CSV with the columns filename (of the clean image) and '
            f'class_index (0 to K - 1, in the order of the classifiers).'
        )
    classes: dict[str, int] = {}
    with open(path, newline='', encoding='utf-8-sig') as stream:
        reader = csv.DictReader(stream)
        missing = {'filename', 'class_index'} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f'{path} lacks the column {sorted(missing)[0]}; it has {reader.fieldnames}.')
        for row in reader:
            stem, text = Path(row['filename']).stem, (row['class_index'] or '').strip()
            if not text.isdigit():
                raise ValueError(f'{path}, line {reader.line_num}: class_index is {text!r}, not a whole number from 0.')
            if classes.setdefault(stem, int(text)) != int(text):
                raise ValueError(f'{path} gives {stem} two classes, {classes[stem]} and {text}.')
    if not classes:
        raise ValueError(f'{path} holds no rows.')
    return classes


def check_sources_known(sources, known, path) -> None:
    """Raise a ValueError if a source of the database is missing from the ground truth ``known``, read from ``path``."""
    missing = sorted(set(sources) - set(known))
    if missing:
        raise ValueError(
            f'{path} has no ground truth for {len(missing)} of {len(set(sources))} sources, '
            f'for example {missing[0]}. Add them, or name the right file.'
        )


def read_coco(path: str | os.PathLike) -> dict:
    """Read COCO instance annotations (``images``, ``annotations``, ``categories``).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not such a file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'There are no COCO annotations {path}.')
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except json.JSONDecodeError as error:
        raise ValueError(f'{path} is not JSON: {error}') from None
    missing = [key for key in ('images', 'annotations', 'categories') if key not in content]
    if missing:
        raise ValueError(f'{path} is not a COCO instance file: it has no {missing[0]!r}.')
    return content
