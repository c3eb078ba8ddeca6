"""The user's cache folder, for this project and the libraries that it uses."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import tempfile
from pathlib import Path

HOME_VARIABLE = 'MIQA_HOME'  # The environment variable that moves the cache folder


def user_cache() -> Path:
    """Return the folder for files that can be made again: ``$MIQA_HOME``, else ``~/.cache/miqa`` (not created).

    A user without a home folder gets one that goes away with the process.
    """
    home = os.environ.get(HOME_VARIABLE)
    if home:
        return Path(home).expanduser()
    if cache := os.environ.get('XDG_CACHE_HOME'):
        return Path(cache) / 'miqa'
    try:
        return Path.home() / '.cache' / 'miqa'
    except RuntimeError:  # no HOME, and a user number without an entry in /etc/passwd
        return _folder_of_this_process()


def keep_caches_of_libraries() -> None:
    """Let matplotlib and Ultralytics, which are imported later, write into the cache folder, not beside it.

    Settings of matplotlib that the user has (``matplotlibrc``) stay valid.
    """
    with contextlib.suppress(OSError):  # no room for temporary files: reported where they are needed
        os.environ.setdefault('YOLO_CONFIG_DIR', str(user_cache()))
        config = os.environ.get('XDG_CONFIG_HOME') or os.path.expanduser('~/.config')  # noqa: PTH111  never raises
        settings = Path(config, 'matplotlib/matplotlibrc')
        if 'MPLCONFIGDIR' not in os.environ and settings.is_file():
            os.environ.setdefault('MATPLOTLIBRC', str(settings))
        os.environ.setdefault('MPLCONFIGDIR', str(user_cache() / 'matplotlib'))


@functools.cache
def _folder_of_this_process() -> Path:
    # A new one: other users could have put weights into a predictable name.
    folder = tempfile.mkdtemp(prefix='miqa-')
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
