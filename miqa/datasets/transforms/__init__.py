"""From a file to the views that a model gets. Each transform takes and returns the dict of one sample."""

from .augmentation import RandomFlip, RandomRotation
from .cached_features import FeatureCache, LoadCachedFeatures, LoadRegionFeatures
from .loading import LoadImage
from .resizing import ResizeShortSide, resized_size
from .views import PackViews

__all__ = [
    'LoadImage',
    'FeatureCache',
    'LoadCachedFeatures',
    'LoadRegionFeatures',
    'PackViews',
    'RandomFlip',
    'RandomRotation',
    'ResizeShortSide',
    'resized_size',
]
