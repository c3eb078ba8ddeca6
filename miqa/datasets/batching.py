"""Collate the items of a dataset into a batch, in the worker that loaded them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.utils.data import default_collate

from miqa.registry import FUNCTIONS
from miqa.structures import LABEL_FIELDS, SampleBatch

#: How a config names :func:`stack_samples`; MMEngine looks for functions in its own registry.
STACK_SAMPLES = 'miqa.stack_samples'


@FUNCTIONS.register_module()
def stack_samples(items: Sequence[dict]) -> dict:
    """Put items of a :class:`~miqa.datasets.QualityDataset` together.

    A worker process hands each tensor over by a file of its own in shared memory. One tensor for a batch, and not one
    for each picture and label, is what lets workers feed thousands of pictures a second.

    Returns:
        ``inputs``: per name one tensor (B, ...), in shared memory where a worker makes it; ``data_sample``: a
        :class:`~miqa.structures.SampleBatch`, or a list of the samples where they hold more than labels.

    Raises:
        ValueError: the tensors of an input differ in shape.
    """
    batch: dict = {'data_sample': _together([item['data_sample'] for item in items])}
    if 'inputs' in items[0]:
        batch['inputs'] = {
            name: _stacked(name, [item['inputs'][name] for item in items]) for name in items[0]['inputs']
        }
    return batch


def _together(samples: list) -> SampleBatch | list:
    fields = set(samples[0].keys())
    alike = fields <= set(LABEL_FIELDS) and all(set(sample.keys()) == fields for sample in samples)
    return SampleBatch(samples) if alike else samples


def _stacked(name: str, tensors: list[torch.Tensor]) -> torch.Tensor:
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        raise ValueError(
            f'The inputs {name} of a batch differ in shape: {", ".join(map(str, sorted(shapes)))}. End the pipeline '
            'with PackViews.'
        )
    return default_collate(tensors)
