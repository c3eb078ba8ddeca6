"""When a run saves checkpoints, and which weights are the best."""

from __future__ import annotations

import math
import time
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from miqa.keeping import atomic_write, keep_previous
from miqa.registry import HOOKS

from .finite import anywhere, check_weights
from .resuming import BEST, LATEST, progress_of


@HOOKS.register_module()
class SaveCheckpoint(Hook):
    """Keep ``latest.pth``, from which a killed run resumes, and ``best.pth``, the best validated weights.

    ``latest.pth`` is written after each validation and ``per_epoch`` times an epoch between, there not before
    ``least_seconds`` have passed since the last time; ``best.pth`` holds no optimiser. Both are replaced atomically: a
    kill at any moment leaves the previous file whole. A run that begins anew in the folder of another renames the
    other's files first (``latest.1.pth``). A score that is not defined (NaN) is never the best, and weights that are
    not finite are never saved.

    ``last_checkpoint`` names the latest one for MMEngine's own tools; this project's runs never read it.

    Args:
        per_epoch: about how many times an epoch to save between validations.
        least_seconds: of work that a save between validations should keep. Epochs of a second need no ten saves.
        metric: the name of the score that decides, higher is better.
    """

    priority = 'VERY_LOW'

    def __init__(self, per_epoch: int = 10, metric: str = 'SRCC', least_seconds: float = 10):
        if per_epoch < 1:
            raise ValueError(f'per_epoch must be at least 1, not {per_epoch}.')
        if not least_seconds >= 0:
            raise ValueError(f'least_seconds must not be negative, not {least_seconds}.')
        self.per_epoch, self.least_seconds = per_epoch, least_seconds
        self.metric = metric
        self.interval = 1
        self._saved_at = 0.0

    def before_train(self, runner) -> None:
        """Choose the interval: a whole number of optimiser updates, so that no half-summed gradient is lost."""
        updates = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        steps = -(-len(runner.train_dataloader) // self.per_epoch)
        self.interval = -(-steps // updates) * updates
        self._saved_at = time.monotonic()
        if is_main_process() and not runner.goes_on_here:
            for name in (LATEST, BEST):
                previous = keep_previous(Path(runner.work_dir) / name)
                if previous:
                    runner.logger.warning(f'This run begins anew; the earlier {name} is kept as {previous}.')

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Save where the interval and the time say so, unless a validation (which saves) follows at once."""
        steps = runner.iter + 1
        if steps % self.interval or runner.train_loop.validates_at(steps):
            return
        # Clocks differ, and all processes must save at the same steps: they check their weights together.
        if anywhere(runner, time.monotonic() - self._saved_at >= self.least_seconds):
            self._save(runner, LATEST, iteration=steps)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Keep the weights if they are the best so far, then save the state of the run."""
        metrics = metrics or {}
        if self.metric not in metrics:
            raise KeyError(
                f'SaveCheckpoint compares {self.metric}, but validation gives {sorted(metrics)}: set '
                'default_hooks.checkpoint.metric.'
            )
        score = float(metrics[self.metric])
        info = runner.message_hub.runtime_info
        if not math.isfinite(score):
            runner.logger.warning(f'{self.metric} is not defined at step {runner.iter}: best.pth is kept.')
        elif 'best_score' not in info or score > info['best_score']:
            runner.message_hub.update_info('best_score', score)
            runner.message_hub.update_info('best_iter', runner.iter)
            self._save(runner, BEST, runner.iter, optimizer=False, scores=metrics)
            runner.logger.info(f'Best {self.metric} so far: {score:.4f}, kept as best.pth.')
        self._save(runner, LATEST, runner.iter)

    def after_train(self, runner) -> None:
        """Save the final state where no validation has."""
        if not runner.train_loop.validates_at(runner.iter):
            self._save(runner, LATEST, runner.iter)

    def _save(self, runner, name, iteration, optimizer=True, scores=None):
        check_weights(runner, iteration)
        meta = {'epoch': runner.epoch, 'iter': iteration, 'progress': progress_of(runner, iteration)}
        if scores is not None:
            meta['scores'] = {key: float(value) for key, value in scores.items()}
        runner.save_checkpoint(
            runner.work_dir, name, save_optimizer=optimizer, save_param_scheduler=optimizer, meta=meta, by_epoch=False
        )
        self._saved_at = time.monotonic()
        if name == LATEST and is_main_process():
            folder = Path(runner.work_dir)
            try:
                with atomic_write(folder / 'last_checkpoint') as temporary:
                    temporary.write_text(str((folder / name).resolve()), encoding='utf-8')
            except OSError as error:
                # Not read by this project.
                runner.logger.warning(f'{folder / "last_checkpoint"} cannot be written: {error.strerror or error}.')
