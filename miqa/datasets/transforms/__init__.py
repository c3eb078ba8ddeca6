"""From a file to the views of a model. Each transform takes and returns the dict of one sample."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # imported when they are first used
    from .augmentation import RandomFlip, RandomRotation
    from .cached_features import FeatureCache, LoadCachedFeatures, LoadRegionFeatures
    from .loading import LoadImage
    from .resizing import ResizeShortSide, resized_size
    from .views import PackViews

__all__, __getattr__, __dir__ = lazy_names(__name__, __file__)
