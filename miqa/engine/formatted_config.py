"""A config whose text is formatted once for its log, dumps and checkpoints."""

from __future__ import annotations

import contextlib
import os
import sys

from mmengine.config import Config


class FormattedOnce(Config):
    """A config that keeps its text until one of its values changes.

    MMEngine formats the config anew for every dump and every checkpoint, which takes a quarter of a second each time:
    more than building or saving a small model.
    """

    @classmethod
    def of(cls, config: Config) -> FormattedOnce:
        """Return a config with the values of ``config``, which it shares."""
        formatted = cls.__new__(cls)
        formatted.__dict__.update(config.__dict__)
        return formatted

    @property
    def pretty_text(self) -> str:
        """The config as Python text, see :attr:`mmengine.config.Config.pretty_text`."""
        state = repr(self._cfg_dict)
        formatted = self.__dict__.get('_formatted')
        if formatted is None or formatted[0] != state:
            _import_yapf()
            formatted = (state, super().pretty_text)
            self.__dict__['_formatted'] = formatted
        return formatted[1]


def _import_yapf() -> None:
    """Import yapf, by which MMEngine formats, without its cache in ``~/.cache``.

    Processes that train together would read what another has half written; parsing its grammar takes 20 ms.
    """
    if 'yapf' in sys.modules:
        return
    kept = os.environ.get('XDG_CACHE_HOME')
    os.environ['XDG_CACHE_HOME'] = os.devnull  # below it no folder can be made
    try:
        with contextlib.suppress(ImportError):  # MMEngine reports it
            import yapf.yapflib.yapf_api  # noqa: F401
    finally:
        del os.environ['XDG_CACHE_HOME']
        if kept is not None:
            os.environ['XDG_CACHE_HOME'] = kept
