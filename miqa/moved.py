"""Modules that have moved: their old names still import, and give the very same module."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys

#: Name in version 0.1 -> name today.
MOVED = {
    'miqa.apis.annotate': 'miqa.apis.commands.annotate',
    'miqa.apis.camera': 'miqa.apis.live.camera',
    'miqa.apis.cli': 'miqa.apis.commands.cli',
    'miqa.apis.files': 'miqa.apis.commands.files',
    'miqa.apis.hub': 'miqa.apis.zoo.hub',
    'miqa.apis.loading': 'miqa.apis.zoo.loading',
    'miqa.apis.methods': 'miqa.apis.zoo.methods',
    'miqa.apis.realtime': 'miqa.apis.live.realtime',
    'miqa.apis.results': 'miqa.apis.commands.results',
    'miqa.apis.runtime': 'miqa.apis.runtimes',
    'miqa.apis.score_panel': 'miqa.apis.video.score_panel',
    'miqa.apis.spec': 'miqa.apis.zoo.spec',
    'miqa.apis.summary': 'miqa.apis.commands.summary',
    'miqa.apis.video_annotation': 'miqa.apis.video.annotation',
    'miqa.apis.video_reading': 'miqa.apis.video.reading',
    'miqa.apis.video_report': 'miqa.apis.video.report',
    'miqa.apis.video_sampling': 'miqa.apis.video.sampling',
    'miqa.apis.video_statistics': 'miqa.apis.video.statistics',
    'miqa.apis.video_writing': 'miqa.apis.video.writing',
    'miqa.apis.window': 'miqa.apis.live.window',
    'miqa.datasets.demo_database': 'miqa.demo.demo_database',
    'miqa.datasets.package_photos': 'miqa.demo.package_photos',
    'miqa.evaluation.baselines': 'miqa.benchmark.baselines',
    'miqa.evaluation.baselines.test_images': 'miqa.benchmark.baselines.labelled_images',
    'miqa.models.checkpoint_files': 'miqa.utils.checkpoint_files',
    'miqa.datasets.transforms.region_features': 'miqa.datasets.transforms.cached_features',
    'miqa.machines.mmdet_zoo': 'miqa.machines.openmmlab_zoo',
    'miqa.models.region_feature_cache': 'miqa.engine.feature_cache',
    'miqa.models.released_checkpoints': 'miqa.models.checkpoints',
    'miqa.reports.benchmark': 'miqa.benchmark.run',
    'miqa.reports.bootstrap': 'miqa.benchmark.bootstrap',
    'miqa.reports.concordance': 'miqa.benchmark.concordance',
    'miqa.reports.methods': 'miqa.benchmark.methods',
    'miqa.reports.predictions': 'miqa.evaluation.predictions',
    'miqa.reports.published': 'miqa.evaluation.published',
    'miqa.reports.weighted_ranks': 'miqa.benchmark.weighted_ranks',
}


class _OldNames(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module under its old name and hands over the module that has the new one."""

    def __init__(self):
        self._specs: dict[str, importlib.machinery.ModuleSpec | None] = {}

    def find_spec(self, fullname, path=None, target=None):
        """Return a spec for an old name, None for every other."""
        return importlib.machinery.ModuleSpec(fullname, self) if _today(fullname) else None

    def create_module(self, spec):
        """Import the module under its new name."""
        module = importlib.import_module(_today(spec.name) or spec.name)
        self._specs[module.__name__] = module.__spec__
        return module

    def exec_module(self, module):
        """Run nothing, as the module has run under its new name; undo what the import system wrote into it."""
        module.__spec__ = self._specs[module.__name__]


def _today(name: str) -> str | None:
    if name in MOVED:
        return MOVED[name]
    parent, _, last = name.rpartition('.')
    return f'{MOVED[parent]}.{last}' if parent in MOVED else None


def install() -> None:
    """Make the old names importable."""
    if not any(isinstance(finder, _OldNames) for finder in sys.meta_path):
        sys.meta_path.append(_OldNames())
