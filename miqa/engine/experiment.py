"""From a config file and a few knobs to a runner."""

from __future__ import annotations

import copy
import difflib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict

from miqa.taxonomy import LABELS, TASKS, check_choice

from .launch import ddp_options, start_processes_group
from .precision import mixed_precision

#: Knobs at the top of every config (configs/_base_/default_runtime.py).
KNOBS = ('task', 'label', 'data_root', 'batch_size', 'seed')


def load_config(path: str | Path, options: Mapping | None = None) -> Config:
    """Read a config file and merge dotted ``options`` into it.

    Raises:
        FileNotFoundError: there is no such file; the message names the nearest one beside it.
        KeyError: an option names a key that the config does not have (a dict with a ``type`` may get new keys:
            they are checked when the object is built).
    """
    path = Path(path)
    if not path.is_file():
        beside = [str(p) for p in path.parent.glob('*.py')] if path.parent.is_dir() else []
        near = difflib.get_close_matches(str(path), beside, n=1)
        hint = f' Did you mean {near[0]}?' if near else ' The configs are in configs/.'
        raise FileNotFoundError(f'There is no config file {path}.{hint}')
    config = Config.fromfile(path)
    for key in options or {}:
        _check_option(config, key)
    if options:
        config.merge_from_dict(dict(options))
    return config


def _check_option(config: Config, dotted: str) -> None:
    node, walked = config._cfg_dict, []
    for part in dotted.split('.'):
        if isinstance(node, (list, tuple)):
            if not part.isdigit() or int(part) >= len(node):
                raise KeyError(f'--cfg-options {dotted}: {".".join(walked)} is a list of {len(node)} entries.')
            node = node[int(part)]
        elif isinstance(node, Mapping) and part in node:
            node = node[part]
        elif isinstance(node, Mapping) and 'type' in node:
            return
        else:
            known = list(node) if isinstance(node, Mapping) else []
            near = difflib.get_close_matches(part, known, n=1)
            hint = f' Did you mean {".".join([*walked, near[0]])}?' if near else ''
            raise KeyError(f'--cfg-options {dotted}: the config has no such key.{hint}')
        walked.append(part)


def settle(config: Config, processes: int = 1) -> Config:
    """Return a copy of ``config`` in which the knobs have reached every place that they decide.

    A value that is written out in such a place stays: ``test_dataloader.dataset.label`` may differ from ``label``.

    Args:
        config: with the knobs of :data:`KNOBS` and ``schedule``.
        processes: how many processes share ``batch_size``.

    Raises:
        KeyError: a knob is missing.
        ValueError: a task or label is unknown, or ``batch_size`` cannot be shared equally.
    """
    config = copy.deepcopy(config)
    missing = [name for name in (*KNOBS, 'schedule') if name not in config]
    if missing:
        raise KeyError(f'The config lacks {", ".join(missing)}; build on configs/_base_/default_runtime.py.')
    check_choice(config.task, TASKS, 'task')
    check_choice(config.label, LABELS, 'label')
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = config[name]['dataset']
        for knob in ('task', 'label', 'data_root'):
            dataset.setdefault(knob, config[knob])
        _fit_machine(config[name])
    config.train_dataloader.dataset.setdefault('seed', config.seed)
    config.train_dataloader.sampler.setdefault('seed', config.seed)
    updates = config.optim_wrapper.get('accumulative_counts', 1)
    if config.batch_size % (processes * updates):
        raise ValueError(
            f'batch_size {config.batch_size} cannot be shared equally by {processes} processes with '
            f'{updates} accumulation steps; choose a multiple of {processes * updates}.'
        )
    config.train_dataloader.setdefault('batch_size', config.batch_size // (processes * updates))
    config.optim_wrapper.optimizer.setdefault('lr', config.schedule.lr)
    config.train_cfg.setdefault('max_epochs', config.schedule.epochs)
    config.setdefault('param_scheduler', ConfigDict(config.schedule))
    config.setdefault('randomness', {'seed': config.seed})
    return config


def _fit_machine(loader: ConfigDict) -> None:
    """Use no more workers than this process's share of cores, and pinned memory only where a GPU reads it."""
    processes = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    share = max(1, len(os.sched_getaffinity(0)) // processes)
    loader.num_workers = min(loader.get('num_workers', 0), share)
    loader.pin_memory = bool(loader.get('pin_memory')) and torch.cuda.is_available()
    if not loader.num_workers:
        loader.persistent_workers = False


def build_runner(
    config: Config,
    work_dir: str | Path,
    launcher: str = 'none',
    resume: str | bool = False,
    amp: bool = False,
    checkpoint: str | Path | None = None,
):
    """Build the runner of a config.

    Args:
        config: as :func:`load_config` gives it.
        work_dir: folder of logs, checkpoints and results.
        launcher: one of :data:`miqa.engine.launch.LAUNCHERS`.
        resume: ``True`` or ``'auto'`` for the latest checkpoint of ``work_dir`` (a fresh start where there is none),
            or a path.
        amp: mixed precision, see :func:`miqa.engine.precision.mixed_precision`.
        checkpoint: weights to start from or to test.

    Raises:
        FileNotFoundError: a checkpoint that was named does not exist.
    """
    from .runner import QualityRunner  # imports torch's models: not needed to read a config

    processes = start_processes_group(launcher)
    config = settle(config, processes)
    if amp:
        config.optim_wrapper = ConfigDict(mixed_precision(config.optim_wrapper))
    if launcher != 'none':
        config.model_wrapper_cfg = ConfigDict(ddp_options())
    config.launcher = launcher
    config.work_dir = str(work_dir)
    config.resume = bool(resume)
    start = resume if isinstance(resume, (str, Path)) and resume != 'auto' else checkpoint
    if start is not None and not Path(start).is_file():
        raise FileNotFoundError(f'There is no checkpoint file {start}.')
    config.load_from = str(start) if start is not None else None
    return QualityRunner.from_cfg(config)
