"""Names in configs find this package's classes, and unknown ones a suggestion."""

import pytest
from helpers_refusals import refused
from mmengine.registry import DefaultScope

from miqa.models import MSELoss
from miqa.registry import MODELS, TRANSFORMS


def test_an_unknown_name_suggests_the_nearest_known_one():
    refused(KeyError, "Did you mean 'SmoothL1Loss'", MODELS.build, {'type': 'SmoothL1Los'})
    with pytest.raises(KeyError, match="'LoadImages' is not a registered transform.*Did you mean 'LoadImage'"):
        TRANSFORMS.build({'type': 'LoadImages'})


def test_another_packages_default_scope_does_not_matter():
    with DefaultScope.overwrite_default_scope('mmseg'):
        assert isinstance(MODELS.build({'type': 'MSELoss'}), MSELoss)


def test_another_package_is_reached_by_its_scope():
    encoder = MODELS.build({'type': 'mmseg.VisionTransformer', 'num_layers': 1, 'embed_dims': 12, 'num_heads': 2})
    assert type(encoder).__module__.startswith('mmseg.')
