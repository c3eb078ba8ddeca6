"""Which samples each process gets, in which order; equal in resumed and uninterrupted runs."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from miqa.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ResumableSampler(Sampler):
    """Positions of a dataset for one of several processes.

    With ``shuffle`` (training): a permutation determined by (seed, epoch); process ``rank`` of ``world`` takes every
    ``world``-th position from its ``rank``-th on. All processes get equally many: the remainder of at most
    ``world - 1`` samples is dropped, others in each epoch. Without ``shuffle`` (testing): the order of the dataset,
    partitioned exactly; processes may differ by one sample, none is repeated.

    Args:
        dataset: anything with a length.
        shuffle: see above.
        seed: of the permutations; None takes one that all processes agree upon.
        rank, world_size: of this process; by default those of the distributed environment.
    """

    def __init__(
        self,
        dataset: Sized,
        shuffle: bool = True,
        seed: int | None = None,
        rank: int | None = None,
        world_size: int | None = None,
    ):
        default_rank, default_world = get_dist_info()
        self.rank = default_rank if rank is None else rank
        self.world_size = default_world if world_size is None else world_size
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f'Process {self.rank} is not one of {self.world_size}.')
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else int(seed)
        self.epoch = self.start = 0
        self._size = len(dataset)
        if shuffle and self._size < self.world_size:
            raise ValueError(f'{self._size} samples cannot be shared by {self.world_size} processes.')

    def __len__(self) -> int:
        """Samples of this process in a whole epoch, wherever it starts."""
        if self.shuffle:
            return self._size // self.world_size
        return len(range(self.rank, self._size, self.world_size))

    def __iter__(self) -> Iterator[int]:
        if not self.shuffle:
            yield from range(self.rank + self.start * self.world_size, self._size, self.world_size)
            return
        generator = torch.Generator()
        generator.manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
        order = torch.randperm(self._size, generator=generator)
        mine = order[self.rank :: self.world_size][self.start : len(self)].numpy().copy()
        # The whole permutation is not kept while this process's part is used.
        del order
        for position in mine:
            yield int(position)

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation of the next iteration."""
        self.epoch = int(epoch)

    def set_start(self, samples: int) -> None:
        """Skip this process's first ``samples`` in each following iteration, until set again; 0 skips none.

        Skipped samples are never loaded. The length stays that of a whole epoch.

        Raises:
            ValueError: ``samples`` is negative or more than this process has.
        """
        if not 0 <= samples <= len(self):
            raise ValueError(f'Cannot start after {samples} samples; this process has {len(self)} in an epoch.')
        self.start = int(samples)
