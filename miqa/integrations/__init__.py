"""Quality scores in other tools: FiftyOne, Hugging Face ``datasets``, and streams of frames.

Each is an extra: ``pip install 'miqa[fiftyone]'``, ``'miqa[datasets]'``, ``'miqa[supervision]'``. Nothing here is
imported before it is used.
"""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # imported when they are first used
    from .fiftyone import assess_samples
    from .frames import FrameFilter
    from .hf_datasets import add_scores, score_batch

__all__, __getattr__, __dir__ = lazy_names(__name__, __file__)
