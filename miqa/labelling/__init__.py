"""Labels of a database: consistency and accuracy of vision systems, averaged over systems, in MIQD's files."""

from .aggregation import Aggregation, Summary, composite, summarise
from .build import label_database
from .classification import soft_consistency, top1_accuracy, top1_consistency
from .ground_truth import default_ground_truth, read_classes, read_coco
from .scores import ScoreFolder, ScoreOptions, scores_folder

__all__ = [
    'Aggregation',
    'ScoreFolder',
    'ScoreOptions',
    'Summary',
    'composite',
    'default_ground_truth',
    'label_database',
    'read_classes',
    'read_coco',
    'scores_folder',
    'soft_consistency',
    'summarise',
    'top1_accuracy',
    'top1_consistency',
]
