"""The dataset: one class for the three tasks, the three labels and both splits."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from mmengine.logging import print_log
from torch.utils.data import Dataset

from miqa.registry import DATASETS, TRANSFORMS
from miqa.structures import QualitySample
from miqa.taxonomy import LABELS, check_choice
from miqa.utils import UnreadableImage, generator_for

from .fingerprint import describe_fingerprint, label_fingerprint
from .index import image_root
from .index_store import open_index
from .packed import PackedPictures
from .splits import split_name
from .transforms import ResizeShortSide

_MAX_REPLACEMENTS = 20


@DATASETS.register_module()
class MIQDDataset(Dataset):
    """MIQD-2.5M, or any database in its layout, for one task and split.

    An item is ``dict(inputs={view: uint8 tensor (3, h, w), RGB}, data_sample=QualitySample)``.
    The views come from the pipeline's last transform, :class:`miqa.datasets.transforms.PackViews`.

    Random numbers of a sample come from ``(seed, epoch, index)`` alone, so that results depend neither on the
    number of workers nor on where a run was resumed.

    Args:
        data_root: folder that holds ``miqa_cls/``, ``miqa_det/``, ``miqa_ins/`` and ``splits/``.
        task: ``cls``, ``det`` or ``ins``.
        label: ``composite``, ``consistency`` or ``accuracy``.
        split: ``train`` or ``val`` (``test`` means the same).
        pipeline: transforms, as objects or as dicts for the registry. None gives items without ``inputs``.
        missing: ``error``, or ``skip`` to leave out and report images and label files that are missing.
        bad_images: ``error``, or ``skip``. With ``skip`` a sample whose file cannot be read is marked in its meta
            information (``bad_image``: the reason) and listed by :func:`miqa.datasets.list_bad_images`. In training
            another sample, chosen by (seed, index), takes its place; at test the sample keeps its index, gets a black
            picture and NaN as its label, and the metric leaves it out: no other sample is scored twice.
        packed: folder of pictures packed by ``tools/data/pack.py`` to read instead of the image files.
        seed: of augmentation and replacement.

    Raises:
        FileNotFoundError, DatabaseError: what :func:`miqa.datasets.open_index` raises.
    """

    def __init__(
        self,
        data_root: str | os.PathLike,
        task: str,
        label: str = 'composite',
        split: str = 'train',
        pipeline: Sequence | None = None,
        missing: str = 'error',
        bad_images: str = 'error',
        packed: str | os.PathLike | None = None,
        seed: int = 0,
    ):
        self.label = check_choice(label, LABELS, 'label')
        self.bad_images = check_choice(bad_images, ('error', 'skip'), "value of 'bad_images'")
        self.split = split_name(split)
        self.index = open_index(data_root, task, split, missing)
        self.data_root, self.task, self.seed = str(data_root), task, int(seed)
        self.image_root = image_root(data_root, task)
        self.packed = None if packed is None else PackedPictures(packed, self.index, self.image_root)
        self.pipeline = [
            TRANSFORMS.build(step) if isinstance(step, dict) else step
            for step in (() if pipeline is None else pipeline)
        ]
        # Shared memory, so that persistent workers see a new epoch.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        info = self.index.info
        self.fingerprint = label_fingerprint(self.labels)
        sentence = describe_fingerprint(
            self.fingerprint, task, label, self.split, info['official'], info['missing'], info['without_labels']
        )
        print_log(sentence, logger='current')

    @property
    def metainfo(self) -> dict:
        """What the dataset is, in plain values that a checkpoint can hold."""
        return {
            'task': self.task,
            'label': self.label,
            'split': self.split,
            'samples': len(self),
            'sources': len(self.index.sources),
            'fingerprint': self.fingerprint,
            'official_split': self.index.info['official'],
            'missing': self.index.info['missing'],
            'data_root': self.data_root,
            'image_root': str(self.image_root),
        }

    @property
    def labels(self) -> np.ndarray:
        """The chosen label of all samples, float32 (N,), in [0, 1]; read-only, mapped from the index."""
        return self.index.labels(self.label)

    def __len__(self) -> int:
        return len(self.index)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that random numbers belong to; reaches running worker processes too."""
        self._epoch.fill_(int(epoch))

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

    def __getitem__(self, position: int) -> dict:
        """Return ``dict(inputs=..., data_sample=QualitySample)``.

        Raises:
            IndexError: there is no such position.
            FileNotFoundError, UnreadableImage: the image cannot be read and ``bad_images`` is ``error``.
        """
        info = self.get_data_info(position)
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
            results['packed'] = self.packed.read(info['index'])
        for step in self.pipeline:
            results = step(results)
        return results['inputs']

    @staticmethod
    def _item(info: dict, inputs: dict | None, **marks) -> dict:
        meta = {name: value for name, value in info.items() if name not in ('path', 'gt_score')}
        sample = QualitySample(metainfo={**meta, **marks})
        sample.gt_score = torch.tensor(info['gt_score'], dtype=torch.float32)
        return {'data_sample': sample} if inputs is None else {'inputs': inputs, 'data_sample': sample}

    def _replace(self, info: dict, error: Exception) -> dict:
        marks = {'bad_image': str(error), 'bad_path': info['path']}
        if self.split != 'train':
            side = max((step.size for step in self.pipeline if isinstance(step, ResizeShortSide)), default=288)
            black = np.zeros((side, side, 3), dtype=np.uint8)
            return self._item({**info, 'gt_score': float('nan')}, self._run(info, black), **marks)
        rng = generator_for(self.seed, 'replacement', info['index'])
        for other in rng.integers(len(self), size=_MAX_REPLACEMENTS):
            replacement = self.get_data_info(int(other))
            try:
                return self._item(replacement, self._run(replacement), **marks)
            except (UnreadableImage, FileNotFoundError):
                continue
        raise UnreadableImage(
            f'{error} So are {_MAX_REPLACEMENTS} others that were tried in its place: the database at '
            f'{self.data_root} looks damaged as a whole, or a disk is not mounted.'
        ) from error

    def _checked(self, position: int) -> int:
        size = len(self)
        position = int(position)
        if not -size <= position < size:
            raise IndexError(f'There is no sample {position} in {self.task} {self.split} with its {size} samples.')
        return position % size


def list_bad_images(data_samples: Sequence[QualitySample]) -> dict[str, str]:
    """Return path and reason of each unreadable file among samples that ``bad_images='skip'`` marked."""
    return {
        sample.get('bad_path'): sample.get('bad_image')
        for sample in data_samples
        if sample.get('bad_image') is not None
    }
