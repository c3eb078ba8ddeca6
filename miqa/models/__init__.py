"""Networks, losses and the model that MMEngine trains and tests."""

from miqa.errors import CheckpointError, WeightsUnavailable

from .assessor import QualityAssessor
from .methods.backbones import PackagedRegressor, TimmRegressor, TorchvisionRegressor
from .methods.confidence_regressor import ConfidenceRegressor
from .methods.ra_miqa import RAMIQA
from .methods.response_ra_miqa import ResponseRAMIQA
from .methods.response_regressor import ResponseRegressor
from .methods.transformers import HybridTransformer, PlainTransformer
from .parts.checkpoints import load_checkpoint, parse_released_name, read_checkpoint, to_released
from .parts.data_preprocessor import ViewPreprocessor
from .parts.losses import L1Loss, MSELoss, PLCCLoss, RankLoss, SmoothL1Loss
from .parts.region_encoder import PackagedRegionEncoder, TimmRegionEncoder
from .responses.detector_probe import DetectorProbe
from .responses.probes import ClassifierProbe
from .responses.two_stage_probe import TwoStageProbe

__all__ = [
    'RAMIQA',
    'CheckpointError',
    'ClassifierProbe',
    'ConfidenceRegressor',
    'DetectorProbe',
    'HybridTransformer',
    'L1Loss',
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
