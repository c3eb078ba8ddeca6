"""Model zoos of MMDetection and MMSegmentation: names, configs, weights, published accuracies.

No network is needed to read them.
"""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import yaml

from miqa.taxonomy import did_you_mean

#: Package -> what people call it, and what installs it.
LIBRARIES = {
    'mmdet': ('MMDetection', 'bash tools/install_machines.sh'),
    'mmseg': ('MMSegmentation', "pip install 'onedl-mmsegmentation>=1.4.2'"),
}


class ZooModel(NamedTuple):
    """One model of a zoo."""

    name: str  # its name, which is its config's file name
    config: Path  # path of its config
    weights: str | None  # where its checkpoint can be downloaded, or None
    box_ap: float | None  # published box AP on COCO val2017, in percent, or None
    mask_ap: float | None  # published mask AP on COCO val2017, in percent, or None


def package_folder(package: str) -> Path:
    """Return the folder of an installed package out of :data:`LIBRARIES`, without importing it.

    Raises:
        ImportError: it is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        library, command = LIBRARIES[package]
        raise ImportError(f'{library} is not installed. Install it with: {command}')
    return Path(spec.origin).parent


@lru_cache(maxsize=2)
def zoo(package: str = 'mmdet') -> dict[str, ZooModel]:
    """Read the metafiles of the installed package; name -> model.

    Raises:
        ImportError: it is not installed.
    """
    folder = package_folder(package) / '.mim'
    models: dict[str, ZooModel] = {}
    for path in sorted((folder / 'configs').rglob('metafile.y*ml')):
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
        for entry in (content.get('Models') or []) if isinstance(content, dict) else content:
            config = folder / entry['Config']
            if not config.is_file():
                continue  # a few metafiles misspell the names of their configs
            published = [_published(entry, metric) for metric in ('box AP', 'mask AP')]
            models[config.stem] = ZooModel(config.stem, config, entry.get('Weights'), *published)
    return models


def zoo_model(name: str, package: str = 'mmdet') -> ZooModel:
    """Return the model of that name.

    Raises:
        ValueError: the zoo has no such model.
    """
    models = zoo(package)
    if name not in models:
        library = LIBRARIES[package][0]
        raise ValueError(f"{library}'s zoo ({len(models)} models) has no {name!r}.{did_you_mean(name, models)}")
    return models[name]


def locate(config: str | os.PathLike, checkpoint: str | None, package: str = 'mmdet') -> tuple[Path, str | None]:
    """Return the path of a config and the path or URL of its weights, looking into the zoo where asked.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the zoo has no such model, or no weights of it.
    """
    library = LIBRARIES[package][0]
    if Path(config).suffix == '.py':
        path = Path(config)
        if not path.is_file():
            raise FileNotFoundError(f'There is no {library} config {path}.')
    else:
        path = zoo_model(str(config), package).config
    if checkpoint == 'zoo':
        checkpoint = zoo_model(path.stem, package).weights
        if checkpoint is None:
            raise ValueError(f"{library}'s zoo has no weights for {path.stem}. Give a checkpoint.")
    elif checkpoint is not None and '://' not in str(checkpoint) and not Path(checkpoint).is_file():
        raise FileNotFoundError(f"There is no checkpoint {checkpoint}; or say 'zoo' for the model zoo's weights.")
    return path, None if checkpoint is None else str(checkpoint)


def _published(entry: dict, metric: str) -> float | None:
    results = entry.get('Results') or []
    for result in results if isinstance(results, list) else [results]:
        value = (result.get('Metrics') or {}).get(metric)
        if value is not None and result.get('Dataset') == 'COCO':
            return float(value)
    return None
