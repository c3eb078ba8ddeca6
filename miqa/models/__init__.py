"""Networks, losses and the model that MMEngine trains and tests."""

from .assessor import QualityAssessor
from .backbones import PackagedRegressor, TimmRegressor, TorchvisionRegressor
from .checkpoint_files import CheckpointError
from .confidence_regressor import ConfidenceRegressor
from .data_preprocessor import ViewPreprocessor
from .losses import L1Loss, MSELoss, PLCCLoss, RankLoss, SmoothL1Loss
from .ra_miqa import RAMIQA
from .region_encoder import MMSegRegionEncoder, PackagedRegionEncoder, TimmRegionEncoder
from .released_checkpoints import (
    load_checkpoint,
    parse_released_name,
    read_checkpoint,
    to_released,
)
from .transformers import HybridTransformer, PlainTransformer
from .weight_files import WeightsUnavailable

__all__ = [
    'RAMIQA',
    'CheckpointError',
    'ConfidenceRegressor',
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
    'SmoothL1Loss',
    'TimmRegionEncoder',
    'TimmRegressor',
    'TorchvisionRegressor',
    'ViewPreprocessor',
    'WeightsUnavailable',
    'load_checkpoint',
    'parse_released_name',
    'read_checkpoint',
    'to_released',
]
