"""Pictures without labels, for distillation from a teacher."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path

from miqa.errors import DatabaseError
from miqa.layout import PICTURE_SUFFIXES, source_root
from miqa.outside.walking import Walker
from miqa.pictures.suffixes import IMAGE_SUFFIXES
from miqa.registry import DATASETS
from miqa.running.logs import log
from miqa.splits.reading import read_split
from miqa.taxonomy import LABELS

from .division import divide_sources
from .quality_dataset import QualityDataset


@DATASETS.register_module()
class UnlabelledPictures(QualityDataset):
    """Pictures whose labels are NaN until a teacher has scored them (``TeacherScores``, :mod:`miqa.distillation`).

    Each picture comes ``versions`` times in an epoch, each time with random numbers of its own, so that a pipeline that
    damages at random makes as many versions of it.

    Args:
        data_root: folder that ``pictures`` lies in; without ``pictures`` a database, whose clean source pictures of
            the training split are taken: the test split's are never read.
        task: what the scores speak of: ``cls``, ``det`` or ``ins``.
        label: what the teacher's score predicts.
        split: ``train``.
        pictures: a folder, with all folders in it; None for the database's sources.
        versions: of each picture in an epoch.
        part: ``fit`` or ``select``, see :func:`miqa.datasets.division.divide_sources`; pictures of one name, in
            whichever folders, belong together. None for all.
        selection: share of the pictures in part ``select``.
        options: ``pipeline``, ``bad_images``, ``seed``: see :class:`~miqa.datasets.quality_dataset.QualityDataset`.

    Raises:
        FileNotFoundError: there is no such folder, no picture in it, or no split file.
        DatabaseError: a source of the split has no picture.
        ValueError: there are too few pictures for the two parts, or ``versions`` is below 1.
    """

    #: Takes ``part`` and ``selection``.
    divides_by_source = True

    def __init__(
        self,
        data_root: str | os.PathLike,
        task: str,
        label: str = 'composite',
        split: str = 'train',
        pictures: str | os.PathLike | None = None,
        versions: int = 8,
        part: str | None = None,
        selection: float = 0.1,
        **options,
    ):
        super().__init__(data_root, task, label, split, **options)
        if versions < 1:
            raise ValueError(f'versions must be at least 1, not {versions}.')
        if self.split != 'train':
            raise ValueError(f"Unlabelled pictures are for training: split must be 'train', not {self.split!r}.")
        self.versions, self.part = versions, part
        if pictures is None:
            self.root, paths = _sources_of(data_root, task)
        else:
            self.root = Path(data_root) / pictures
            paths = _pictures_below(self.root)
        if part is not None:
            chosen = divide_sources(list({_stem(path) for path in paths}), part, selection)
            paths = [path for path in paths if _stem(path) in chosen]
        #: Paths below :attr:`root`, sorted.
        self.paths = paths
        suffix = f' ({part})' if part else ''
        log(f'{len(paths)} unlabelled pictures of {self.root}{suffix}, {versions} versions each.')

    @property
    def metainfo(self) -> dict:
        """What the dataset is, in plain values that a checkpoint can hold."""
        return {**super().metainfo, 'pictures': len(self.paths), 'versions': self.versions, 'part': self.part}

    def __len__(self) -> int:
        return len(self.paths) * self.versions

    def get_data_info(self, position: int) -> dict:
        """Return index, image, path, source and labels that are NaN."""
        if not -len(self) <= position < len(self):
            raise IndexError(f'There is no sample {position} in {len(self)} samples of unlabelled pictures.')
        position = int(position) % len(self)
        image = self.paths[position // self.versions]
        return {
            'index': position,
            'image': image,
            'path': str(self.root / image),
            'source': _stem(image),
            'gt_score': math.nan,
            'gt_scores': [math.nan] * len(LABELS),
        }


def _stem(path: str) -> str:
    return Path(path).stem


def _sources_of(data_root: str | os.PathLike, task: str) -> tuple[Path, list[str]]:
    root = source_root(data_root, task)
    file_names = {path.stem: path.name for path in root.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES}
    sources = read_split(data_root, task, 'train')
    missing = [source for source in sources if source not in file_names]
    if missing:
        raise DatabaseError(
            f'{len(missing)} sources of the training split have no picture in {root}, the first is {missing[0]}.'
        )
    return root, sorted(file_names[source] for source in sources)


def _pictures_below(root: Path) -> list[str]:
    if not root.is_dir():
        raise FileNotFoundError(f'There is no folder {root} with unlabelled pictures.')

    def report(path: str, error: OSError) -> None:
        log(f'{path} is skipped: {error}', logging.WARNING)

    paths = [os.path.relpath(path, root) for path in Walker(report).below(str(root), IMAGE_SUFFIXES)]
    if not paths:
        raise FileNotFoundError(f'There is no picture in {root} or below it.')
    return sorted(paths)
