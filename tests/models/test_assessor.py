"""The model as MMEngine uses it: modes, precision, averaging, accumulation, configs."""

import copy

import pytest
import torch
from helpers_models import HALF, TINY_RA_MIQA, tiny_assessor, tiny_batch
from helpers_refusals import refused
from mmengine.config import Config
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper
from torch import nn

from miqa.models import QualityAssessor, TimmRegressor, TorchvisionRegressor, WeightsUnavailable
from miqa.registry import MODELS
from miqa.structures import QualitySample

METHODS = (
    'ra_miqa', 'resnet18', 'resnet50', 'efficientnet_b1', 'efficientnet_b5', 'vit_small', 'mini_cnn', 'mini_ra_miqa',
)  # fmt: skip
PARAMETERS = {
    # Counts of torchvision's and timm's models, less their 1,000-class layer, plus one output.
    'resnet18': 11_689_512 - 513 * 1000 + 513,
    'resnet50': 25_557_032 - 2049 * 1000 + 2049,
    'efficientnet_b1': 7_794_184 - 1281 * 1000 + 1281,
    'efficientnet_b5': 30_389_784 - 2049 * 1000 + 2049,
    'vit_small': 22_050_664 - 385 * 1000 + 385,
    'ra_miqa': 43_851_649,
}


def sgd(model, **options):
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return OptimWrapper(torch.optim.SGD(parameters, lr=0.1), **options)


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_predict_returns_the_samples_with_their_scores():
    model, batch = tiny_assessor().eval(), tiny_batch(3)
    samples = model.test_step(batch)
    assert samples == batch['data_samples']
    scores = model(**model.data_preprocessor(batch))
    for sample, score in zip(samples, scores, strict=True):
        assert sample.pred_score.shape == () and sample.pred_score.dtype == torch.float32
        assert not sample.pred_score.requires_grad
        torch.testing.assert_close(sample.pred_score, score.detach())


def test_predict_makes_samples_where_there_are_none():
    model, batch = tiny_assessor().eval(), tiny_batch(2)
    samples = model.test_step({'inputs': batch['inputs']})
    assert [type(sample) for sample in samples] == [QualitySample, QualitySample]


def test_one_loss_is_called_loss_and_several_are_named_and_summed():
    batch = tiny_batch(4)
    one = tiny_assessor().eval()
    data = one.data_preprocessor(batch, True)
    loss = one(**data, mode='loss')
    assert list(loss) == ['loss']
    labels = torch.stack([sample.gt_score for sample in batch['data_samples']])
    torch.testing.assert_close(loss['loss'], nn.functional.mse_loss(one(**data), labels))

    two = tiny_assessor(loss=[{'type': 'L1Loss'}, {'type': 'PLCCLoss', 'loss_weight': 0.5}]).eval()
    losses = two(**data, mode='loss')
    total, log = two.parse_losses(losses)
    assert list(losses) == ['loss_l1', 'loss_plcc']
    torch.testing.assert_close(total, losses['loss_l1'] + losses['loss_plcc'])


def test_wrong_use_is_refused_in_words():
    model, batch = tiny_assessor(), tiny_batch(2)
    data = model.data_preprocessor(batch)
    refused(ValueError, "Unknown mode 'losses'. Did you mean 'loss'", model, **data, mode='losses')
    refused(ValueError, 'needs data samples with a gt_score', model, data['inputs'], mode='loss')
    refused(ValueError, 'each at most once', tiny_assessor, loss=[{'type': 'MSELoss'}, {'type': 'MSELoss'}])
    with pytest.raises(KeyError, match="'MSEloss' is not a registered model. Did you mean 'MSELoss'"):
        tiny_assessor(loss={'type': 'MSEloss'})


def test_bfloat16_autocast_trains_and_predicts_close_to_float32():
    torch.manual_seed(0)
    model, batch = tiny_assessor().eval(), tiny_batch(6)
    exact = torch.stack([sample.pred_score for sample in model.test_step(batch)])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        rounded = torch.stack([sample.pred_score for sample in model.test_step(batch)])
        loss = model(**model.data_preprocessor(batch, True), mode='loss')['loss']
    assert rounded.dtype == torch.float32 and loss.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, atol=0.02, rtol=0)
    assert not torch.equal(rounded, exact)
    loss.backward()
    assert all(torch.isfinite(gradient).all() for gradient in gradients(model).values())


def test_two_accumulated_batches_give_the_gradient_of_one_of_both():
    torch.manual_seed(0)
    whole = tiny_assessor(dropout=0.0).train()
    halves = copy.deepcopy(whole)
    batch = tiny_batch(8)
    whole.train_step(batch, sgd(whole))
    wrapper = sgd(halves, accumulative_counts=2)
    for half in (slice(0, 4), slice(4, 8)):
        part = {'inputs': {k: v[half] for k, v in batch['inputs'].items()}, 'data_samples': batch['data_samples'][half]}
        halves.train_step(part, wrapper)
    for (name, a), b in zip(whole.named_parameters(), halves.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)


def test_the_average_of_the_weights_scores_too():
    model = tiny_assessor().train()
    average = ExponentialMovingAverage(model, momentum=0.5)
    wrapper = sgd(model)
    start = {name: value.clone() for name, value in model.network.named_parameters()}
    for step in range(2):
        model.train_step(tiny_batch(4, step), wrapper)
        average.update_parameters(model)
    name = 'quality_regressor.3.weight'
    averaged = dict(average.module.network.named_parameters())[name]
    assert not torch.equal(averaged, start[name]) and not torch.equal(
        averaged, dict(model.network.named_parameters())[name]
    )
    assert len(average.module.eval().test_step(tiny_batch(2))) == 2


