"""RA-MIQA against the released files' names and a plain composition of timm and MMSegmentation."""

import copy

import pytest
import timm
import torch
from helpers_models import TINY_RA_MIQA, mmseg_vit, released_shapes, tiny_assessor, tiny_batch
from helpers_refusals import refused
from mmengine.config import Config
from mmseg.registry import MODELS as SEGMENTERS
from torch import nn
from torch.nn import functional as F

from miqa.models import RAMIQA, CheckpointError, WeightsUnavailable
from miqa.registry import MODELS

CONFIG = 'configs/_base_/models/ra_miqa.py'


@pytest.fixture(scope='module')
def published(request):
    """The network of the published size, with the config's own parts and random weights."""
    network = Config.fromfile(request.config.rootpath / CONFIG).model.network
    network.base.pretrained = False
    network.region_encoder.weights = None
    return MODELS.build(network).eval()


def test_all_trainable_parameters_but_the_unused_one_are_the_published_ones(published):
    trainable = sum(parameter.numel() for parameter in published.parameters() if parameter.requires_grad)
    assert trainable + published.base_model.pos_embed.numel() == 22_185_985
    assert not published.base_model.pos_embed.requires_grad


def test_its_tensors_have_all_309_released_names_and_shapes(published):
    released = released_shapes('ra_miqa')
    assert len(released) == 309
    assert {name: tuple(tensor.shape) for name, tensor in published.state_dict().items()} == released


