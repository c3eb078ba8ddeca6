"""The data preprocessor against torchvision."""

import numpy as np
import pytest
import torch
from helpers_refusals import refused
from PIL import Image
from torchvision import transforms

from miqa.models import ViewPreprocessor

IMAGENET = {'mean': (0.485, 0.456, 0.406), 'std': (0.229, 0.224, 0.225)}
HALF = {'mean': (0.5, 0.5, 0.5), 'std': (0.5, 0.5, 0.5)}


def two_views(**options):
    return ViewPreprocessor({'image': {'size': 224, **HALF}, 'region': {'size': 288, **IMAGENET}}, **options)


def photograph(width=288, height=288, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def uint8_tensor(picture):
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


@pytest.mark.parametrize('channels_last', [False, True])
def test_normalised_pixels_are_bit_for_bit_those_of_totensor_and_normalize(channels_last):
    pictures = [photograph(seed=i) for i in range(3)]
    published = transforms.Compose([transforms.ToTensor(), transforms.Normalize(**IMAGENET)])
    batch = two_views(channels_last=channels_last)({'inputs': {'region': [uint8_tensor(p) for p in pictures]}})
    assert torch.equal(batch['inputs']['region'], torch.stack([published(p) for p in pictures]))
    assert batch['inputs']['region'].is_contiguous(memory_format=torch.channels_last) is channels_last


@pytest.mark.parametrize(('width', 'height'), [(288, 288), (301, 288), (302, 288), (303, 288), (288, 431), (288, 433)])
def test_the_image_cut_out_of_the_region_is_the_centre_crop_of_the_resized_picture(width, height):
    picture = photograph(width, height)
    published = transforms.Compose([transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize(**HALF)])
    region = transforms.CenterCrop(288)(uint8_tensor(picture))
    assert torch.equal(two_views()({'inputs': {'region': [region]}})['inputs']['image'][0], published(picture))


def test_a_random_crop_that_the_batch_carries_is_not_replaced_by_the_central_one():
    region, image = uint8_tensor(photograph()), uint8_tensor(photograph(224, 224, seed=1))
    inputs = two_views()({'inputs': {'region': [region], 'image': [image]}})['inputs']
    assert torch.equal(inputs['image'][0], (image.float() / 255 - 0.5) / 0.5)


def test_a_stacked_batch_gives_the_same_as_a_list():
    pictures = [uint8_tensor(photograph(seed=i)) for i in range(2)]
    from_list = two_views()({'inputs': {'region': pictures}})['inputs']
    from_tensor = two_views()({'inputs': {'region': torch.stack(pictures)}})['inputs']
    assert all(torch.equal(from_list[name], from_tensor[name]) for name in ('image', 'region'))


def test_samples_pass_through_under_either_name():
    data = {'inputs': {'region': [uint8_tensor(photograph())]}}
    assert two_views()({**data, 'data_sample': ['s']})['data_samples'] == ['s']
    assert two_views()({**data, 'data_samples': ['s']})['data_samples'] == ['s']
    assert two_views()(data)['data_samples'] is None


def test_cached_features_stand_in_for_the_region():
    inputs = {'image': [uint8_tensor(photograph(224, 224))], 'region_features': [torch.arange(4.0)]}
    result = two_views()({'inputs': inputs})['inputs']
    assert set(result) == {'image', 'region_features'}
    assert torch.equal(result['region_features'], torch.arange(4.0)[None])


def test_a_missing_view_is_named():
    with pytest.raises(KeyError, match="lacks view 'region'; it carries \\['image'\\]"):
        two_views()({'inputs': {'image': [uint8_tensor(photograph(224, 224))]}})


def test_pixels_that_were_normalised_before_are_refused():
    with pytest.raises(TypeError, match="'region' must be uint8 values 0 to 255, not torch.float32"):
        two_views()({'inputs': {'region': [torch.zeros(3, 288, 288)]}})


def test_a_view_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r'must have shape \(3, 288, 288\), not \(3, 224, 224\)'):
        two_views()({'inputs': {'region': [uint8_tensor(photograph(224, 224))]}})


@pytest.mark.parametrize(('view', 'reason'), [
    ({'size': 224, 'mean': (123.7, 116.3, 103.5), 'std': (58.4, 57.1, 57.4)}, 'for RGB values in'),
    ({'size': 224, 'mean': (0.5,), 'std': (0.5,)}, 'three numbers'),
    ({'size': 224, 'mean': (0.5,) * 3, 'std': (0.5, 0.5, 0.0)}, 'three numbers'),
    ({'size': 224, 'mean': (0.5,) * 3}, 'exactly the keys'),
    ({'size': 224, 'mean': (0.5,) * 3, 'std': (0.5,) * 3, 'bgr': True}, 'exactly the keys'),
])  # fmt: skip
def test_a_wrong_normalisation_is_refused(view, reason):
    refused(ValueError, reason, ViewPreprocessor, {'image': view})


def test_no_views_are_refused():
    refused(ValueError, 'at least one view', ViewPreprocessor, {})
