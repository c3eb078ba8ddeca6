"""Vision systems whose behaviour labels a database: images in, predictions out, every response kept."""

from .base import ClassPrediction, DetectionPrediction, Machine, Prediction
from .callable_machine import CallableMachine
from .configs import build_machine, load_machine_configs, machine_name
from .image_list import SourceImages, image_root, list_sources, parse_shard, shard_of, task_root
from .mmdet_machine import MMDetMachine
from .onnx_machine import OnnxMachine
from .responses import ResponseFolder, answered_systems, responses_folder
from .runner import run_machine
from .timm_classifier import TimmClassifier

__all__ = [
    'CallableMachine',
    'ClassPrediction',
    'DetectionPrediction',
    'MMDetMachine',
    'Machine',
    'OnnxMachine',
    'Prediction',
    'ResponseFolder',
    'SourceImages',
    'TimmClassifier',
    'answered_systems',
    'build_machine',
    'image_root',
    'list_sources',
    'load_machine_configs',
    'machine_name',
    'parse_shard',
    'responses_folder',
    'run_machine',
    'shard_of',
    'task_root',
]