class PlainComposition(nn.Module):
    """RA-MIQA as the paper describes it, out of timm and MMSegmentation, with nothing of ours."""

    def __init__(self, size, region_size):
        super().__init__()
        vit = dict(img_size=size, patch_size=16, embed_dim=384, num_heads=6)
        self.base_model = timm.create_model('vit_small_patch16_224', num_classes=0, depth=2, img_size=size)
        self.mask_encoder = SEGMENTERS.build(
            dict(type='mmseg.VisionTransformer', **mmseg_vit(size, 16, vit['embed_dim'], 2, 6))
        )
        self.mask_projector = nn.Sequential(nn.Linear(384, 384), nn.LayerNorm(384), nn.GELU())
        self.pos_embed = nn.Parameter(torch.zeros(1, 2 + (size // 16) ** 2, 384))
        self.quality_regressor = nn.Sequential(nn.Linear(768, 384), nn.GELU(), nn.Dropout(0.2), nn.Linear(384, 1))

    def forward(self, image, region):
        token = F.adaptive_avg_pool2d(self.mask_encoder(region)[-1], 1).flatten(1)
        token = self.mask_projector(token)[:, None]
        x = self.base_model.patch_embed(image)
        x = torch.cat([token, self.base_model.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for block in self.base_model.blocks:
            x = block(x)
        x = self.base_model.norm(x)
        return self.quality_regressor(torch.cat([x[:, 1], x[:, 0]], dim=-1))[:, 0]


def test_it_equals_a_plain_composition_of_timm_and_mmsegmentation():
    ours = RAMIQA(
        base=dict(type='PlainTransformer', pretrained=False, options=dict(depth=2, img_size=64)),
        region_encoder=dict(type='TimmRegionEncoder', weights=None, depth=2, img_size=64),
    ).eval()
    plain = PlainComposition(64, 96)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.copy_(0.05 * torch.randn_like(parameter))
    ours.load_state_dict(plain.state_dict(), strict=True)
    for module in plain.modules():
        # MMSegmentation's VisionTransformer returns None from eval().
        module.training = False
    image, region = torch.randn(2, 3, 64, 64), torch.randn(2, 3, 96, 96)
    scores = ours({'image': image, 'region': region})
    assert scores.shape == (2,)
    torch.testing.assert_close(scores, plain(image, region), rtol=1e-4, atol=1e-5)
    swapped = plain.quality_regressor
    swapped[0].weight.data = swapped[0].weight.data.roll(384, dims=1)
    assert not torch.allclose(scores, plain(image, region), atol=1e-4), 'the order of CLS and region must matter'


def test_training_steps_leave_the_region_encoder_bit_identical():
    model = tiny_assessor().train()
    region = torch.randn(2, 3, 48, 48)
    before, weights = model.network.region_features(region), copy.deepcopy(model.network.mask_encoder.state_dict())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for step in range(3):
        losses = model(**model.data_preprocessor(tiny_batch(4, step), True), mode='loss')
        optimizer.zero_grad()
        losses['loss'].backward()
        optimizer.step()
        model.train()
    assert torch.equal(model.network.region_features(region), before)
    assert all(torch.equal(weights[name], value) for name, value in model.network.mask_encoder.state_dict().items())


def test_every_trainable_parameter_gets_a_gradient_and_no_other():
    model = tiny_assessor().train()
    model(**model.data_preprocessor(tiny_batch(4), True), mode='loss')['loss'].backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        if parameter.requires_grad:
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(('order', 'row_of_cls'), [('released', 0), ('cls_first', 1)])
def test_the_pretrained_cls_row_goes_where_the_order_says(order, row_of_cls):
    torch.manual_seed(0)
    network = RAMIQA(**{k: v for k, v in TINY_RA_MIQA.items() if k != 'type'}, pos_embed_order=order)
    pretrained = network.base_model.pos_embed
    assert torch.equal(network.pos_embed[:, row_of_cls], pretrained[:, 0])
    assert torch.equal(network.pos_embed[:, 2:], pretrained[:, 1:])
    other = network.pos_embed[:, 1 - row_of_cls]
    assert 0.005 < other.std() < 0.05 and not torch.equal(other, pretrained[:, 0])


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="Unknown pos_embed_order 'cls_frist'. Did you mean 'cls_first'"):
        tiny_assessor(pos_embed_order='cls_frist')


def test_init_weights_loads_transformer_and_encoder_and_starts_the_positions_anew(tmp_path):
    donor = timm.create_model('vit_tiny_patch16_224', **TINY_RA_MIQA['base']['options'])
    torch.save(donor.state_dict(), tmp_path / 'vit.pth')
    model = tiny_assessor(base={**TINY_RA_MIQA['base'], 'pretrained': str(tmp_path / 'vit.pth')})
    model.init_weights()
    state = model.network.base_model.state_dict()
    assert all(torch.equal(state[name], donor.state_dict()[name]) for name in state)
    assert torch.equal(model.network.pos_embed[:, 2:], donor.pos_embed[:, 1:])


def test_weights_are_requested_when_training_starts_and_not_before():
    encoder = {**TINY_RA_MIQA['region_encoder'], 'weights': 'nowhere/sere.pth'}
    model = tiny_assessor(region_encoder=encoder)
    model.load_state_dict(tiny_assessor().state_dict())
    model.eval().val_step(tiny_batch(2))
    refused(WeightsUnavailable, 'nowhere/sere.pth', model.init_weights)


def test_a_pretrained_transformer_that_is_not_there_is_a_sentence(tmp_path):
    model = tiny_assessor(base={**TINY_RA_MIQA['base'], 'pretrained': str(tmp_path / 'vit.safetensors')})
    refused(WeightsUnavailable, 'There is no weights file .*vit.safetensors', model.init_weights)


def test_a_pretrained_transformer_of_another_kind_is_a_sentence(tmp_path):
    torch.save({'conv1.weight': torch.zeros(1)}, tmp_path / 'vit.pth')
    model = tiny_assessor(base={**TINY_RA_MIQA['base'], 'pretrained': str(tmp_path / 'vit.pth')})
    refused(WeightsUnavailable, 'set `pretrained=False` to start from random weights', model.init_weights)


def test_features_computed_before_give_the_same_scores():
    network = tiny_assessor().eval().network
    image, region = torch.randn(3, 3, 32, 32), torch.randn(3, 3, 48, 48)
    features = network.region_features(region)
    assert torch.equal(
        network({'image': image, 'region_features': features}), network({'image': image, 'region': region})
    )
    with pytest.raises(ValueError, match='have 5 numbers, this encoder makes 16'):
        network({'image': image, 'region_features': features[:, :5]})


@pytest.mark.parametrize('name', ['vit_base_patch16_clip_224', 'vit_mediumd_patch16_reg4_gap_256', 'resnet18'])
def test_a_transformer_that_lacks_what_ra_miqa_needs_is_refused(name):
    with pytest.raises(ValueError, match='RA-MIQA needs a VisionTransformer of timm with a CLS token'):
        MODELS.build(dict(type='PlainTransformer', model_name=name, pretrained=False))


def test_the_mini_variant_has_packaged_weights_and_three_kinds_of_tokens(request):
    config = Config.fromfile(request.config.rootpath / 'configs/_base_/models/mini_ra_miqa.py').model
    model = MODELS.build(config)
    assert isinstance(model.network, RAMIQA)
    model.init_weights()
    from miqa.networks.packaged_weights import efficientnet_lite

    packaged = efficientnet_lite(0, num_classes=0).state_dict()
    stem = model.network.base_model.patch_embed.backbone.state_dict()
    assert all(torch.equal(stem[name], packaged[name]) for name in stem)
    encoder = model.network.mask_encoder.cnn.state_dict()
    assert all(torch.equal(encoder[name], packaged[name]) for name in packaged)
    assert model.network.pos_embed.shape[1] == 2 + model.network.base_model.patch_embed.num_patches


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    from miqa.models import load_checkpoint

    torch.save({'state_dict': tiny_assessor().state_dict()}, tmp_path / 'tiny.pth')
    wider = tiny_assessor(hidden=48)
    with pytest.raises(CheckpointError, match=r'quality_regressor.0.weight is \(24, 48\), expected \(48, 48\)'):
        load_checkpoint(wider, tmp_path / 'tiny.pth')
