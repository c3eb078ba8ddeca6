"""Using models: one picture, folders of them, videos, cameras; zoo, export, command line."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # imported when they are first used
    from miqa.datasets import DatabaseError
    from miqa.errors import CheckpointError, MIQAError, MissingPackage, WeightsUnavailable
    from miqa.keeping.downloads import DownloadError
    from miqa.pictures import UnreadableImage

    from .assessment import Assessment
    from .batch import batch_assess
    from .gate_fit import NoGate, fit_gate
    from .gate_threshold import Gate
    from .heatmap import Heatmap
    from .live import RealTimeIQA
    from .live.camera import CameraLost
    from .model import MIQAModel
    from .multitask import MultiTaskModel
    from .quality import Thresholds, fit_thresholds, quality_of
    from .video import VideoMIQA
    from .video.reading import UnreadableVideo
    from .video.writing import VideoNotWritten
    from .zoo import list_models, register_demo, register_demo_fast

__all__, __getattr__, __dir__ = lazy_names(__name__, __file__)
