"""From the files of a database to tensors: index, dataset, transforms, sampler, packed pictures."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # imported when they are first used
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

__all__, __getattr__, __dir__ = lazy_names(__name__, __file__)
