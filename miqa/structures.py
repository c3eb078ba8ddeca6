"""What travels with an image from the dataset to the metric."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from mmengine.structures import BaseDataElement


class QualitySample(BaseDataElement):
    """One image's quality: what it is and what a model predicts.

    Data fields:
        gt_score: float32 tensor of shape (), the label, nominally in [0, 1], higher is better.
        gt_scores: float32 tensor of shape (3,), the labels of all kinds in the order of
            :data:`miqa.taxonomy.LABELS`, if the dataset has them.
        pred_score: float32 tensor of shape (), the model's raw regression value.

    Meta information: ``index`` (position in the dataset), ``image`` (path below the image root),
    ``source``, ``task``, ``label``, ``distortion``, ``fg_level``, ``bg_level``.
    """

    @property
    def gt_score(self) -> torch.Tensor:
        """The label, a float32 tensor of shape ()."""
        return self._gt_score

    @gt_score.setter
    def gt_score(self, value: torch.Tensor):
        self.set_field(value, '_gt_score', dtype=torch.Tensor)

    @property
    def gt_scores(self) -> torch.Tensor:
        """The labels of all kinds, a float32 tensor of shape (3,)."""
        return self._gt_scores

    @gt_scores.setter
    def gt_scores(self, value: torch.Tensor):
        self.set_field(value, '_gt_scores', dtype=torch.Tensor)

    @property
    def pred_score(self) -> torch.Tensor:
        """The prediction, a float32 tensor of shape ()."""
        return self._pred_score

    @pred_score.setter
    def pred_score(self, value: torch.Tensor):
        self.set_field(value, '_pred_score', dtype=torch.Tensor)


LABEL_FIELDS = ('gt_score', 'gt_scores')  # Fields of a :class:`QualitySample` that a batch holds as one tensor


class SampleBatch:
    """The samples of a batch by columns: what a worker process hands over in a few objects instead of hundreds.

    It has a length and gives :class:`QualitySample` by position, made when asked for, as a list of them would.

    Args:
        samples: at least one; all with the same of :data:`LABEL_FIELDS`, and without other data fields.

    Raises:
        ValueError: they differ in their labels, or have other data fields.
    """

    def __init__(self, samples: Sequence[QualitySample]):
        fields = {tuple(sample.keys()) for sample in samples}
        if len(fields) != 1 or not set(names := fields.pop()) <= set(LABEL_FIELDS):
            raise ValueError(f'A batch holds samples with the same labels of {", ".join(LABEL_FIELDS)} and no others.')
        self.labels = {name: torch.stack([getattr(sample, name) for sample in samples]) for name in names}
        rows = [dict(sample.metainfo_items()) for sample in samples]
        shared = [name for name in rows[0] if all(name in row for row in rows)]
        self.columns = {name: [row.pop(name) for row in rows] for name in shared}
        #: What only some samples say of themselves, such as why a file could not be read.
        self.marks = {position: row for position, row in enumerate(rows) if row}
        self.count = len(samples)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int | slice) -> QualitySample | list[QualitySample]:
        """Return the sample at a position, or a list of them for a slice."""
        if isinstance(position, slice):
            return [self._sample(number) for number in range(*position.indices(self.count))]
        if not -self.count <= position < self.count:
            raise IndexError(f'There is no sample {position} in a batch of {self.count}.')
        return self._sample(position % self.count)

    def __iter__(self) -> Iterator[QualitySample]:
        return (self._sample(number) for number in range(self.count))

    def _sample(self, position: int) -> QualitySample:
        meta = {name: values[position] for name, values in self.columns.items()}
        sample = QualitySample(metainfo={**meta, **self.marks.get(position, {})})
        for name, values in self.labels.items():
            setattr(sample, name, values[position])
        return sample

    def column(self, name: str) -> list:
        """Return a meta information of all samples; None for those that lack it."""
        if name in self.columns:
            return self.columns[name]
        return [self.marks.get(position, {}).get(name) for position in range(self.count)]

    def pin_memory(self) -> SampleBatch:
        """Put the labels where a GPU can fetch them; PyTorch's data loader asks for it."""
        self.labels = {name: values.pin_memory() for name, values in self.labels.items()}
        return self


def meta_of(samples: SampleBatch | Sequence[QualitySample], name: str) -> list:
    """Return a meta information of all samples; None for those that lack it."""
    return samples.column(name) if isinstance(samples, SampleBatch) else [sample.get(name) for sample in samples]


def labels_of(samples: SampleBatch | Sequence[QualitySample] | None, name: str) -> torch.Tensor | None:
    """Return one of :data:`LABEL_FIELDS` of a batch, float32 (B,) or (B, 3); None where a sample lacks it."""
    if isinstance(samples, SampleBatch):
        return samples.labels.get(name)
    if not samples or any(name not in sample for sample in samples):
        return None
    return torch.stack([getattr(sample, name) for sample in samples])
