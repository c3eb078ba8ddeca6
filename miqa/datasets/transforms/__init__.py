"""From a file to the views that a model gets. Each transform takes and returns the dict of one sample."""

from .augmentation import RandomFlip, RandomRotation
from .loading import LoadImage
from .region_features import LoadRegionFeatures, RegionFeatureCache
from .resizing import ResizeShortSide, resized_size
from .views import PackViews

__all__ = [
    'LoadImage',
    'LoadRegionFeatures',
    'PackViews',
    'RandomFlip',
    'RandomRotation',
    'RegionFeatureCache',
    'ResizeShortSide',
    'resized_size',
]
