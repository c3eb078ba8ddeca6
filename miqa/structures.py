"""What travels with an image from the dataset to the metric."""

from __future__ import annotations

import torch
from mmengine.structures import BaseDataElement


class QualitySample(BaseDataElement):
    """One image's quality: what it is and what a model predicts.

    Data fields:
        gt_score: float32 tensor of shape (), the label, nominally in [0, 1], higher is better.
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
    def pred_score(self) -> torch.Tensor:
        """The prediction, a float32 tensor of shape ()."""
        return self._pred_score

    @pred_score.setter
    def pred_score(self, value: torch.Tensor):
        self.set_field(value, '_pred_score', dtype=torch.Tensor)
