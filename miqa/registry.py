"""Registries of configurable classes; children of MMEngine's where it has one."""

from __future__ import annotations

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry as _Registry

from .taxonomy import did_you_mean


class Registry(_Registry):
    """An MMEngine registry whose look-up of an unknown name suggests the nearest known one."""

    def switch_scope_and_registry(self, scope: str | None):
        """Build in this package's scope unless a config asks for another, whatever other packages made the default."""
        return super().switch_scope_and_registry(scope or 'miqa')

    def get(self, key: str):
        """Return the class registered as ``key``.

        Raises:
            KeyError: there is no such class here or in the parent registries.
        """
        registered = super().get(key)
        if registered is None:
            names = sorted(self.module_dict)
            above = [name for parent in self._parents() for name in parent.module_dict]
            hint = did_you_mean(key, [*names, *above])
            # Of MMEngine's hundred names those that are near are enough.
            listed = names or sorted(above)
            raise KeyError(f'{key!r} is not a registered {self.name}.{hint} Known here: {", ".join(listed) or "none"}.')
        return registered

    def _parents(self):
        parent = self.parent
        while parent is not None:
            yield parent
            parent = parent.parent


def _child(parent_name: str, *locations: str) -> Registry:
    parent = getattr(mmengine_registry, parent_name)
    return Registry(parent.name, parent=parent, scope='miqa', locations=list(locations))


#: Vision models (classifiers, detectors, segmenters) whose behaviour labels a database.
MACHINES = Registry(
    'machine',
    scope='miqa',
    locations=[
        'miqa.machines.callable_machine',
        'miqa.machines.mmdet_machine',
        'miqa.machines.mmseg_machine',
        'miqa.machines.onnx_machine',
        'miqa.machines.timm_classifier',
        'miqa.machines.torchvision_machine',
        'miqa.machines.transformers_machine',
        'miqa.machines.ultralytics_machine',
    ],
)
DATASETS = _child('DATASETS', 'miqa.datasets.miqd', 'miqa.datasets.unlabelled')
_TRANSFORMS = ('augmentation', 'cached_features', 'loading', 'resizing', 'views')
TRANSFORMS = _child('TRANSFORMS', *(f'miqa.datasets.transforms.{name}' for name in _TRANSFORMS))
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'miqa.datasets.sampler')
FUNCTIONS = _child('FUNCTIONS', 'miqa.datasets.batching')
MODELS = _child('MODELS', 'miqa.models')
METRICS = _child('METRICS', 'miqa.evaluation.metric')
HOOKS = _child('HOOKS', 'miqa.engine')
LOOPS = _child('LOOPS', 'miqa.engine')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS', 'miqa.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS', 'miqa.engine')

# Nothing of these is ours, but MMEngine looks for the scope in each of them and complains where it is not.
_child('OPTIMIZERS')
_child('PARAM_SCHEDULERS')
_child('MODEL_WRAPPERS')
_child('EVALUATOR')
_child('LOG_PROCESSORS')
_child('VISUALIZERS')
_child('VISBACKENDS')
_child('RUNNERS')
