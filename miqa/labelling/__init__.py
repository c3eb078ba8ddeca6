"""Labels of a database: consistency and accuracy of machines, averaged over machines, in MIQD's files."""

from miqa.annotations.coco import read_coco
from miqa.layout import ground_truth_path as default_ground_truth
from miqa.layout import scores_folder

from .aggregation import Aggregation, Summary, composite, summarise
from .build import label_database
from .classification import soft_consistency, top1_accuracy, top1_consistency
from .ground_truth import read_classes
from .scores import ScoreFolder, ScoreOptions

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
