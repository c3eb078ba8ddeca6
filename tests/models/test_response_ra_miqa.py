"""RA-MIQA with response tokens, detector probes, and that both go out as ONNX and come back from their files."""

import copy

import pytest
import torch
from helpers_apis import views_of, write_photos, write_run
from helpers_config import CONFIGS
from helpers_models import TINY_RA_MIQA
from mmengine.config import Config

from machine_iqa import MIQAModel
from miqa.models import DetectorProbe, ResponseRAMIQA
from miqa.models.responses.statistics import detection_statistics, map_statistics

PROBE = {'type': 'ClassifierProbe', 'model_name': 'test_resnet.r160_in1k', 'pretrained': False, 'top': 3}
FULL = {
    'type': 'ResponseRAMIQA', 'base': TINY_RA_MIQA['base'], 'region_encoder': TINY_RA_MIQA['region_encoder'],
    'probe': PROBE, 'components': 6,
}  # fmt: skip
HEADS = ['consistency', 'accuracy']
LIGHT = {'type': 'ResponseRegressor', 'heads': HEADS, 'probe': PROBE, 'components': 3, 'members': 2, 'hidden': 8}
DETECTOR = {**LIGHT, 'probe': {'type': 'DetectorProbe', 'pretrained': False, 'top': 5}}


def full(**options):
    torch.manual_seed(0)
    return ResponseRAMIQA(**{**{k: v for k, v in copy.deepcopy(FULL).items() if k != 'type'}, **options}).eval()


def test_response_tokens_stand_beside_region_cls_and_patches():
    network, seen = full(), []
    network.base_model.blocks.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[1]))
    inputs = {'image': torch.randn(2, 3, 32, 32), 'region': torch.randn(2, 3, 48, 48)}
    scores = network(inputs)
    # One token of confidence and two of six directions, region, CLS, and 16 patches.
    assert seen == [3 + 1 + 1 + 16] and scores.shape == (2,)
    assert network.member_scores(inputs).shape == (2, 1, 2)


def test_cached_vectors_of_both_frozen_networks_give_the_same_scores():
    network = full()
    inputs = {'image': torch.randn(2, 3, 32, 32), 'region': torch.randn(2, 3, 48, 48)}
    (encoder,) = network.frozen_encoders().values()
    vectors = encoder(inputs['region'])
    assert vectors.shape == (2, encoder.out_channels)
    torch.testing.assert_close(network({'image': inputs['image'], 'region_features': vectors}), network(inputs))
    with pytest.raises(ValueError, match='Cached features have 4 numbers'):
        network({'image': inputs['image'], 'region_features': vectors[:, :4]})


def test_the_stack_of_frozen_networks_is_known_by_both():
    first, second = full(), full(probe={**PROBE, 'top': 4})
    one, other = (network.frozen_encoders()['region'] for network in (first, second))
    assert one.digest() == first.frozen_encoders()['region'].digest()
    assert one.settings() != other.settings()
    with torch.no_grad():
        next(second.mask_encoder.parameters()).add_(1)
    second.load_state_dict(second.state_dict())
    assert second.frozen_encoders()['region'].digest() != one.digest()


def test_gradients_reach_all_but_the_frozen_parts():
    network = full().train()
    inputs = {'image': torch.randn(4, 3, 32, 32), 'region': torch.randn(4, 3, 48, 48)}
    network.member_scores(inputs).square().sum().backward()
    without = {name for name, p in network.named_parameters() if p.requires_grad and p.grad is None}
    frozen = {name.split('.')[0] for name, p in network.named_parameters() if not p.requires_grad}
    assert not without and frozen == {'mask_encoder', 'probe'}


