"""Baselines of trained quality models: measures of human vision, and the confidence of machines."""

from .cache import BaselineCache, image_list_digest
from .confidence import STATISTICS, confidence_scores, parse_confidence
from .human_vision import METRICS, build_metric, is_metric_name
from .label_sources import label_machines, labels_without
from .label_sources import label_machines as label_systems
from .labelled_images import read_test_images
from .measures import build_measure, is_measure_name
from .picture_measure import PictureMeasure
from .rivals import RIVALS, machine_of_rival, tasks_of_rival
from .rivals import machine_of_rival as system_of_rival
from .run import score_images

__all__ = [
    'METRICS',
    'RIVALS',
    'STATISTICS',
    'BaselineCache',
    'PictureMeasure',
    'build_measure',
    'build_metric',
    'confidence_scores',
    'image_list_digest',
    'is_measure_name',
    'is_metric_name',
    'label_machines',
    'label_systems',
    'labels_without',
    'machine_of_rival',
    'parse_confidence',
    'read_test_images',
    'score_images',
    'system_of_rival',
    'tasks_of_rival',
]
