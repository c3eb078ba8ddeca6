"""Getting split files: the official ones from their authors, or new ones from the sources that have labels."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path

from miqa.taxonomy import IMAGE_TASKS, TASK_FOLDERS, TASKS, check_choice
from miqa.utils import atomic_write, generator_for
from miqa.utils.downloads import download

from .errors import DatabaseError
from .index import label_folder
from .splits import OFFICIAL_SPLITS, SPLIT_COLUMNS, split_path

#: Where the authors publish their split files: their repository at the commit that has the files with these digests.
OFFICIAL_URL = (
    'https://raw.githubusercontent.com/SYSU-Video/MIQA/13194cff2c1c9b3e62126666df7303ae70f9c3dd/data/dataset_splitting'
)

_LABEL_ENDING = {'cls': '_mmos.csv', 'det': '_accuracy.csv', 'ins': '_accuracy.csv'}


def download_splits(
    data_root: str | os.PathLike, tasks: Iterable[str] = TASKS, base_url: str = OFFICIAL_URL, progress: bool = True
) -> list[Path]:
    """Fetch the official split files of ``tasks`` into ``{data_root}/splits``; what is there already is checked.

    Args:
        data_root: the database.
        tasks: any of cls, det, ins; ins uses det's files.
        base_url: address of the folder that holds ``miqa_cls_train.csv`` and the others.
        progress: show progress bars.

    Returns:
        The paths of the files.

    Raises:
        DownloadError: a file cannot be fetched, or another file has its place.
    """
    wanted = {IMAGE_TASKS[check_choice(task, TASKS, 'task')] for task in tasks}
    paths = []
    for official in OFFICIAL_SPLITS:
        if official.task in wanted:
            path = split_path(data_root, official.task, official.split)
            url = f'{base_url.rstrip("/")}/{path.name}'
            paths.append(download(url, path, official.file_sha256, progress=progress))
    return paths


def make_splits(data_root: str | os.PathLike, task: str, val_share: float = 0.2, seed: int = 0) -> dict[str, list[str]]:
    """Divide the sources that have labels into train and val at random and write both split files.

    All versions of a source go to the same side. The files of ``ins`` are those of ``det``.

    Args:
        data_root: the database.
        task: cls, det or ins.
        val_share: share of the sources for val, between 0 and 1; MIQD-2.5M has 0.2. At least one goes to each side.
        seed: decides which.

    Returns:
        The sources of ``train`` and ``val``.

    Raises:
        ValueError: ``val_share`` is not between 0 and 1.
        FileExistsError: there is a split file already.
        DatabaseError: fewer than two sources have labels, or a name cannot be in a split file.
    """
    check_choice(task, TASKS, 'task')
    if not 0 < val_share < 1:
        raise ValueError(f'val_share is a share between 0 and 1, not {val_share}.')
    paths = {split: split_path(data_root, task, split) for split in ('train', 'val')}
    for path in paths.values():
        if path.exists():
            raise FileExistsError(f'{path} is there already. Move it away to make a new split.')
    folder, ending = label_folder(data_root, task), _LABEL_ENDING[task]
    sources = sorted(path.name.removesuffix(ending) for path in folder.glob(f'*{ending}'))
    if len(sources) < 2:
        raise DatabaseError(f'{folder} has label files (*{ending}) of {len(sources)} sources; a split needs two.')
    order = generator_for(seed, 'split', IMAGE_TASKS[task]).permutation(len(sources))
    count = min(max(1, round(val_share * len(sources))), len(sources) - 1)
    chosen = set(order[:count].tolist())
    members = {
        'train': [source for place, source in enumerate(sources) if place not in chosen],
        'val': [source for place, source in enumerate(sources) if place in chosen],
    }
    rows = {split: [_entry(data_root, task, source) for source in names] for split, names in members.items()}
    for split, path in paths.items():
        with atomic_write(path) as temporary, open(temporary, 'w', newline='', encoding='utf-8') as stream:
            writer = csv.writer(stream, lineterminator='\n')
            writer.writerow([SPLIT_COLUMNS[IMAGE_TASKS[task]]])
            writer.writerows([row] for row in rows[split])
    return members


def _entry(data_root: str | os.PathLike, task: str, source: str) -> str:
    if IMAGE_TASKS[task] == 'det':
        if not source.isdigit() or len(source) != 12:
            raise DatabaseError(
                f'The source {source!r} is not a COCO number of 12 digits, which the split files of {task} hold.'
            )
        return str(int(source))
    folder = Path(data_root) / TASK_FOLDERS['cls'] / 'src_images'
    found = next((path.name for path in sorted(folder.glob(f'{source}.*')) if path.stem == source), None)
    return found or f'{source}.JPEG'
