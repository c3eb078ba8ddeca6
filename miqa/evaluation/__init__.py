"""How well predictions follow the labels."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # imported when they are first used
    from .correlation import MAPPINGS, SCORES, UndefinedScores, falling_scores, quality_correlations
    from .metric import QualityCorrelation

__all__, __getattr__, __dir__ = lazy_names(__name__, __file__)
