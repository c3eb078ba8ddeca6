"""From the files of a database to tensors: index, dataset, transforms, sampler, packed pictures."""

from miqa.errors import DatabaseError
from miqa.layout import split_path
from miqa.splits.reading import official_split, read_split

from . import transforms
from .batching import STACK_SAMPLES, stack_samples
from .fingerprint import label_fingerprint
from .index import SampleIndex
from .index_store import open_index
from .miqd import MIQDDataset
from .quality_dataset import QualityDataset, list_bad_images
from .sampler import ResumableSampler
from .unlabelled import UnlabelledPictures

__all__ = [
    'STACK_SAMPLES',
    'DatabaseError',
    'MIQDDataset',
    'QualityDataset',
    'ResumableSampler',
    'SampleIndex',
    'UnlabelledPictures',
    'label_fingerprint',
    'list_bad_images',
    'official_split',
    'open_index',
    'read_split',
    'split_path',
    'stack_samples',
    'transforms',
]
