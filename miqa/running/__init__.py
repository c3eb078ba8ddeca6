"""Processes: command line, parallel work, progress, devices, optional packages, randomness."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # type checkers do not see names that are imported when they are first used
    from .randomness import generator_for
    from .requirements import require

#: Public names and their modules, imported when they are first used.
_HOMES = {'generator_for': 'randomness', 'require': 'requirements'}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
