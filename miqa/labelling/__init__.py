"""Labels of a database: consistency and accuracy of machines, averaged over machines, in MIQD's files."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # imported when they are first used
    from miqa.annotations.coco import read_coco
    from miqa.layout import scores_folder

    from .aggregation import Aggregation, Summary, composite, summarise
    from .build import label_database
    from .classification import soft_consistency, top1_accuracy, top1_consistency
    from .ground_truth import read_classes
    from .scores import ScoreFolder, ScoreOptions

__all__, __getattr__, __dir__ = lazy_names(__name__, __file__)
