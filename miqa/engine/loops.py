"""Training that can stop at any step and resume exactly."""

from __future__ import annotations

import bisect

from mmengine.runner import EpochBasedTrainLoop

from miqa.registry import LOOPS


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """Epochs that validate several times and resume in their middle.

    On resuming, the sampler starts at the next unseen batch; no skipped image is decoded again.

    Args:
        runner: MMEngine's runner.
        dataloader: with a sampler that has ``set_epoch`` and ``set_start``
            (:class:`miqa.datasets.ResumableSampler`), and a dataset that has ``set_epoch``.
        max_epochs: how often all training images are seen.
        validations_per_epoch: validations at equal distances, the last one at the end of the epoch; the
            paper's recipe has 2.
    """

    def __init__(self, runner, dataloader, max_epochs: int, validations_per_epoch: int = 2):
        super().__init__(runner, dataloader, max_epochs=max_epochs)
        if validations_per_epoch < 1:
            raise ValueError(f'validations_per_epoch must be at least 1, not {validations_per_epoch}.')
        if not len(self.dataloader):
            raise ValueError(
                f'The training split has {len(self.dataloader.dataset)} images, fewer than one batch of '
                f'{self.dataloader.batch_size} on each process: choose a smaller batch size.'
            )
        steps = len(self.dataloader)
        self._validation_steps = sorted(
            {-(-steps * part // validations_per_epoch) for part in range(1, validations_per_epoch + 1)}
        )

    def validates_at(self, iteration: int) -> bool:
        """Return True if a validation follows once ``iteration`` steps are done."""
        if self.runner.val_loop is None or not iteration:
            return False
        step = (iteration - 1) % len(self.dataloader) + 1
        at = bisect.bisect_left(self._validation_steps, step)
        return self._validation_steps[at] == step

    def run(self):
        """Train to the last epoch and return the model."""
        self.runner.call_hook('before_train')
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            if self.validates_at(self._iter):
                self.runner.val_loop.run()
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """Run what is left of the current epoch, with its validations but the one at its end."""
        start = self._iter - self._epoch * len(self.dataloader)
        self.dataloader.sampler.set_epoch(self._epoch)
        self.dataloader.sampler.set_start(start * self.dataloader.batch_size)
        self.dataloader.dataset.set_epoch(self._epoch)
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        last = len(self.dataloader) - 1
        for step, batch in enumerate(self.dataloader, start):
            self.run_iter(step, batch)
            if step < last and self.validates_at(self._iter):
                self.runner.val_loop.run()
                self.runner.model.train()
        self.dataloader.sampler.set_start(0)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
