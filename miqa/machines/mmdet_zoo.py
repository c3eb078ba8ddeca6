"""MMDetection's model zoo, as its package lists it: names, configs, weights and published accuracy. No network."""

from __future__ import annotations

import difflib
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import yaml


class ZooModel(NamedTuple):
    """One model of the zoo.

    Attributes:
        name: its name, which is its config's file name.
        config: path of its config.
        weights: where its checkpoint can be downloaded, or None.
        box_ap: published box AP on COCO val2017, in percent, or None.
        mask_ap: published mask AP on COCO val2017, in percent, or None.
    """

    name: str
    config: Path
    weights: str | None
    box_ap: float | None
    mask_ap: float | None


def mmdet_folder() -> Path:
    """Return the folder of the installed package ``mmdet``, without importing it.

    Raises:
        ImportError: it is not installed.
    """
    spec = find_spec('mmdet')
    if spec is None or spec.origin is None:
        raise ImportError('MMDetection is not installed. Install it with: bash tools/install_machines.sh')
    return Path(spec.origin).parent


@lru_cache(maxsize=1)
def zoo() -> dict[str, ZooModel]:
    """Read the metafiles of the installed MMDetection; name -> model.

    Raises:
        ImportError: MMDetection is not installed.
    """
    folder = mmdet_folder() / '.mim'
    models: dict[str, ZooModel] = {}
    for path in sorted((folder / 'configs').rglob('metafile.yml')):
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
        for entry in (content.get('Models') or []) if isinstance(content, dict) else content:
            config = folder / entry['Config']
            published = [_published(entry, metric) for metric in ('box AP', 'mask AP')]
            models[config.stem] = ZooModel(config.stem, config, entry.get('Weights'), *published)
    return models


def zoo_model(name: str) -> ZooModel:
    """Return the model of that name.

    Raises:
        ValueError: the zoo has no such model.
    """
    models = zoo()
    if name not in models:
        near = difflib.get_close_matches(name, models, n=1)
        hint = f' Did you mean {near[0]!r}?' if near else ''
        raise ValueError(f"MMDetection's zoo ({len(models)} models) has no {name!r}.{hint}")
    return models[name]


def _published(entry: dict, metric: str) -> float | None:
    for result in entry.get('Results') or []:
        value = (result.get('Metrics') or {}).get(metric)
        if value is not None and result.get('Dataset') == 'COCO':
            return float(value)
    return None
