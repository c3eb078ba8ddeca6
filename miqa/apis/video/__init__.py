"""Videos: reading, sampling, scoring, statistics, annotation, report."""

from miqa.lazy import lazy_names

#: Public names and their modules, imported when they are first asked for.
_HOMES = {'UnreadableVideo': 'reading', 'VideoMIQA': 'assess', 'open_video': 'reading'}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
