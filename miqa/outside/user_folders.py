"""Folders of the user that this project writes to without being told: the cache."""

from __future__ import annotations

import os
from pathlib import Path

#: The environment variable that moves the cache folder.
HOME_VARIABLE = 'MIQA_HOME'


def user_cache() -> Path:
    """Return the folder for files that can be made again: ``$MIQA_HOME``, else ``~/.cache/miqa`` (not created)."""
    home = os.environ.get(HOME_VARIABLE)
    if home:
        return Path(home).expanduser()
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'miqa'
