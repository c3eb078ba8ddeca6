"""How well predictions follow the labels."""

from miqa.lazy import lazy_names

_HOMES = {
    'MAPPINGS': 'correlation',
    'SCORES': 'correlation',
    'UndefinedScores': 'correlation',
    'falling_scores': 'correlation',
    'quality_correlations': 'correlation',
    'QualityCorrelation': 'metric',
}

__all__ = sorted(_HOMES)  # noqa: PLE0605  imported when they are asked for
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
