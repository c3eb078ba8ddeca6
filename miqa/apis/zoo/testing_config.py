"""The test config for given weights."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from mmengine.config import Config

from miqa.engine import load_config
from miqa.outside.configs import config_folder

from .loading import read_model


def config_of_weights(path: str | os.PathLike, options: dict | None = None) -> Config:
    """Return a config that tests a checkpoint of ours, or a released file under its own name, made from its content.

    Data, metrics and runtime are those of this project's configs; network, views and resize are the checkpoint's,
    checked as :class:`miqa.apis.spec.ModelSpec` checks them. ``options`` are dotted keys, as of ``--cfg-options``.

    Raises:
        ValueError: the file does not say its task, or its config is not one of a quality model.
        FileNotFoundError, CheckpointError: see :func:`miqa.apis.zoo.loading.read_model`.
    """
    spec, _ = read_model(Path(path))
    if spec.task is None:
        example = f'miqa test ra_miqa_cls {shlex.quote(os.fspath(path))}'
        raise ValueError(f'{path} does not say for which task it was trained: name a config, such as {example}.')
    base = 'ra_miqa' if 'region' in spec.views else 'resnet18'
    config = load_config(config_folder() / f'{base}_{spec.task}.py')
    config.label = spec.label or config.label
    config.model.network = spec.network
    config.model.data_preprocessor.views = spec.views
    sizes = {name: spec.views[name]['size'] if name in spec.views else None for name in ('image', 'region')}
    pipeline = [
        dict(type='LoadImage'),
        dict(type='ResizeShortSide', size=spec.short_side, interpolation=spec.interpolation),
        dict(type='PackViews', **sizes),
    ]
    for loader in (config.val_dataloader, config.test_dataloader):
        loader.dataset.pipeline = pipeline
    config.merge_from_dict(options or {})
    return config
