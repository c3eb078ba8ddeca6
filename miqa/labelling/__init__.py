"""Labels of a database: consistency and accuracy of machines, averaged over machines, in MIQD's files."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # type checkers do not see names that are imported when they are first used
    from miqa.annotations.coco import read_coco
    from miqa.layout import scores_folder

    from .aggregation import Aggregation, Summary, composite, summarise
    from .build import label_database
    from .classification import soft_consistency, top1_accuracy, top1_consistency
    from .ground_truth import read_classes
    from .scores import ScoreFolder, ScoreOptions

#: Public names and their modules, imported when they are first used.
_HOMES = {
    'Aggregation': 'aggregation',
    'ScoreFolder': 'scores',
    'ScoreOptions': 'scores',
    'Summary': 'aggregation',
    'composite': 'aggregation',
    'label_database': 'build',
    'read_classes': 'ground_truth',
    'read_coco': 'miqa.annotations.coco',
    'scores_folder': 'miqa.layout',
    'soft_consistency': 'classification',
    'summarise': 'aggregation',
    'top1_accuracy': 'classification',
    'top1_consistency': 'classification',
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
