"""Python config files, read by MMEngine, with errors as sentences."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config


def read_config_file(path: str | os.PathLike) -> Config:
    """Run a config file, with those that it builds on, and return what it says.

    Raises:
        FileNotFoundError: a file that it builds on is not there.
        ValueError: it is not Python, or what it says cannot be computed.
    """
    from mmengine.config import Config

    try:
        return Config.fromfile(path)
    except FileNotFoundError as error:
        missing = error.filename or error
        raise FileNotFoundError(
            f'{path} builds on {missing}, which is not there. What _base_ names is relative to the file that says it.'
            if str(missing) != str(path)
            else f'There is no config file {path}.'
        ) from None
    except SyntaxError as error:
        place = f', line {error.lineno}' if error.lineno else ''
        raise ValueError(f'{path}{place} is not Python: {error.msg}. Correct the file.') from None
    except Exception as error:  # whatever its lines raise when they run
        reason = ' '.join(str(error).split())[:300]
        raise ValueError(f'{path} cannot be used as a config: {type(error).__name__}: {reason}.') from error
