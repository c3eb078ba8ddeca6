"""Build a runner from a config file and a few options."""

from __future__ import annotations

import contextlib
import copy
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict

from miqa.datasets import STACK_SAMPLES
from miqa.datasets.transforms.cached_features import check_cached_pixels
from miqa.outside.config_files import read_config_file
from miqa.outside.configs import find_config
from miqa.registry import DATA_SAMPLERS, DATASETS, HOOKS, LOOPS, METRICS, MODELS, OPTIM_WRAPPERS, TRANSFORMS
from miqa.running.cores import usable_cores
from miqa.running.signatures import options_of
from miqa.taxonomy import DATABASE_TASKS, LABELS, check_choice, did_you_mean

from .launch import ddp_options, start_processes_group
from .precision import mixed_precision
from .selection import resolve_selection

#: Knobs at the top of every config (configs/_base_/default_runtime.py).
RUN_OPTIONS = ('task', 'label', 'data_root', 'batch_size', 'seed')


def load_config(path: str | Path, options: Mapping | None = None) -> Config:
    """Read a config file, or a shipped config of that name, and merge dotted ``options`` (``--cfg-options``) into it.

    Raises:
        FileNotFoundError: there is no such file; the message names the nearest one beside it. Or one that it builds
            on is missing.
        ValueError: it is not Python, or what it says cannot be computed; or an option puts one value in the place of a
            group of settings.
        KeyError: an option names a key that the config does not have (a dict with a ``type`` may get new keys:
            they are checked when the object is built).
    """
    config = read_config_file(find_config(path))
    for key, value in (options or {}).items():
        _check_option(config, key, value)
    if options:
        config.merge_from_dict(dict(options))
    return config


def _check_option(config: Config, dotted: str, value: object) -> None:
    node, walked = config._cfg_dict, list[str]()
    for part in dotted.split('.'):
        if isinstance(node, (list, tuple)):
            if not part.isdigit() or int(part) >= len(node):
                raise KeyError(f'--cfg-options {dotted}: {".".join(walked)} is a list of {len(node)} entries.')
            node = node[int(part)]
        elif isinstance(node, Mapping) and part in node:
            node = node[part]
        elif isinstance(node, Mapping) and 'type' in node:
            options = _options_of(node['type'])
            if options is not None and part not in options:
                hint = did_you_mean(part, [*node, *options], lambda near: '.'.join([*walked, near]))
                raise KeyError(f'--cfg-options {dotted}: {node["type"]} has no option {part!r}.{hint}')
            return
        else:
            keys = list(node) if isinstance(node, Mapping) else []
            hint = did_you_mean(part, keys, lambda near: '.'.join([*walked, near]))
            raise KeyError(f'--cfg-options {dotted}: the config has no such key.{hint}')
        walked.append(part)
    if isinstance(node, Mapping) and value is not None and not isinstance(value, Mapping):
        example = next(iter(node), 'KEY')
        raise ValueError(
            f'--cfg-options {dotted}={value}: {dotted} is a group of settings; name one, as in {dotted}.{example}=...'
        )


def _options_of(kind: object) -> set[str] | None:
    """Return the names of the arguments of a registered class; None where they are not known."""
    if not isinstance(kind, str):
        return None
    registered = None
    for registry in (MODELS, DATASETS, TRANSFORMS, DATA_SAMPLERS, METRICS, HOOKS, LOOPS, OPTIM_WRAPPERS):
        with contextlib.suppress(KeyError):
            registered = registered or registry.get(kind)
    return options_of(registered)


def check_conflicting_options(options: Mapping | None, flags: Mapping) -> None:
    """Raise a ValueError if ``--cfg-options`` says something else than an option of its own for the same key.

    Args:
        options: of ``--cfg-options``, or None.
        flags: key of the config -> value of the option of its own; None where it was not given.
    """
    for key, value in (options or {}).items():
        own = flags.get(key)
        if own is not None and own != value:
            name = key.rpartition('.')[2].replace('_', '-')
            raise ValueError(f'--{name} says {own}, but --cfg-options {key}={value}. Leave one of them out.')


