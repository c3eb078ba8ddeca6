"""From a file to the views of a model. Each transform takes and returns the dict of one sample."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # type checkers do not see names that are imported when they are first used
    from .augmentation import RandomFlip, RandomRotation
    from .cached_features import FeatureCache, LoadCachedFeatures, LoadRegionFeatures
    from .loading import LoadImage
    from .resizing import ResizeShortSide, resized_size
    from .views import PackViews

#: Public names and their modules, imported when they are first used.
_HOMES = {
    'FeatureCache': 'cached_features',
    'LoadCachedFeatures': 'cached_features',
    'LoadImage': 'loading',
    'LoadRegionFeatures': 'cached_features',
    'PackViews': 'views',
    'RandomFlip': 'augmentation',
    'RandomRotation': 'augmentation',
    'ResizeShortSide': 'resizing',
    'resized_size': 'resizing',
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
