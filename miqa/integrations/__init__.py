"""Quality scores in other tools: FiftyOne, Hugging Face ``datasets``, and streams of frames.

Each is an extra: ``pip install 'miqa[fiftyone]'``, ``'miqa[datasets]'``, ``'miqa[supervision]'``. Nothing here is
imported before it is used.
"""

from miqa.lazy import lazy_names

_HOMES = {
    'FrameFilter': 'frames',
    'add_scores': 'hf_datasets',
    'assess_samples': 'fiftyone',
    'score_batch': 'hf_datasets',
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