def resolve_config(config: Config, processes: int = 1) -> Config:
    """Return a copy of ``config`` with its options applied everywhere.

    A value that is written out in such a place stays: ``test_dataloader.dataset.label`` may differ from ``label``.

    Raises:
        KeyError: an option is missing.
        ValueError: a task, label or selection is unknown, or ``batch_size`` cannot be shared equally.
    """
    config = copy.deepcopy(config)
    missing = [name for name in (*RUN_OPTIONS, 'schedule') if name not in config]
    if missing:
        raise KeyError(f'The config lacks {", ".join(missing)}; build on configs/_base_/default_runtime.py.')
    check_choice(config.task, DATABASE_TASKS, 'task')
    check_choice(config.label, LABELS, 'label')
    resolve_selection(config)
    _resolve_label(config)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = config[name]['dataset']
        for option in ('task', 'label', 'data_root'):
            dataset.setdefault(option, config[option])
        config[name].setdefault('collate_fn', {'type': STACK_SAMPLES})
        _fit_machine(config[name])
    config.train_dataloader.dataset.setdefault('seed', config.seed)
    config.train_dataloader.sampler.setdefault('seed', config.seed)
    updates = config.optim_wrapper.get('accumulative_counts', 1)
    if config.batch_size % (processes * updates):
        raise ValueError(
            f'batch_size {config.batch_size} is not divisible by {processes} processes x {updates} accumulation steps: '
            f'choose a multiple of {processes * updates}.'
        )
    config.train_dataloader.setdefault('batch_size', config.batch_size // (processes * updates))
    config.optim_wrapper.optimizer.setdefault('lr', config.schedule.lr)
    config.train_cfg.setdefault('max_epochs', config.schedule.epochs)
    config.setdefault('param_scheduler', ConfigDict(config.schedule))
    config.setdefault('randomness', {'seed': config.seed})
    return config


def check_data(config: Config, *parts: str) -> None:
    """Raise a FileNotFoundError if the data of a config are plainly not there, before a run leaves anything behind."""
    resolved = resolve_config(config)
    for part in parts:
        dataset = resolved[f'{part}_dataloader']['dataset']
        check = getattr(DATASETS.get(dataset['type']), 'check_place', None)
        if check is not None:
            check(dataset['data_root'], dataset['task'], dataset.get('split', 'train'))


def _resolve_label(config: Config) -> None:
    """Tell a network with heads for several labels which one to score."""
    network = config.model.get('network')
    if isinstance(network, dict) and 'heads' in network:
        network.setdefault('label', config.label)


#: Characters of a socket's name on Linux (sun_path, 108 with the final zero) less what multiprocessing adds.
_LONGEST_TEMPORARY_FOLDER = 107 - len('/pymp-01234567/listener-01234567')


def _fit_machine(loader: ConfigDict) -> None:
    """Use no more workers than this process's share of cores, and pinned memory only where a GPU reads it."""
    processes = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    share = max(1, usable_cores() // processes)
    loader.num_workers = min(loader.get('num_workers', 0), share)
    loader.pin_memory = bool(loader.get('pin_memory')) and torch.cuda.is_available()
    if not loader.num_workers:
        loader.persistent_workers = False
        return
    folder = tempfile.gettempdir()
    if sys.platform == 'linux' and len(os.fsencode(folder)) > _LONGEST_TEMPORARY_FOLDER:
        # The thread that sends would fail unseen, and the training would wait for ever.
        raise ValueError(
            f'The temporary folder {folder} holds sockets of worker processes, so its name may have '
            f'{_LONGEST_TEMPORARY_FOLDER} characters, not {len(os.fsencode(folder))}: export TMPDIR=/tmp'
        )


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
        resume: ``True`` or ``'auto'`` for the latest checkpoint of ``work_dir`` (a fresh start without one),
            or a path.
        amp: mixed precision, see :func:`miqa.engine.precision.mixed_precision`.
        checkpoint: weights to start from or to test.

    Raises:
        FileNotFoundError: a checkpoint that was named does not exist.
        ValueError: cached features are of pictures of another size, or the config has an option too many.
    """
    from .runner import QualityRunner  # imports torch's models: not needed to read a config

    processes = start_processes_group(launcher)
    config = resolve_config(config, processes)
    for name in ('train_dataloader', 'val_dataloader'):
        pipelines = (config[part].dataset.get('pipeline') or () for part in (name, 'test_dataloader'))
        check_cached_pixels(*pipelines)
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
    try:
        return QualityRunner.from_cfg(config)
    except TypeError as error:
        unknown = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
        if unknown is None:
            raise
        hint = did_you_mean(unknown[2], sorted(_options_of(unknown[1]) or ()))
        raise ValueError(f'{unknown[1]} in the config has no option {unknown[2]!r}.{hint}') from error
