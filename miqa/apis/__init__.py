"""Using models: one picture, folders of them, videos, cameras; zoo, export, command line."""

from __future__ import annotations

import importlib

#: Public names and their modules, imported when they are first asked for.
_HOMES = {
    'Assessment': 'model',
    'Heatmap': 'heatmap',
    'MIQAModel': 'model',
    'RealTimeIQA': 'realtime',
    'Thresholds': 'quality',
    'VideoMIQA': 'video',
    'batch_assess': 'batch',
    'fit_thresholds': 'quality',
    'list_models': 'zoo',
    'quality_of': 'quality',
    'register_demo': 'zoo',
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(f'.{_HOMES[name]}', __name__), name)


def __dir__() -> list[str]:
    return __all__
