"""Live cameras and streams."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # imported when they are first used
    from .camera import CameraLost
    from .realtime import RealTimeIQA

__all__, __getattr__, __dir__ = lazy_names(__name__, __file__)
