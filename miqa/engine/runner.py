"""MMEngine's Runner with checkpoints that are atomic, read safely and loaded strictly."""

from __future__ import annotations

from pathlib import Path

from mmengine.hooks import CheckpointHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner, find_latest_checkpoint

from miqa.models import load_checkpoint, read_checkpoint
from miqa.utils import atomic_write

from .schedule import warmup_cosine


class QualityRunner(Runner):
    """Train, validate and test quality models.

    It differs from MMEngine's Runner in this: a checkpoint is either whole or not there; it is read without
    executing code from it; every tensor must fit; released ``.pth.tar`` files are checkpoints too; pretrained
    weights are not fetched when a checkpoint replaces them; and ``schedule`` in the config becomes
    per-step schedulers.
    """

    def build_param_scheduler(self, scheduler):
        """Turn the recipe's ``dict(epochs=..., lr=..., ...)`` into schedulers; pass others to MMEngine."""
        if isinstance(scheduler, dict) and 'warmup_epochs' in scheduler:
            scheduler = warmup_cosine(len(self.train_dataloader), **scheduler)
        return super().build_param_scheduler(scheduler)

    def _check_scheduler_cfg(self, param_scheduler):
        if isinstance(param_scheduler, dict) and 'warmup_epochs' in param_scheduler:
            return
        super()._check_scheduler_cfg(param_scheduler)

    def _init_model_weights(self) -> None:
        if self._resume and self._load_from is None and find_latest_checkpoint(self.work_dir) is None:
            self.logger.info(f'There is no checkpoint in {self.work_dir} yet: training starts at the beginning.')
        elif self._resume or self._load_from is not None:
            return
        super()._init_model_weights()

    def load_checkpoint(self, filename, map_location='cpu', strict=True, revise_keys=()):
        """Load weights from our own checkpoints or a released file and return the checkpoint.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: tensors are missing, unexpected or of another shape.
        """
        checkpoint = read_checkpoint(filename, map_location=map_location)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model = self.model.module if is_model_wrapper(self.model) else self.model
        load_checkpoint(model, checkpoint, source=str(filename))
        self._has_loaded = True
        self.logger.info(f'Loaded {filename}.')
        return checkpoint

    def save_checkpoint(self, out_dir, filename, *args, **kwargs) -> None:
        """Save a checkpoint under its name only once it is whole on the disk."""
        if self.rank != 0:
            return
        target = Path(out_dir) / filename
        with atomic_write(target) as temporary:
            super().save_checkpoint(str(temporary.parent), temporary.name, *args, **kwargs)

    def build_logger(self, *args, **kwargs):
        """Build MMEngine's logger without the notices that MMEngine sends itself about its own file access."""
        logger = super().build_logger(*args, **kwargs)
        logger.addFilter(lambda record: not str(record.msg).startswith(('"FileClient" will', '"HardDiskBackend" is')))
        return logger

    def get_hooks_info(self) -> str:
        """Name the hooks in a line; MMEngine's own table fills a screen at every start."""
        return ', '.join(type(hook).__name__ for hook in self.hooks)

    def register_default_hooks(self, hooks=None):
        """Register the hooks of the config; MMEngine's own checkpoint hook is refused."""
        kind = (hooks or {}).get('checkpoint', {}).get('type')
        if kind in ('CheckpointHook', CheckpointHook):
            raise ValueError(
                'Use SaveCheckpoint as default_hooks.checkpoint: CheckpointHook is not safe against kills.'
            )
        super().register_default_hooks(hooks)
