"""Write split files: the official ones, or new ones from labelled sources."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path

from miqa.errors import DatabaseError
from miqa.keeping import atomic_write, keep_previous
from miqa.keeping.downloads import download
from miqa.layout import JPEG_SUFFIX, SPLIT_COLUMNS, coco_source, label_endings, label_folder, source_root, split_path
from miqa.outside import read_regular_text
from miqa.running import generator_for
from miqa.taxonomy import DATABASE_TASKS, IMAGE_TASKS, SPLITS, TASKS, check_choice

from .reading import OFFICIAL_SPLITS, read_split

#: Where the authors publish their split files: their repository at the commit that has the files with these digests.
OFFICIAL_URL = (
    'https://raw.githubusercontent.com/SYSU-Video/MIQA/13194cff2c1c9b3e62126666df7303ae70f9c3dd/data/dataset_splitting'
)


def download_splits(
    data_root: str | os.PathLike, tasks: Iterable[str] = TASKS, base_url: str = OFFICIAL_URL, progress: bool = True
) -> list[Path]:
    """Fetch the official split files of ``tasks`` (ins uses det's) into ``{data_root}/splits``; return their paths.

    What is there already is checked. ``base_url`` is the folder that holds ``miqa_cls_train.csv`` and the others.

    Raises:
        DownloadError: a file cannot be fetched, or another file has its place.
    """
    image_tasks = {IMAGE_TASKS[check_choice(task, TASKS, 'task')] for task in tasks}
    paths = []
    for official in OFFICIAL_SPLITS:
        if official.task in image_tasks:
            path = split_path(data_root, official.task, official.split)
            url = f'{base_url.rstrip("/")}/{path.name}'
            paths.append(download(url, path, official.file_sha256, progress=progress))
    return paths


def make_splits(data_root: str | os.PathLike, task: str, val_share: float = 0.2, seed: int = 0) -> dict[str, list[str]]:
    """Divide the sources that have labels into train and val at random, write both split files and return the sources.

    All versions of a source go to the same side, and at least one source to each. The files of ``ins`` are those of
    ``det``. MIQD-2.5M has a ``val_share`` of 0.2.

    Raises:
        ValueError: ``val_share`` is not between 0 and 1.
        FileExistsError: there is another split file already. One that holds the same is left from a run that was
            stopped between the two.
        DatabaseError: fewer than two sources have labels, or a name cannot be in a split file.
    """
    if not 0 < val_share < 1:
        raise ValueError(f'val_share is a share between 0 and 1, not {val_share}.')
    members = _divide(_labelled(data_root, task), task, val_share, seed)
    texts = {split_path(data_root, task, split): _text(data_root, task, names) for split, names in members.items()}
    for path, text in texts.items():
        if path.exists() and read_regular_text(path) != text:
            raise FileExistsError(f'{path} is there already. Move it away to make a new split.')
    for path, text in texts.items():
        if not path.exists():
            with atomic_write(path) as temporary:
                temporary.write_text(text, encoding='utf-8', newline='')
    return members


def renew_splits(
    data_root: str | os.PathLike, task: str, val_share: float = 0.2, seed: int = 0
) -> tuple[dict[str, list[str]], str]:
    """Make splits as :func:`make_splits` does, or bring those that are there up to date with the labelled sources.

    Files that :func:`make_splits` made of fewer sources, with the same share and seed, are renamed and made anew.
    Others are the user's own, and stay.

    Returns:
        The sources of ``train`` and ``val``, empty where the files stay; and what there is to say.
    """
    earlier = [path for split in SPLITS if (path := split_path(data_root, task, split)).is_file()]
    if len(earlier) < len(SPLITS):
        return make_splits(data_root, task, val_share, seed), ''
    named = [name for split in SPLITS for name in read_split(data_root, task, split)]
    new = sorted(set(_labelled(data_root, task)) - set(named))
    listed = ', '.join(str(path) for path in earlier)
    if not new:
        return {}, ''
    before = _divide(sorted(named), task, val_share, seed) if len(named) > 1 else {}
    if not before or any(read_split(data_root, task, split) != names for split, names in before.items()):
        return {}, (
            f'Kept the split files {listed}, which name none of {len(new)} sources with labels, for example {new[0]}: '
            'these are used by nothing. Add them, or move the files away to make new ones.'
        )
    previous = [keep_previous(path) for path in earlier]
    return make_splits(data_root, task, val_share, seed), (
        f'Made the split files anew, with {len(new)} more sources, for example {new[0]}; the earlier ones are now '
        f'{", ".join(map(str, previous))}'
    )


def _labelled(data_root: str | os.PathLike, task: str) -> list[str]:
    check_choice(task, DATABASE_TASKS, 'task')
    folder, endings = label_folder(data_root, task), label_endings(task).values()
    # A database without annotations has consistency alone, one of unpaired pictures accuracy alone.
    sources = sorted({path.name.removesuffix(ending) for ending in endings for path in folder.glob(f'*{ending}')})
    if len(sources) < 2:
        kinds = ', '.join(f'*{ending}' for ending in endings)
        raise DatabaseError(
            f'{folder} has label files ({kinds}) of {len(sources)} sources; a split needs two. Add photographs.'
        )
    return sources


def _divide(sources: list[str], task: str, val_share: float, seed: int) -> dict[str, list[str]]:
    order = generator_for(seed, 'split', IMAGE_TASKS[task]).permutation(len(sources))
    count = min(max(1, round(val_share * len(sources))), len(sources) - 1)
    chosen = set(order[:count].tolist())
    return {
        'train': [source for place, source in enumerate(sources) if place not in chosen],
        'val': [source for place, source in enumerate(sources) if place in chosen],
    }


def _text(data_root: str | os.PathLike, task: str, names: list[str]) -> str:
    stream = io.StringIO(newline='')
    writer = csv.writer(stream, lineterminator='\n')
    writer.writerow([SPLIT_COLUMNS[IMAGE_TASKS[task]]])
    writer.writerows([_entry(data_root, task, source)] for source in names)
    return stream.getvalue()


def _entry(data_root: str | os.PathLike, task: str, source: str) -> str:
    if IMAGE_TASKS[task] == 'det':
        try:
            whole = coco_source(source) == source
        except ValueError:
            whole = False
        if not whole:
            raise DatabaseError(
                f'The source {source!r} is not a COCO number of 12 digits, which the split files of {task} hold.'
            )
        return str(int(source))
    folder = source_root(data_root, task)
    file_name = next((path.name for path in sorted(folder.glob(f'{source}.*')) if path.stem == source), None)
    return file_name or f'{source}{JPEG_SUFFIX[task]}'
