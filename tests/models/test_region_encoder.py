"""The frozen region encoder: MMSegmentation's features, frozen for good, fed from either published file."""

import copy

import pytest
import torch
from helpers_models import mmseg_vit
from helpers_refusals import refused
from mmengine.model import ExponentialMovingAverage
from mmseg.registry import MODELS as SEGMENTERS
from timm.models import VisionTransformer

from miqa.keeping import sha256_of_file
from miqa.models import CheckpointError, PackagedRegionEncoder, TimmRegionEncoder, WeightsUnavailable
from miqa.models.parts.region_encoder import SERE_URL
from miqa.registry import MODELS

SMALL = {'img_size': 64, 'patch_size': 8, 'embed_dim': 48, 'depth': 3, 'num_heads': 3, 'weights': None}


def randomised(module, seed=0):
    """Fill every tensor with noise, position embedding and norms included, so that each of them matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return module


@pytest.fixture
def encoder():
    return randomised(TimmRegionEncoder(**SMALL))


@pytest.mark.parametrize('size', [(64, 64), (80, 80), (96, 96), (80, 64)])
def test_the_features_are_mmsegmentations_patch_map_averaged_over_space(encoder, size):
    vit = SEGMENTERS.build(dict(type='mmseg.VisionTransformer', **mmseg_vit(64, 8, 48, 3, 3)))
    vit.load_state_dict(encoder.state_dict())
    region = torch.randn(2, 3, *size)
    (features,) = vit(region)
    assert features.shape == (2, 48, size[0] // 8, size[1] // 8)
    torch.testing.assert_close(encoder(region), features.mean(dim=(2, 3)), rtol=1e-4, atol=1e-5)


def test_configs_of_0_2_that_name_mmsegmentations_encoder_get_timms():
    assert type(MODELS.build({'type': 'MMSegRegionEncoder', **SMALL})) is TimmRegionEncoder


def test_timms_own_resize_of_the_position_embedding_would_differ(encoder):
    """The trap that the encoder avoids: the test above can fail."""
    from timm.layers import resample_abs_pos_embed

    antialiased = resample_abs_pos_embed(encoder.vit.pos_embed, [10, 10])
    assert (antialiased - encoder._position((10, 10))).abs().max() > 1e-3


def test_stored_names_are_mmsegmentations(encoder):
    names = set(encoder.state_dict())
    assert {'pos_embed', 'patch_embed.projection.bias', 'ln1.weight', 'layers.2.ffn.layers.0.0.bias'} <= names
    assert not any('vit.' in name or 'blocks' in name for name in names)


@pytest.mark.parametrize(
    'encoder',
    [TimmRegionEncoder(**SMALL), PackagedRegionEncoder(pretrained=False)],
    ids=lambda encoder: type(encoder).__name__,
)
def test_train_leaves_features_bit_identical(encoder):
    region = torch.randn(2, 3, 64, 64)
    before = encoder(region)
    parent = torch.nn.Sequential(encoder).train()
    assert not any(module.training for module in encoder.modules())
    after = encoder(region.requires_grad_())
    assert torch.equal(before, after) and torch.equal(before, parent(region))
    assert not after.requires_grad
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_a_copy_for_weight_averaging_has_the_same_names_and_features(encoder):
    region = torch.randn(1, 3, 64, 64)
    average = ExponentialMovingAverage(encoder, update_buffers=True)
    average.update_parameters(encoder)
    assert set(average.module.state_dict()) == set(encoder.state_dict())
    assert torch.equal(average.module(region), encoder(region))


def test_the_digest_tells_weights_apart(encoder):
    digest = encoder.digest()
    assert digest == copy.deepcopy(encoder).digest()
    encoder.load_state_dict(randomised(TimmRegionEncoder(**SMALL), seed=1).state_dict())
    assert encoder.digest() != digest


def test_the_digest_follows_weights_that_are_loaded_later():
    encoder = PackagedRegionEncoder()
    before = encoder.digest()
    encoder.init_weights()
    loaded_before = PackagedRegionEncoder()
    loaded_before.init_weights()
    assert before != encoder.digest() == loaded_before.digest()


def test_a_side_that_is_not_a_multiple_of_the_patch_size_is_refused(encoder):
    refused(ValueError, r'\(64, 70\), must be multiples of 8', encoder, torch.zeros(1, 3, 64, 70))


def timm_file(path, wrap=lambda state: {'model': state}, seed=5):
    """Write a file like SERE's: timm's names, the final norm as fc_norm, with a segmentation head."""
    vit = VisionTransformer(
        img_size=64, patch_size=8, embed_dim=48, depth=3, num_heads=3, num_classes=9, global_pool='avg', fc_norm=True
    )
    state = randomised(vit, seed).state_dict()
    assert 'fc_norm.weight' in state and 'norm.weight' not in state and 'head.weight' in state
    torch.save(wrap(state), path)
    return vit


def loaded(path, **options):
    encoder = TimmRegionEncoder(**{**SMALL, 'weights': str(path), **options})
    encoder.init_weights()
    return encoder


@pytest.mark.parametrize(
    'wrap', [lambda s: {'model': s}, lambda s: {'state_dict': s}, lambda s: s], ids=['model', 'state_dict', 'bare']
)
def test_a_file_in_timms_names_loads_with_fc_norm_as_the_final_norm(tmp_path, wrap):
    vit = timm_file(tmp_path / 'sere.pth', wrap).eval()
    region = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        # Average of the normalised patch tokens, by timm alone.
        expected = vit.fc_norm(vit.forward_features(region))[:, 1:].mean(dim=1)
    torch.testing.assert_close(loaded(tmp_path / 'sere.pth')(region), expected, rtol=1e-4, atol=1e-5)


def test_mmsegmentations_file_loads_without_its_heads(tmp_path, encoder):
    state = {f'backbone.{key}': value for key, value in encoder.state_dict().items()}
    heads = {'decode_head.conv_seg.weight': torch.zeros(9, 48, 1, 1), 'auxiliary_head.conv_seg.bias': torch.zeros(9)}
    torch.save({'meta': {'mmseg_version': '1.0'}, 'state_dict': {**state, **heads}}, tmp_path / 'mmseg.pth')
    region = torch.randn(2, 3, 64, 64)
    assert torch.equal(loaded(tmp_path / 'mmseg.pth')(region), encoder(region))


def test_a_file_that_lacks_a_tensor_is_refused_by_name(tmp_path):
    def without_cls(state):
        return {key: value for key, value in state.items() if key != 'cls_token'} | {'mask_token': torch.zeros(1)}

    timm_file(tmp_path / 'odd.pth', without_cls)
    refused(CheckpointError, '1 missing: cls_token. 1 unexpected: mask_token.', loaded, tmp_path / 'odd.pth')


def test_a_file_of_another_size_is_refused_with_both_shapes(tmp_path):
    timm_file(tmp_path / 'sere.pth')
    with pytest.raises(CheckpointError, match=r'pos_embed is \(1, 65, 48\), expected \(1, 37, 48\)'):
        loaded(tmp_path / 'sere.pth', img_size=48)


def test_a_missing_file_is_named(tmp_path):
    refused(WeightsUnavailable, 'There is no weights file .*nowhere.pth', loaded, tmp_path / 'nowhere.pth')


def test_a_wrong_checksum_is_named_and_a_right_one_accepted(tmp_path):
    timm_file(tmp_path / 'sere.pth')
    loaded(tmp_path / 'sere.pth', sha256=sha256_of_file(tmp_path / 'sere.pth'))
    refused(WeightsUnavailable, 'expected 0000', loaded, tmp_path / 'sere.pth', sha256='0' * 64)


def test_without_a_connection_training_is_told_what_to_download_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr('urllib.request.urlopen', offline)
    caught = refused(WeightsUnavailable, '', loaded, SERE_URL)
    assert SERE_URL in str(caught)
    assert str(tmp_path / 'hub' / 'checkpoints' / 'sere_finetuned_vit_small_ep100.pth') in str(caught)
    assert 'weights=None' in str(caught)


def test_a_file_put_where_the_message_says_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr('urllib.request.urlopen', offline)
    place = tmp_path / 'hub' / 'checkpoints' / 'sere_finetuned_vit_small_ep100.pth'
    place.parent.mkdir(parents=True)
    timm_file(place)
    loaded(SERE_URL)


def offline(*args, **kwargs):
    import socket
    import urllib.error

    raise urllib.error.URLError(socket.gaierror(-2, 'Name or service not known'))
