"""From a file to the views that a model gets. Each transform takes and returns the dict of one sample."""

from .augmentation import RandomFlip, RandomRotation
from .cached_features import FeatureCache, LoadCachedFeatures, LoadRegionFeatures
from .loading import LoadImage
from .resizing import ResizeShortSide, resized_size
from .views import PackViews

#: Name in version 0.1.
RegionFeatureCache = FeatureCache

__all__ = [
    'LoadImage',
    'FeatureCache',
    'LoadCachedFeatures',
    'LoadRegionFeatures',
    'PackViews',
    'RandomFlip',
    'RandomRotation',
    'RegionFeatureCache',
    'ResizeShortSide',
    'resized_size',
]
