"""Machines, vision models whose behaviour labels a database: images in, predictions out, every response kept."""

from miqa.layout import image_root, responses_folder
from miqa.layout import task_folder as task_root
from miqa.running.parallel import parse_shard, shard_of

from .base import ClassPrediction, DetectionPrediction, Machine, Prediction, SegmentationPrediction
from .callable_machine import CallableMachine
from .configs import build_machine, load_machine_configs, machine_configs_of, machine_name, recognised_configs
from .image_list import SourceImages, list_sources
from .mmdet_machine import MMDetMachine
from .mmseg_machine import MMSegMachine
from .onnx_machine import OnnxMachine
from .recognition import RecognisedMachine, TrialPicture, UnclearLayout, machine_from_file, write_machine_config
from .responses import ResponseFolder, answered_machines
from .responses import answered_machines as answered_systems
from .runner import run_machine
from .timm_classifier import TimmClassifier
from .torchvision_machine import TorchvisionMachine, torchvision_models
from .transformers_machine import TransformersMachine
from .ultralytics_machine import UltralyticsMachine

__all__ = [
    'CallableMachine',
    'ClassPrediction',
    'DetectionPrediction',
    'MMDetMachine',
    'MMSegMachine',
    'Machine',
    'OnnxMachine',
    'Prediction',
    'RecognisedMachine',
    'ResponseFolder',
    'SegmentationPrediction',
    'SourceImages',
    'TimmClassifier',
    'TorchvisionMachine',
    'TransformersMachine',
    'TrialPicture',
    'UltralyticsMachine',
    'UnclearLayout',
    'answered_machines',
    'answered_systems',
    'build_machine',
    'image_root',
    'list_sources',
    'load_machine_configs',
    'machine_configs_of',
    'machine_from_file',
    'machine_name',
    'parse_shard',
    'recognised_configs',
    'responses_folder',
    'run_machine',
    'shard_of',
    'task_root',
    'torchvision_models',
    'write_machine_config',
]
