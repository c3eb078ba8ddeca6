"""Processes: command line, parallel work, progress, devices, optional packages, randomness."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # imported when they are first used
    from .randomness import generator_for
    from .requirements import require

__all__, __getattr__, __dir__ = lazy_names(__name__, __file__)
