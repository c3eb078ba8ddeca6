"""MIQDDataset: one class for all tasks, labels and splits."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import numpy as np

from miqa.errors import DatabaseError
from miqa.layout import image_root
from miqa.registry import DATASETS
from miqa.running.logs import log
from miqa.taxonomy import LABELS

from .division import divide_sources
from .fingerprint import describe_fingerprint, label_fingerprint
from .index_store import check_layout, open_index
from .packed import PackedPictures
from .quality_dataset import QualityDataset


@DATASETS.register_module()
class MIQDDataset(QualityDataset):
    """MIQD-2.5M, or any database in its layout, for one task and split.

    Args:
        data_root: folder that holds ``miqa_cls/``, ``miqa_det/``, ``miqa_ins/`` and ``splits/``.
        task: ``cls``, ``det`` or ``ins``.
        label: ``composite``, ``consistency`` or ``accuracy``.
        split: ``train``, ``val`` (``test`` means the same) or ``all`` for both.
        missing: ``error``, or ``skip`` to leave out and report images and label files that are missing.
        packed: folder of pictures packed by ``tools/data/pack.py`` to read instead of the image files.
        part: only the sources of this part of the split, see :func:`miqa.datasets.division.divide_sources`; None for
            all of them.
        selection: share of the sources in part ``select``.
        fold: (number, folds) of a cross-validation, or None.
        options: ``pipeline``, ``bad_images``, ``seed``: see :class:`~miqa.datasets.quality_dataset.QualityDataset`.

    Raises:
        FileNotFoundError, DatabaseError: what :func:`miqa.datasets.open_index` raises.
        ValueError: what :func:`miqa.datasets.division.divide_sources` raises.
    """

    #: Takes ``part``, ``selection`` and ``fold``.
    divides_by_source = True

    def __init__(
        self,
        data_root: str | os.PathLike,
        task: str,
        label: str = 'composite',
        split: str = 'train',
        missing: str = 'error',
        packed: str | os.PathLike | None = None,
        part: str | None = None,
        selection: float = 0.1,
        fold: Sequence[int] | None = None,
        **options,
    ):
        super().__init__(data_root, task, label, split, **options)
        self.index = open_index(data_root, task, self.split, missing)
        if np.isnan(self.index.labels(label)[:1]).any():
            labels = ' and '.join(name for name in LABELS if not np.isnan(self.index.labels(name)[:1]).any())
            raise DatabaseError(
                f'{data_root} has no {label} for {task}; its label files hold only {labels}: --label {labels}'
            )
        self.image_root = image_root(data_root, task)
        self.packed = None if packed is None else PackedPictures(packed, self.index, self.image_root)
        if self.packed is not None:
            for step in self.pipeline:
                if hasattr(step, 'check_packed'):
                    step.check_packed(self.packed.short_side, packed, self.packed.interpolation)
        self.part, self.fold = part, None if fold is None else tuple(fold)
        #: Rows of the index that are samples of this dataset, int64 (N,), or None for all.
        self.rows = None
        if part is not None:
            chosen = divide_sources(self.index.sources, part, selection, fold)
            numbers = [number for number, source in enumerate(self.index.sources) if source in chosen]
            self.rows = np.flatnonzero(np.isin(self.index.source_numbers(), numbers))
        info = self.index.info
        self.fingerprint = label_fingerprint(self.labels)
        sentence = describe_fingerprint(
            self.fingerprint,
            task,
            self.label,
            self.split if part is None else f'{self.split} ({part})',
            info['official'],
            info['missing'],
            info['without_labels'],
        )
        log(sentence)

    @staticmethod
    def check_place(data_root: str | os.PathLike, task: str, split: str = 'train') -> None:
        """Raise a FileNotFoundError if it is clear at first sight that there is no such dataset."""
        check_layout(data_root, task, split)

    @property
    def metainfo(self) -> dict:
        """What the dataset is, in plain values that a checkpoint can hold."""
        sources = self.index.source_numbers() if self.rows is None else self.index.source_numbers()[self.rows]
        return {
            **super().metainfo,
            'sources': len(np.unique(sources)),
            'part': self.part,
            'fold': self.fold,
            'fingerprint': self.fingerprint,
            'official_split': self.index.info['official'] and self.part is None,
            'missing': self.index.info['missing'],
            'image_root': str(self.image_root),
        }

    @property
    def labels(self) -> np.ndarray:
        """The chosen label of all samples, float32 (N,), in [0, 1]; read-only, mapped from the index where whole."""
        labels = self.index.labels(self.label)
        return labels if self.rows is None else labels[self.rows]

    @property
    def content(self) -> str:
        """SHA-256 of the sources and of the chosen labels of all samples of the split."""
        content = hashlib.sha256('\0'.join(self.index.sources).encode(errors='surrogateescape'))
        content.update(self.index.labels(self.label).tobytes())
        return content.hexdigest()

    def __len__(self) -> int:
        return len(self.index) if self.rows is None else len(self.rows)

    def get_data_info(self, position: int) -> dict:
        """Return the facts of a sample.

        That is index, image, path, source, task, label, distortion, levels, gt_score, and gt_scores: the labels in the
        order of :data:`miqa.taxonomy.LABELS`.
        """
        position = self._checked(position)
        row = self.row(position)
        version, image = self.index.version(row), self.index.image(row)
        scores = {label: float(self.index.labels(label)[row]) for label in LABELS}
        return {
            'index': position,
            'image': image,
            'path': f'{self.image_root}/{image}',
            'source': version.source,
            'task': self.task,
            'label': self.label,
            'distortion': version.distortion,
            'fg_level': version.fg_level,
            'bg_level': version.bg_level,
            'gt_score': scores[self.label],
            'gt_scores': list(scores.values()),
        }

    def row(self, position: int) -> int:
        """Return the row of the index that sample ``position`` is."""
        return position if self.rows is None else int(self.rows[position])

    def _checked(self, position: int) -> int:
        size = len(self)
        position = int(position)
        if not -size <= position < size:
            raise IndexError(f'There is no sample {position} in {self.task} {self.split} with its {size} samples.')
        return position % size
