"""What a trained quality model is compared with: measures of human vision, and the confidence of vision systems."""

from .cache import BaselineCache, image_list_digest
from .confidence import STATISTICS, confidence_scores, parse_confidence
from .human_vision import METRICS, HumanVisionMetric, build_metric, is_metric_name
from .label_sources import label_systems, labels_without
from .run import score_images
from .test_images import read_test_images

__all__ = [
    'METRICS',
    'STATISTICS',
    'BaselineCache',
    'HumanVisionMetric',
    'build_metric',
    'confidence_scores',
    'image_list_digest',
    'is_metric_name',
    'label_systems',
    'labels_without',
    'parse_confidence',
    'read_test_images',
    'score_images',
]
