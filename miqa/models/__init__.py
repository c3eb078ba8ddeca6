"""Networks, losses and the model that MMEngine trains and tests."""

from miqa.utils.errors import CheckpointError, WeightsUnavailable

from .assessor import QualityAssessor
from .backbones import PackagedRegressor, TimmRegressor, TorchvisionRegressor
from .checkpoints import (
    load_checkpoint,
    parse_released_name,
    read_checkpoint,
    to_released,
)
from .confidence_regressor import ConfidenceRegressor
from .data_preprocessor import ViewPreprocessor
from .detector_probe import DetectorProbe
from .losses import L1Loss, MSELoss, PLCCLoss, RankLoss, SmoothL1Loss
from .probes import ClassifierProbe
from .ra_miqa import RAMIQA
from .region_encoder import MMSegRegionEncoder, PackagedRegionEncoder, TimmRegionEncoder
from .response_ra_miqa import ResponseRAMIQA
from .response_regressor import ResponseRegressor
from .transformers import HybridTransformer, PlainTransformer
from .two_stage_probe import TwoStageProbe

__all__ = [
    'RAMIQA',
    'CheckpointError',
    'ClassifierProbe',
    'ConfidenceRegressor',
    'DetectorProbe',
    'HybridTransformer',
    'L1Loss',
    'MMSegRegionEncoder',
    'MSELoss',
    'PLCCLoss',
    'PackagedRegionEncoder',
    'PackagedRegressor',
    'PlainTransformer',
    'QualityAssessor',
    'RankLoss',
    'ResponseRAMIQA',
    'ResponseRegressor',
    'SmoothL1Loss',
    'TimmRegionEncoder',
    'TimmRegressor',
    'TorchvisionRegressor',
    'TwoStageProbe',
    'ViewPreprocessor',
    'WeightsUnavailable',
    'load_checkpoint',
    'parse_released_name',
    'read_checkpoint',
    'to_released',
]
