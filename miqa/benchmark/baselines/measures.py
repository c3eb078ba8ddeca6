"""Every measure of pictures by name: perceptual ones, and rivals without training."""

from __future__ import annotations

from .human_vision import build_metric, is_metric_name
from .picture_measure import PictureMeasure
from .rivals import build_rival, is_rival_name


def is_measure_name(name: str) -> bool:
    """Return True if :func:`build_measure` takes the name."""
    return is_metric_name(name) or is_rival_name(name)


def build_measure(name: str, device: str = 'cpu') -> PictureMeasure:
    """Build a measure, see :func:`~.human_vision.build_metric` and :func:`~.rivals.build_rival`.

    Raises:
        ValueError: there is no such measure.
        ImportError: it needs a package that is not installed.
        OSError: its weights cannot be fetched.
    """
    return build_rival(name, device) if is_rival_name(name) else build_metric(name, device)
