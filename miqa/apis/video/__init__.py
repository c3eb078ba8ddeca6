"""Videos: reading, sampling, scoring, statistics, annotation, report."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # imported when they are first used
    from .assess import VideoMIQA
    from .reading import UnreadableVideo, open_video

__all__, __getattr__, __dir__ = lazy_names(__name__, __file__)