@pytest.mark.parametrize(
    ('name', 'side'),
    [('ssdlite320_mobilenet_v3_large', 320), ('retinanet_resnet50_fpn', 96), ('fcos_resnet50_fpn', 96)],
)
def test_a_dense_detector_is_a_probe_whose_scores_are_torchvisions_own(name, side):
    torch.manual_seed(0)
    probe = DetectorProbe(name, pretrained=False, top=5)
    picture = torch.randn(2, 3, side, side)
    vectors = probe(picture)
    assert vectors.shape == (2, probe.out_channels) and bool(torch.isfinite(vectors).all())
    parts = probe.split(vectors)
    with torch.no_grad():
        result = probe.detector.head(list(probe.detector.backbone(picture).values()))
    logits = result['cls_logits']
    scores = logits.softmax(2)[..., 1:].amax(2) if name.startswith('ssd') else logits.sigmoid().amax(2)
    if name.startswith('fcos'):
        scores = (scores * result['bbox_ctrness'].sigmoid().squeeze(2)).sqrt()
    torch.testing.assert_close(parts['confidence'][:, :5].sigmoid(), scores.topk(5).values, rtol=1e-3, atol=1e-5)


def test_a_view_normalised_for_another_network_is_made_as_the_probe_wants_it():
    given, target = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.5,) * 3, (0.5,) * 3)
    torch.manual_seed(0)
    plain = DetectorProbe(pretrained=False, top=5)
    other = DetectorProbe(pretrained=False, top=5, renormalise=(*given, *target))
    other.load_state_dict(plain.state_dict())
    values = torch.rand(1, 3, 320, 320)
    as_given = (values - torch.tensor(given[0]).view(1, 3, 1, 1)) / torch.tensor(given[1]).view(1, 3, 1, 1)
    torch.testing.assert_close(other(as_given), plain((values - 0.5) / 0.5), rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match='four rows of three numbers'):
        DetectorProbe(pretrained=False, renormalise=(given[0],))


@pytest.mark.parametrize(
    ('network', 'views', 'side'),
    [(FULL, views_of(32, 48), 48), (DETECTOR, views_of(320), 320)],
    ids=['full', 'detector'],
)
def test_a_model_scores_from_its_file_and_goes_out_as_onnx(network, views, side, tmp_path):
    pytest.importorskip('onnxscript', reason="needs the extra 'export'")
    # Weights of seed 0 move the detector's scores by 0.0001 with the number of threads.
    write_run(tmp_path / 'best.pth', network, views, side, seed=1, label='composite')
    paths = write_photos(tmp_path / 'photos', 3)
    model = MIQAModel(weights=tmp_path / 'best.pth')
    expected = model.assess(paths)
    exported = model.export(tmp_path / 'model.onnx')
    assert MIQAModel(weights=exported).assess(paths) == pytest.approx(expected, abs=1e-4)


def test_one_file_scores_every_label_of_its_heads(tmp_path):
    write_run(tmp_path / 'best.pth', LIGHT, views_of(64), label='composite')
    paths = write_photos(tmp_path / 'photos', 2)
    scores = {
        label: MIQAModel(weights=tmp_path / 'best.pth', label=label).assess(paths)
        for label in ('composite', 'consistency', 'accuracy')
    }
    for i in range(2):
        mean = (scores['consistency'][i] + scores['accuracy'][i]) / 2
        assert scores['composite'][i] == pytest.approx(mean, abs=1e-6)
    assert scores['consistency'] != scores['accuracy']


@pytest.mark.parametrize('task', ['cls', 'det', 'ins'])
def test_the_configs_name_parts_that_there_are(task):
    for path in (CONFIGS / f'response_ra_miqa_{task}.py', CONFIGS / f'mini/response_{task}.py'):
        config = Config.fromfile(path)
        assert config.task == task
        kind = 'ClassifierProbe' if task == 'cls' else 'DetectorProbe'
        assert config.model.network.probe.type == kind


def test_statistics_of_scores_and_maps_are_finite_for_flat_answers():
    assert torch.isfinite(detection_statistics([torch.zeros(1, 9), torch.ones(1, 4)], 3)).all()
    assert torch.isfinite(map_statistics([torch.zeros(1, 2, 3, 3)])).all()
