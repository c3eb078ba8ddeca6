"""Machines, the vision models whose behaviour labels a database; every response is stored."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # type checkers do not see names that are imported when they are first used
    from miqa.layout import image_root, responses_folder
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
    from .runner import run_machine
    from .timm_classifier import TimmClassifier
    from .torchvision_machine import TorchvisionMachine, torchvision_models
    from .transformers_machine import TransformersMachine
    from .ultralytics_machine import UltralyticsMachine

#: Public names and their modules, imported when they are first used: label workers read responses without PyTorch.
_HOMES = {
    'CallableMachine': 'callable_machine',
    'ClassPrediction': 'base',
    'DetectionPrediction': 'base',
    'MMDetMachine': 'mmdet_machine',
    'MMSegMachine': 'mmseg_machine',
    'Machine': 'base',
    'OnnxMachine': 'onnx_machine',
    'Prediction': 'base',
    'RecognisedMachine': 'recognition',
    'ResponseFolder': 'responses',
    'SegmentationPrediction': 'base',
    'SourceImages': 'image_list',
    'TimmClassifier': 'timm_classifier',
    'TorchvisionMachine': 'torchvision_machine',
    'TransformersMachine': 'transformers_machine',
    'TrialPicture': 'recognition',
    'UltralyticsMachine': 'ultralytics_machine',
    'UnclearLayout': 'recognition',
    'answered_machines': 'responses',
    'build_machine': 'configs',
    'image_root': 'miqa.layout',
    'list_sources': 'image_list',
    'load_machine_configs': 'configs',
    'machine_configs_of': 'configs',
    'machine_from_file': 'recognition',
    'machine_name': 'configs',
    'parse_shard': 'miqa.running.parallel',
    'recognised_configs': 'configs',
    'responses_folder': 'miqa.layout',
    'run_machine': 'runner',
    'shard_of': 'miqa.running.parallel',
    'torchvision_models': 'torchvision_machine',
    'write_machine_config': 'recognition',
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