@pytest.mark.parametrize('method', METHODS)
def test_every_config_builds_a_network_that_scores_without_any_download(method, request, monkeypatch):
    monkeypatch.setattr('socket.socket.connect', refuse)
    config = Config.fromfile(request.config.rootpath / f'configs/_base_/models/{method}.py').model
    model = MODELS.build(config).eval()
    if method in PARAMETERS:
        assert sum(parameter.numel() for parameter in model.network.parameters()) == PARAMETERS[method]
    views = config.data_preprocessor.views
    inputs = {n: [torch.randint(0, 256, (3, v.size, v.size), dtype=torch.uint8)] for n, v in views.items()}
    (sample,) = model.test_step({'inputs': inputs})
    assert torch.isfinite(sample.pred_score)


def refuse(*args, **kwargs):
    raise ConnectionRefusedError('no network in this test')


def image_assessor(network, size=64):
    preprocessor = {'type': 'ViewPreprocessor', 'views': {'image': {'size': size, **HALF}}}
    return QualityAssessor(network=network, data_preprocessor=preprocessor)


def test_any_timm_backbone_becomes_a_regressor():
    network = TimmRegressor('mobilenetv3_small_050', pretrained=False, options={'drop_rate': 0.1})
    assert network.backbone.get_classifier().out_features == 1
    assert network({'image': torch.randn(3, 3, 64, 64)}).shape == (3,)


@pytest.mark.parametrize('name', ['resnet18', 'efficientnet_b0', 'mobilenet_v3_small'])
def test_a_torchvision_classifier_ends_in_one_linear(name):
    network = TorchvisionRegressor(name, pretrained=False)
    head = getattr(network.backbone, network.head)
    assert isinstance(head, nn.Linear) and head.out_features == 1
    assert network.eval()({'image': torch.randn(2, 3, 64, 64)}).shape == (2,)


def test_a_torchvision_network_without_a_known_classifier_is_refused():
    with pytest.raises(ValueError, match='torchvision swin_t has neither `fc` nor `classifier`'):
        TorchvisionRegressor('swin_t', pretrained=False)


def test_the_first_scores_of_a_timm_efficientnet_are_small():
    """timm draws the classifier for 1,000 outputs; with one the scores would begin in tens."""
    torch.manual_seed(0)
    network = TimmRegressor('tf_efficientnet_lite0', pretrained=False).eval()
    bound = 1 / network.backbone.get_classifier().in_features ** 0.5
    assert network.backbone.get_classifier().weight.abs().max() <= bound


def test_pretrained_torchvision_weights_load_from_a_path_without_their_classifier(tmp_path):
    import torchvision

    donor = torchvision.models.resnet18(weights=None)
    torch.save(donor.state_dict(), tmp_path / 'resnet18.pth')
    network = TorchvisionRegressor('resnet18', pretrained=str(tmp_path / 'resnet18.pth'))
    fc = network.backbone.fc.weight.clone()
    network.init_weights()
    assert torch.equal(network.backbone.conv1.weight, donor.conv1.weight)
    assert torch.equal(network.backbone.layer4[1].bn2.running_var, donor.layer4[1].bn2.running_var)
    assert torch.equal(network.backbone.fc.weight, fc)


def test_pretrained_timm_weights_load_from_a_safetensors_path(tmp_path):
    import timm
    from safetensors.torch import save_file

    donor = timm.create_model('mobilenetv3_small_050')
    save_file(donor.state_dict(), tmp_path / 'model.safetensors')
    network = TimmRegressor('mobilenetv3_small_050', pretrained=str(tmp_path / 'model.safetensors'))
    network.init_weights()
    assert torch.equal(network.backbone.conv_stem.weight, donor.conv_stem.weight)
    assert network.backbone.classifier.out_features == 1


def test_pretrained_weights_that_cannot_be_fetched_are_a_sentence(tmp_path, monkeypatch):
    import socket
    import urllib.error

    def offline(*args, **kwargs):
        raise urllib.error.URLError(socket.gaierror(-2, 'Name or service not known'))

    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr('urllib.request.urlopen', offline)
    with pytest.raises(
        WeightsUnavailable, match='resnet18-f37072fd.pth cannot be fetched.*put it at.*pretrained=False'
    ):
        TorchvisionRegressor('resnet18').init_weights()

    def no_hub(*args, **kwargs):
        raise FileNotFoundError('An error happened while trying to locate the file on the Hub.')

    monkeypatch.setattr('timm.models._builder.load_state_dict_from_hf', no_hub)
    with pytest.raises(WeightsUnavailable, match='timm model vit_small_patch16_224 from https.*pretrained=False'):
        TimmRegressor('vit_small_patch16_224').init_weights()


def test_a_network_object_may_be_given_in_place_of_its_config():
    model = image_assessor(TimmRegressor('mobilenetv3_small_050', pretrained=False))
    assert model.eval().test_step({'inputs': {'image': [torch.zeros(3, 64, 64, dtype=torch.uint8)]}})


def test_unknown_options_of_a_network_are_refused():
    refused(TypeError, 'depht', tiny_assessor, region_encoder={**TINY_RA_MIQA['region_encoder'], 'depht': 3})
