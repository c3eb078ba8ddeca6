"""From the files of a database to tensors: index, dataset, transforms, sampler, packed pictures."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # type checkers do not see names that are imported when they are first used
    from miqa.errors import DatabaseError
    from miqa.layout import split_path
    from miqa.splits.reading import official_split, read_split

    from .batching import STACK_SAMPLES, stack_samples
    from .fingerprint import label_fingerprint
    from .index import SampleIndex
    from .index_store import open_index
    from .miqd import MIQDDataset
    from .quality_dataset import QualityDataset, list_bad_images
    from .sampler import ResumableSampler
    from .unlabelled import UnlabelledPictures

#: Public names and their modules, imported when they are first used: workers pack pictures without PyTorch.
_HOMES = {
    'DatabaseError': 'miqa.errors',
    'MIQDDataset': 'miqd',
    'QualityDataset': 'quality_dataset',
    'ResumableSampler': 'sampler',
    'STACK_SAMPLES': 'batching',
    'SampleIndex': 'index',
    'UnlabelledPictures': 'unlabelled',
    'label_fingerprint': 'fingerprint',
    'list_bad_images': 'quality_dataset',
    'official_split': 'miqa.splits.reading',
    'open_index': 'index_store',
    'read_split': 'miqa.splits.reading',
    'split_path': 'miqa.layout',
    'stack_samples': 'batching',
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
