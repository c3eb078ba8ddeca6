"""The base of datasets: pipeline, epochs, and handling of unreadable files."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from miqa.pictures import UnreadableImage
from miqa.registry import TRANSFORMS
from miqa.running import generator_for
from miqa.splits.reading import split_name
from miqa.structures import QualitySample, SampleBatch, meta_of
from miqa.taxonomy import DATABASE_TASKS, LABELS, check_choice

from .packed import PackedPictures
from .transforms import ResizeShortSide

_MAX_REPLACEMENTS = 20
# What a database without controlled distortions says of every picture; test tables group by these.
_UNKNOWN = {'distortion': 'unknown', 'fg_level': 0, 'bg_level': 0}


class QualityDataset(Dataset):
    """Base of datasets: a subclass gives ``__len__`` and :meth:`get_data_info`, and inherits the rest.

    An item is ``dict(inputs={view: uint8 tensor (3, h, w), RGB}, data_sample=QualitySample)``.
    The views come from the pipeline's last transform, :class:`miqa.datasets.transforms.PackViews`.

    Random numbers of a sample come from ``(seed, epoch, index)`` alone, so that results depend neither on the
    number of workers nor on where a run was resumed.

    Args:
        data_root: folder of the database.
        task: ``cls``, ``det`` or ``ins``.
        label: ``composite``, ``consistency`` or ``accuracy``.
        split: ``train``, ``val`` (``test`` means the same) or ``all``.
        pipeline: transforms, as objects or as dicts for the registry. None gives items without ``inputs``.
        bad_images: ``error``, or ``skip``. With ``skip`` a sample whose file cannot be read is marked in its meta
            information (``bad_image``: the reason) and listed by :func:`miqa.datasets.list_bad_images`. In training
            another sample, chosen by (seed, index), takes its place; at test the sample keeps its index, gets a black
            picture and NaN as its label, and the metric leaves it out: no other sample is scored twice.
        seed: of augmentation and replacement.
    """

    packed: PackedPictures | None = None

    def __init__(
        self,
        data_root: str | os.PathLike,
        task: str,
        label: str = 'composite',
        split: str = 'train',
        pipeline: Sequence | None = None,
        bad_images: str = 'error',
        seed: int = 0,
    ):
        self.task = check_choice(task, DATABASE_TASKS, 'task')
        self.label = check_choice(label, LABELS, 'label')
        self.bad_images = check_choice(bad_images, ('error', 'skip'), "value of 'bad_images'")
        self.split = split_name(split)
        self.data_root, self.seed = str(data_root), int(seed)
        self.pipeline: list[Any] = [
            TRANSFORMS.build(step) if isinstance(step, dict) else step
            for step in (() if pipeline is None else pipeline)
        ]
        # Shared memory, so that persistent workers see a new epoch.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples."""

    @abstractmethod
    def get_data_info(self, position: int) -> dict:
        """Return the facts of a sample: at least ``index``, ``image``, ``path`` and ``gt_score``.

        ``source``, ``distortion``, ``fg_level`` and ``bg_level`` are for the tables of a test; without them the image
        is its own source and the distortion unknown.
        """

    def row(self, position: int) -> int:
        """Return the row of the packed pictures that holds sample ``position``."""
        return position

    @property
    def metainfo(self) -> dict:
        """What the dataset is, in plain values that a checkpoint can hold."""
        return {
            'task': self.task,
            'label': self.label,
            'split': self.split,
            'samples': len(self),
            'data_root': self.data_root,
        }

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that random numbers belong to; reaches running worker processes too."""
        self._epoch.fill_(int(epoch))

    def describe(self, position: int) -> dict:
        """Return :meth:`get_data_info` with every column of a test table filled in."""
        info = self.get_data_info(position)
        return {**_UNKNOWN, 'source': info['image'], 'task': self.task, 'label': self.label, **info}

    def __getitem__(self, position: int) -> dict:
        """Return ``dict(inputs=..., data_sample=QualitySample)``.

        Raises:
            IndexError: there is no such position.
            FileNotFoundError, UnreadableImage: the image cannot be read and ``bad_images`` is ``error``.
        """
        info = self.describe(position)
        if self.bad_images == 'error':
            return self._item(info, self._run(info))
        try:
            return self._item(info, self._run(info))
        except (UnreadableImage, FileNotFoundError) as error:
            return self._replace(info, error)

    def _run(self, info: dict, picture: np.ndarray | None = None) -> dict | None:
        if not self.pipeline:
            return None
        results = {'path': info['path'], 'rng': generator_for(self.seed, int(self._epoch), info['index'])}
        if picture is not None:
            results['packed'] = picture
        elif self.packed is not None:
            results['packed'] = self.packed.read(self.row(info['index']))
        for step in self.pipeline:
            results = step(results)
        return results['inputs']

    @staticmethod
    def _item(info: dict, inputs: dict | None, **marks) -> dict:
        meta = {name: value for name, value in info.items() if name not in ('path', 'gt_score', 'gt_scores')}
        sample = QualitySample(metainfo={**meta, **marks})
        sample.gt_score = torch.tensor(info['gt_score'], dtype=torch.float32)
        if 'gt_scores' in info:
            sample.gt_scores = torch.tensor(info['gt_scores'], dtype=torch.float32)
        return {'data_sample': sample} if inputs is None else {'inputs': inputs, 'data_sample': sample}

    def _replace(self, info: dict, error: Exception) -> dict:
        marks = {'bad_image': str(error), 'bad_path': info['path']}
        if self.split != 'train':
            side = max((step.size for step in self.pipeline if isinstance(step, ResizeShortSide)), default=288)
            black = np.zeros((side, side, 3), dtype=np.uint8)
            return self._item({**info, 'gt_score': float('nan')}, self._run(info, black), **marks)
        rng = generator_for(self.seed, 'replacement', info['index'])
        for other in rng.integers(len(self), size=_MAX_REPLACEMENTS):
            replacement = self.describe(int(other))
            try:
                return self._item(replacement, self._run(replacement), **marks)
            except (UnreadableImage, FileNotFoundError):
                continue
        raise UnreadableImage(
            f'{error} So are {_MAX_REPLACEMENTS} others tried instead: the database {self.data_root} looks damaged as '
            'a whole, or a disk is not mounted.'
        ) from error


def list_bad_images(data_samples: SampleBatch | Sequence[QualitySample]) -> dict[str, str]:
    """Return path and reason of each unreadable file among samples that ``bad_images='skip'`` marked."""
    paths, reasons = meta_of(data_samples, 'bad_path'), meta_of(data_samples, 'bad_image')
    return {path: reason for path, reason in zip(paths, reasons, strict=True) if reason is not None}
