"""Resume a run from its checkpoint; progress is counted in samples, so the batch size may change."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from miqa.outside.checkpoint_files import state_dict_of

from .finite import first_broken

LATEST, BEST = 'latest.pth', 'best.pth'


class ResumeError(ValueError):
    """A run cannot resume with the given settings. The message names them and a remedy."""


def progress_of(runner, iteration: int) -> dict:
    """Describe how far a run is, in numbers that do not depend on batch size or number of processes.

    Returns:
        ``samples`` of the current epoch used by all processes together, ``epoch_samples`` of the training
        split, ``step_samples`` of one step, ``steps`` of an epoch, ``seed``, ``task``, ``label``, the ``content`` of
        the dataset (a checksum, where it has one) and the ``schedule`` with its base learning rates, as JSON.
    """
    loader = runner.train_dataloader
    dataset, step = loader.dataset, loader.batch_size * runner.world_size
    return {
        'samples': (iteration - runner.epoch * len(loader)) * step,
        'epoch_samples': len(dataset),
        'step_samples': step,
        'steps': len(loader),
        'seed': getattr(loader.sampler, 'seed', None),
        'task': getattr(dataset, 'task', None),
        'label': getattr(dataset, 'label', None),
        'content': getattr(dataset, 'content', None),
        'schedule': json.dumps(_schedule(runner), sort_keys=True),
    }


def check_whole(checkpoint: dict, path: str | Path) -> None:
    """Check that a checkpoint holds everything needed to resume a run.

    Raises:
        ResumeError: something is missing or of another kind, or weights are not finite.
    """
    meta = checkpoint.get('meta')
    parts = {'optimizer', 'message_hub'}
    if not isinstance(meta, Mapping) or not {'epoch', 'iter'} <= set(meta) or not parts <= set(checkpoint):
        raise ResumeError(
            f'{path} holds weights, but not the state of a run: resume from a latest.pth, or begin anew in another '
            '--work-dir.'
        )
    progress = meta.get('progress')
    numbers = [meta['epoch'], meta['iter']]
    if progress is not None:
        keys = ('samples', 'epoch_samples', 'step_samples', 'steps')
        numbers += [progress.get(key) if isinstance(progress, Mapping) else None for key in keys]
    kinds = all(isinstance(checkpoint[part], Mapping) for part in parts)
    if not kinds or not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ResumeError(
            f'What {path} says of its progress cannot be: resume from another file (--resume FILE), or begin anew in '
            'another --work-dir.'
        )
    broken = first_broken(state_dict_of(checkpoint, path))
    if broken is not None:
        raise ResumeError(
            f'The weights {broken} in {path} are not finite: resume from another file (--resume FILE), or begin anew '
            'in another --work-dir.'
        )


def check_latest(path: Path) -> None:
    """Refuse to start again if the state of a run exists but cannot be read.

    Raises:
        ResumeError: ``path`` is a link that leads nowhere, or no file.
    """
    if os.path.lexists(path) and not path.is_file():
        raise ResumeError(
            f'{path} is not a file, or a link that leads nowhere: restore it, or begin anew in another --work-dir.'
        )


def place_of(checkpoint: dict, now: dict, epochs: int, updates: int, path: Path) -> tuple[int, int]:
    """Return (epoch, steps since the start of the run) at which a run resumes with the current settings.

    With another size of batch, the steps are those in which the new batches would have seen the same samples; what is
    left of a half-seen batch is seen again. ``now`` is :func:`progress_of` of the new run before its first step. A run
    never resumes between the ``updates`` steps whose gradients are summed.

    Raises:
        ResumeError: a setting differs that decides which samples have been seen or what is learnt; or more epochs
            are done than are wanted; or the checkpoint says nothing of its progress.
    """
    meta = checkpoint['meta']
    epoch, saved = int(meta['epoch']), meta.get('progress')
    if saved is None:
        raise ResumeError(
            f'{path} does not say how many images of its epoch were used: leave out --resume to begin anew.'
        )
    _check_same(saved, now, path)
    if epoch > epochs or (epoch == epochs and saved['samples'] > 0):
        raise ResumeError(
            f'{path} has finished {epoch} epochs, but --epochs says {epochs}: use at least {epoch + 1}, or begin anew '
            'in another --work-dir.'
        )
    steps = int(saved['samples']) // now['step_samples']
    return epoch, epoch * now['steps'] + min(steps - steps % updates, now['steps'])


def _check_same(saved: dict, now: dict, path: Path) -> None:
    for key, option in (('task', 'task'), ('label', '--label'), ('seed', '--seed')):
        if saved.get(key) != now[key]:
            raise ResumeError(
                f'{path} is of a run with {option} {saved.get(key)}, not {now[key]}: resume with {saved.get(key)}, or '
                'begin anew in another --work-dir.'
            )
    if saved['samples'] and saved['epoch_samples'] != now['epoch_samples']:
        raise ResumeError(
            f'{path} stopped within an epoch of {saved["epoch_samples"]} images, but the training split has '
            f'{now["epoch_samples"]} now: restore the database, or begin anew in another --work-dir.'
        )
    if saved['samples'] and not same_content(saved, now):
        raise ResumeError(
            f'{path} stopped within an epoch of a training split that has other sources or labels now: restore the '
            'database, or begin anew in another --work-dir.'
        )


def same_content(saved: Mapping, now: Mapping) -> bool:
    """Return False where a run's sources or labels are known to have been others; both are :func:`progress_of`."""
    return saved.get('content') in (None, now['content'])


def same_schedule(checkpoint: dict, now: dict) -> bool:
    """Return True if the states of the schedulers in a checkpoint fit those of now: equal steps and rates."""
    saved = checkpoint['meta'].get('progress')
    return saved is None or all(saved[key] == now[key] for key in ('schedule', 'steps', 'step_samples'))


def forward(schedulers: list, epochs: int, steps: int) -> None:
    """Bring fresh schedulers to where they are after so many epochs and steps.

    Their optimiser must have the rates of the first step.
    """
    for scheduler in schedulers:
        # A scheduler takes its first step when it is made.
        for _ in range(epochs if scheduler.by_epoch else 0):
            scheduler.step()
    by_step = [scheduler for scheduler in schedulers if not scheduler.by_epoch]
    for _ in range(steps):
        for scheduler in by_step:
            scheduler.step()


def _schedule(runner) -> dict:
    scheduler = runner.cfg.get('param_scheduler')
    optimizer = runner.cfg.optim_wrapper.get('optimizer', {})
    lengths = {'epochs': runner.max_epochs, 'lr': optimizer.get('lr')}
    return {**lengths, 'schedulers': json.loads(json.dumps(scheduler, default=str))}
