"""How well predictions follow the labels."""

from .correlation import MAPPINGS, SCORES, UndefinedScores, quality_correlations
from .metric import QualityCorrelation

__all__ = ['MAPPINGS', 'SCORES', 'QualityCorrelation', 'UndefinedScores', 'quality_correlations']
