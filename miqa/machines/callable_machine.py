"""Any Python function as a machine."""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
from collections.abc import Sequence

import numpy as np
import torch

from miqa.registry import MACHINES

from .answers import small_integers
from .base import ClassPrediction, DetectionPrediction, Machine, Prediction, SegmentationPrediction
from .masks import encode_masks


@MACHINES.register_module()
class CallableMachine(Machine):
    """Any function ``f(images) -> answers``: list of uint8 RGB arrays (H, W, 3) in, one answer per image out.

    An answer for cls is an array (K,) of probabilities; for det a dict with ``boxes`` (N, 4) in pixels (left, top,
    right, bottom), ``scores`` (N,) and ``labels`` (N,); for ins also ``masks``, binary (N, H, W) or run-length encoded;
    for seg an integer array (H, W), the class of each pixel.
    A :class:`ClassPrediction` or :class:`DetectionPrediction` will do as well.

    Args:
        function: ``'package.module:function'``, or the function itself.
        task: cls, det, ins or seg.
        name: what responses call the machine.
        weight: share in weighted labels.
        classes: class names that ``labels`` count; None: labels are category ids of the annotations.
        version: any text that changes when the function's answers change, such as the checksum of its weights.
            Without it the fingerprint covers only the function's source code.
        options: keyword arguments for the function.
        device: handed to the function as ``device=`` if it has such a parameter.

    Raises:
        ImportError: the module or the function does not exist.
    """

    def __init__(
        self,
        function,
        task: str,
        name: str,
        weight: float = 1.0,
        classes: Sequence[str] | None = None,
        version: str = '',
        options: dict | None = None,
        device: str = 'cpu',
    ):
        super().__init__(name, task, weight, classes)
        self.origin = function if isinstance(function, str) else name_of_callable(function)
        self.function = find_function(function) if isinstance(function, str) else function
        self.version, self.options = version, dict(options or {})
        self.device = device
        try:
            parameters = dict(inspect.signature(self.function).parameters)
        except ValueError:  # of a function in C that says nothing about itself
            parameters = {}
        extra = {'device': device} if 'device' in parameters and 'device' not in self.options else {}
        self._call = functools.partial(self.function, **self.options, **extra)

    def predict_prepared(self, batch: list[np.ndarray]) -> list[Prediction]:
        """Call the function and check what it returns."""
        answers = list(self._call(batch))
        if len(answers) != len(batch):
            raise ValueError(f'{self.origin} returned {len(answers)} answers for {len(batch)} images.')
        return [as_prediction(answer, self.task, self.origin) for answer in answers]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the function's name, source code, options and ``version``."""
        try:
            code = inspect.getsource(self.function)
        except (OSError, TypeError):
            code = ''
        text = '\0'.join((self.origin, code, str(sorted(self.options.items())), self.version))
        return hashlib.sha256(text.encode()).hexdigest()

    def describe(self) -> dict:
        """Return the manifest's entry, with the function's name, options and version."""
        return {**super().describe(), 'function': self.origin, 'version': self.version, 'options': str(self.options)}


def find_function(name: str):
    """Import ``'package.module:function'``.

    Raises:
        ValueError: the text is not of that form.
        ImportError: there is no such module or function.
    """
    module, colon, attribute = name.partition(':')
    if not (module and colon and attribute):
        raise ValueError(f"A function is named 'package.module:function', not {name!r}.")
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module + '.').startswith(error.name + '.'):
            raise  # the module is there, and imports one that is not
        raise ImportError(
            f'There is no module {module} for the function {name!r}: it is neither installed nor in a folder where '
            f'Python looks. Is it in the folder where you are? Then: export PYTHONPATH=.'
        ) from None
    if not callable(getattr(imported, attribute, None)):
        raise ImportError(f'{module} ({imported.__file__}) has no function {attribute!r}.')
    return getattr(imported, attribute)


def name_of_callable(function) -> str:
    """Return ``package.module:function`` of a function, or that of the class of another thing that can be called.

    Raises:
        ValueError: it cannot be called.
    """
    if not callable(function):
        raise ValueError(f'A machine is made from a function; {function!r} cannot be called.')
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, '__qualname__') else type(function)
    return f'{named.__module__}:{named.__qualname__}'


def as_prediction(answer, task: str, origin: str) -> Prediction:
    """Turn the answer of a user's machine to one image into a prediction.

    Raises:
        ValueError: it is not what the task needs.
    """
    if isinstance(answer, ClassPrediction | DetectionPrediction | SegmentationPrediction):
        return answer
    if task == 'cls':
        return ClassPrediction(_array(answer).astype(np.float32))
    if task == 'seg':
        return SegmentationPrediction(small_integers(_whole(_array(answer), 'The classes of pixels')))
    keys = {'boxes', 'scores', 'labels'} | ({'masks'} if task == 'ins' else set())
    if not isinstance(answer, dict) or not keys <= set(answer):
        has = f'a dict with {sorted(answer)}' if isinstance(answer, dict) else type(answer).__name__
        raise ValueError(f'{origin} must return dicts with {sorted(keys)} for {task}; it returned {has}.')
    masks = None
    if task == 'ins':
        masks = answer['masks']
        if not (isinstance(masks, list) and all(isinstance(mask, dict) for mask in masks)):
            masks = encode_masks(_array(masks))
    boxes = _array(answer['boxes'])
    return DetectionPrediction(
        boxes.astype(np.float32).reshape(-1, 4) if not boxes.size else boxes.astype(np.float32),
        _array(answer['scores']).astype(np.float32).reshape(-1),
        _whole(_array(answer['labels']).reshape(-1), 'Labels').astype(np.int64),
        masks,
    )


def _array(value) -> np.ndarray:
    """Return an array of whatever holds numbers; a tensor may lie on a GPU and know its gradient."""
    return value.detach().cpu().numpy() if torch.is_tensor(value) else np.asarray(value)


def _whole(values: np.ndarray, kind: str) -> np.ndarray:
    if values.size and not (np.isfinite(values).all() and (values == np.round(values)).all()):
        raise ValueError(f'{kind} must be whole numbers, each the index of a class.')
    return values
