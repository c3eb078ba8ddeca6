"""How well predictions follow the labels."""

from .correlation import MAPPINGS, quality_correlations
from .metric import QualityCorrelation

__all__ = ['MAPPINGS', 'QualityCorrelation', 'quality_correlations']
