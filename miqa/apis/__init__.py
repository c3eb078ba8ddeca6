"""Using models: one picture, folders of them, videos, cameras; zoo, export, command line."""

from miqa.lazy import lazy_names

#: Public names and their modules, imported when they are first asked for.
_HOMES = {
    'Assessment': 'assessment',
    'CameraLost': 'live.camera',
    'CheckpointError': 'miqa.errors',
    'DatabaseError': 'miqa.datasets',
    'DownloadError': 'miqa.keeping.downloads',
    'Gate': 'gate_threshold',
    'Heatmap': 'heatmap',
    'MIQAError': 'miqa.errors',
    'MIQAModel': 'model',
    'MissingPackage': 'miqa.errors',
    'MultiTaskModel': 'multitask',
    'NoGate': 'gate_fit',
    'RealTimeIQA': 'live',
    'Thresholds': 'quality',
    'UnreadableImage': 'miqa.pictures',
    'UnreadableVideo': 'video.reading',
    'VideoMIQA': 'video',
    'VideoNotWritten': 'video.writing',
    'WeightsUnavailable': 'miqa.errors',
    'batch_assess': 'batch',
    'fit_gate': 'gate_fit',
    'fit_thresholds': 'quality',
    'list_models': 'zoo',
    'quality_of': 'quality',
    'register_demo': 'zoo',
    'register_demo_fast': 'zoo',
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
