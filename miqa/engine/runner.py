"""MMEngine's Runner with checkpoints that are atomic, read safely and loaded strictly."""

from __future__ import annotations

import logging
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from miqa.keeping import atomic_write
from miqa.models import load_checkpoint, read_checkpoint
from miqa.models.parts.checkpoints import unwrapped
from miqa.running.logs import report_once

from .finite import StopAtNonFinite
from .formatted_config import FormattedOnce
from .resuming import (
    BEST,
    LATEST,
    ResumeError,
    check_latest,
    check_whole,
    forward,
    place_of,
    progress_of,
    same_content,
    same_schedule,
)
from .schedule import warmup_cosine
from .screen import keep_dumps_in_the_file


class QualityRunner(Runner):
    """Train, validate and test quality models.

    It differs from MMEngine's Runner in this: a checkpoint is either whole or not there; it is read without
    executing code from it; every tensor must fit; released ``.pth.tar`` files are checkpoints too; pretrained
    weights are not fetched when a checkpoint replaces them; ``schedule`` in the config becomes per-step schedulers; a
    run resumes from ``latest.pth`` in its own folder, wherever that folder is now; and it stops at a loss that is
    not finite.
    """

    cfg: Config

    def __init__(self, *args, cfg: Config | dict | None = None, **options):
        # MMEngine copies it, and formats it four times before the first step.
        super().__init__(*args, cfg=FormattedOnce.of(cfg) if isinstance(cfg, Config) else cfg, **options)

    @property
    def latest(self) -> Path:
        """The checkpoint from which a run in this folder resumes."""
        return Path(self.work_dir) / LATEST

    @property
    def goes_on_here(self) -> bool:
        """True if this run continues the one whose files are in the work directory."""
        if not self._resume or not self.latest.is_file():
            return False
        return self._load_from is None or self.latest.samefile(self._load_from)

    def _maybe_compile(self, target: str) -> None:
        """Compile the network alone, in place, for training.

        The names of its weights stay as they are, and what surrounds it stays plain Python: MMEngine would compile
        the step with the optimiser's wrapper.
        """
        options = self.cfg.get('compile', False)
        if target != 'train_step' or options is False or options is None:
            return
        network = unwrapped(self.model).network
        network.compile(**({} if options is True else dict(options)))
        self.logger.info(f'{type(network).__name__} is compiled at the first step, which takes minutes.')

    def register_hooks(self, default_hooks=None, custom_hooks=None) -> None:
        """Register the hooks of the config, and the one that stops at a loss that is not finite."""
        super().register_hooks(default_hooks, custom_hooks)
        self.register_hook(StopAtNonFinite())

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
        if self._resume and self._load_from is None and not self.latest.is_file():
            check_latest(self.latest)
            best = Path(self.work_dir) / BEST
            level = logging.WARNING if best.is_file() else logging.INFO
            best_note = f', though {best} is there' if best.is_file() else ' yet'
            self.logger.log(level, f'There is no {self.latest}{best_note}: training starts at the beginning.')
        elif self._resume or self._load_from is not None:
            return
        super()._init_model_weights()

    def load_or_resume(self) -> None:
        """Go on from the checkpoint that was named, or else from this folder's own latest one; or load weights."""
        if self._has_loaded:
            return
        source = self._load_from or (str(self.latest) if self._resume and self.latest.is_file() else None)
        if source is None:
            return
        if self._resume:
            self.resume(source)
        else:
            self.load_checkpoint(source)

    def resume(self, filename, resume_optimizer=True, resume_param_scheduler=True, map_location='default') -> None:
        """Restore weights, optimiser, schedule and place of a run; see :func:`miqa.engine.resuming.place_of`.

        Raises:
            FileNotFoundError, CheckpointError: the file is not there or not whole.
            ResumeError: it cannot resume with these settings.
        """
        checkpoint = self.load_checkpoint(filename, map_location=get_device())
        check_whole(checkpoint, filename)
        now = progress_of(self, 0)
        updates = getattr(self.optim_wrapper, '_accumulative_counts', 1)
        epoch, step = place_of(checkpoint, now, self.max_epochs, updates, Path(filename))
        self.train_loop._epoch, self.train_loop._iter = epoch, step
        self.message_hub.load_state_dict(checkpoint['message_hub'])
        changed = not same_content(checkpoint['meta']['progress'], now)
        if changed:
            self.logger.warning(
                f'{filename} was trained on other sources or labels than those of {now["task"]} now: the run continues '
                'on the new ones, and best.pth is chosen anew on them.'
            )
        if changed or not (Path(self.work_dir) / BEST).is_file():
            # The best weights so far were not brought along: the next ones are the best that this folder has.
            for name in ('best_score', 'best_iter'):
                self.message_hub.runtime_info.pop(name, None)
        rates = [{key: group[key] for key in ('lr', 'initial_lr') if key in group} for group in self._groups()]
        states = checkpoint.get('param_schedulers') or []
        try:
            self.optim_wrapper.load_state_dict(checkpoint['optimizer'])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ResumeError(
                f'The state of the optimiser in {filename} does not fit this run ({error}): resume with the original '
                'config, or begin anew in another --work-dir.'
            ) from None
        if same_schedule(checkpoint, now) and len(states) == len(self.param_schedulers or ()):
            for scheduler, state in zip(self.param_schedulers or (), states, strict=True):
                scheduler.load_state_dict(state)
        else:
            for group, rate in zip(self._groups(), rates, strict=True):
                group.update(rate)
            forward(self.param_schedulers or [], epoch, step)
            self.logger.info(f'Batch size or schedule changed: the run continues at step {step} of the new schedule.')
        self.logger.info(f'Resumed {filename}: {epoch} epochs and {step} steps are done.')

    def _groups(self) -> list[dict]:
        return self.optim_wrapper.param_groups

    def load_checkpoint(self, filename, map_location='cpu', strict=True, revise_keys=()):
        """Load weights from our own checkpoints or a released file and return the checkpoint.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: tensors are missing, unexpected or of another shape.
        """
        checkpoint = read_checkpoint(filename)
        # MMEngine's resume would run a text under this key, which only its old versions wrote, as Python.
        checkpoint.get('meta', {}).pop('config', None)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model = unwrapped(self.model)
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
        """Build MMEngine's logger: what fills screens goes into the log file alone, and notices that MMEngine sends
        itself about its own file access nowhere.
        """
        logger = report_once(super().build_logger(*args, **kwargs))
        logger.addFilter(lambda record: not str(record.msg).startswith(('"FileClient" will', '"HardDiskBackend" is')))
        keep_dumps_in_the_file(logger)
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
