"""Machines, the vision models whose behaviour labels a database; every response is stored."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # imported when they are first used
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

__all__, __getattr__, __dir__ = lazy_names(__name__, __file__)
