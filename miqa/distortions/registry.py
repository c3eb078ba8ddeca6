"""The registry of distortions: the functions behind :data:`miqa.taxonomy.DISTORTION_FAMILIES`.

A distortion is a function in a module of this folder and, under the same name in the module's ``STRENGTHS``, its sets
of parameters, weakest first: 12, of which PSNR chooses five levels for each picture, or five, the levels themselves.
Camera distortions also name the stage of the camera that they belong to (``STAGE``, one of :data:`STAGES`).
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from miqa.taxonomy import ALL_DISTORTIONS, DISTORTION_FAMILIES, LEVELS, check_choice

#: Stages of a camera in the order in which light passes them. Up to ``colour`` they work on linear light.
STAGES = ('air', 'optics', 'exposure', 'sensor', 'colour', 'isp', 'codec')
LINEAR_STAGES = STAGES[:5]


class Distortion(NamedTuple):
    """One distortion."""

    name: str
    family: str
    #: From picture, generator and parameters to a picture; from linear light to linear light in a linear stage.
    function: Callable[..., np.ndarray]
    #: Sets of parameters, weakest first.
    strengths: tuple[dict[str, float], ...]
    #: One of :data:`STAGES`, or None.
    stage: str | None
    #: Names of the parameters that have to be given, and of all that may be.
    needed: frozenset[str]
    known: frozenset[str]

    @property
    def has_levels(self) -> bool:
        """The sets of parameters are levels 1 to 5 themselves."""
        return len(self.strengths) == len(LEVELS)

    def check(self, params: Mapping) -> None:
        """Raise a TypeError unless ``params`` are parameters of this distortion."""
        if not self.needed <= params.keys() <= self.known:
            raise TypeError(
                f'The distortion {self.name} takes the parameters {sorted(self.needed)}, not {sorted(params)}.'
            )


@functools.cache
def distortion(name: str) -> Distortion:
    """Return a distortion by name.

    Raises:
        ValueError: the name is unknown.
        AttributeError, KeyError: its module lacks the function or its strengths.
    """
    check_choice(name, ALL_DISTORTIONS, 'distortion')
    family, place = next((family, names[name]) for family, names in DISTORTION_FAMILIES.items() if name in names)
    module = importlib.import_module(f'miqa.distortions.{place}')
    function = getattr(module, name)
    # The first two are the picture and the generator.
    own = list(inspect.signature(function).parameters.values())[2:]
    needed = frozenset(entry.name for entry in own if entry.default is entry.empty)
    registered = frozenset(entry.name for entry in own)
    return Distortion(
        name, family, function, tuple(module.STRENGTHS[name]), getattr(module, 'STAGE', None), needed, registered
    )
