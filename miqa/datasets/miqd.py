"""The dataset: one class for the three tasks, the three labels and both splits."""

from __future__ import annotations

import os

import numpy as np
from mmengine.logging import print_log

from miqa.registry import DATASETS

from .fingerprint import describe_fingerprint, label_fingerprint
from .index import image_root
from .index_store import open_index
from .packed import PackedPictures
from .quality_dataset import QualityDataset


@DATASETS.register_module()
class MIQDDataset(QualityDataset):
    """MIQD-2.5M, or any database in its layout, for one task and split.

    Args:
        data_root: folder that holds ``miqa_cls/``, ``miqa_det/``, ``miqa_ins/`` and ``splits/``.
        task: ``cls``, ``det`` or ``ins``.
        label: ``composite``, ``consistency`` or ``accuracy``.
        split: ``train`` or ``val`` (``test`` means the same).
        missing: ``error``, or ``skip`` to leave out and report images and label files that are missing.
        packed: folder of pictures packed by ``tools/data/pack.py`` to read instead of the image files.
        options: ``pipeline``, ``bad_images``, ``seed``: see :class:`~miqa.datasets.quality_dataset.QualityDataset`.

    Raises:
        FileNotFoundError, DatabaseError: what :func:`miqa.datasets.open_index` raises.
    """

    def __init__(
        self,
        data_root: str | os.PathLike,
        task: str,
        label: str = 'composite',
        split: str = 'train',
        missing: str = 'error',
        packed: str | os.PathLike | None = None,
        **options,
    ):
        super().__init__(data_root, task, label, split, **options)
        self.index = open_index(data_root, task, self.split, missing)
        self.image_root = image_root(data_root, task)
        self.packed = None if packed is None else PackedPictures(packed, self.index, self.image_root)
        info = self.index.info
        self.fingerprint = label_fingerprint(self.labels)
        sentence = describe_fingerprint(
            self.fingerprint, task, self.label, self.split, info['official'], info['missing'], info['without_labels']
        )
        print_log(sentence, logger='current')

    @property
    def metainfo(self) -> dict:
        """What the dataset is, in plain values that a checkpoint can hold."""
        return {
            **super().metainfo,
            'sources': len(self.index.sources),
            'fingerprint': self.fingerprint,
            'official_split': self.index.info['official'],
            'missing': self.index.info['missing'],
            'image_root': str(self.image_root),
        }

    @property
    def labels(self) -> np.ndarray:
        """The chosen label of all samples, float32 (N,), in [0, 1]; read-only, mapped from the index."""
        return self.index.labels(self.label)

    def __len__(self) -> int:
        return len(self.index)

    def get_data_info(self, position: int) -> dict:
        """Return what is known of a sample: index, image, path, source, task, label, distortion, levels, gt_score."""
        position = self._checked(position)
        version, image = self.index.version(position), self.index.image(position)
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
            'gt_score': float(self.labels[position]),
        }

    def _checked(self, position: int) -> int:
        size = len(self)
        position = int(position)
        if not -size <= position < size:
            raise IndexError(f'There is no sample {position} in {self.task} {self.split} with its {size} samples.')
        return position % size
