"""The public import name of MIQA.

``from machine_iqa import MIQAModel, batch_assess, VideoMIQA, RealTimeIQA``. Everything is imported when it is first
asked for, so that scoring pictures does not wait for what videos need.
"""

from __future__ import annotations

import miqa.apis
from miqa import __version__
from miqa.errors import MissingPackage
from miqa.running.requirements import explained

__all__ = ['__version__', *miqa.apis.__all__]


def __getattr__(name: str):
    try:
        return getattr(miqa.apis, name)
    except AttributeError:
        if name in __all__:
            raise
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}') from None
    except ModuleNotFoundError as error:
        raise MissingPackage(explained(error)) from error


def __dir__() -> list[str]:
    return __all__
