"""A two-stage detector as a probe: it finds what torchvision's own pass finds, and its numbers go out as ONNX."""

import copy

import numpy as np
import pytest
import torch
from helpers_apis import export_once, views_of, write_photos, write_run
from helpers_config import CONFIGS
from helpers_refusals import refused
from mmengine.config import Config
from torchvision.models import get_model
from torchvision.ops import batched_nms, box_iou

from machine_iqa import MIQAModel
from miqa.models import CheckpointError, TwoStageProbe, ViewPreprocessor, WeightsUnavailable
from miqa.models.parts.foreign_configs import checked_network
from miqa.models.parts.frozen_identity import frozen_identity
from miqa.models.responses.box_statistics import SEEN, agreement_statistics, box_statistics, count_of_box_statistics
from miqa.models.responses.box_suppression import overlaps, survivors
from miqa.models.responses.two_stage import respond
from miqa.networks.lite_rcnn import LiteBackbone, lite_mask_rcnn

LITE = {'type': 'TwoStageProbe', 'model_name': 'lite0_rcnn', 'pretrained': False, 'num_classes': 4, 'top': 5}
HEADS = ['consistency', 'accuracy']
NETWORK = {'type': 'ResponseRegressor', 'heads': HEADS, 'probe': LITE, 'components': 3, 'members': 2, 'hidden': 8}


def random_boxes(count, seed=0):
    """Return boxes (1, N, 4) of which many overlap, and falling scores (1, N)."""
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(1, count, 2, generator=generator) * 60
    boxes = torch.cat([low, low + 10 + torch.rand(1, count, 2, generator=generator) * 40], 2)
    return boxes, torch.rand(1, count, generator=generator).sort(1, descending=True).values


def sure(detector, side=96):
    """Return a detector of random weights whose scores are far from each other, as a trained one's are."""
    torch.manual_seed(2)
    norms = [module for module in detector.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for module in norms:
        module.momentum = 1.0
        module.train()
    with torch.no_grad():
        detector.backbone(torch.randn(4, 3, side, side))
    predictor = detector.roi_heads.box_predictor
    torch.nn.init.normal_(predictor.cls_score.weight, std=0.3)
    torch.nn.init.normal_(predictor.bbox_pred.weight, std=0.05)
    torch.nn.init.normal_(detector.rpn.head.cls_logits.weight, std=0.2)
    torch.nn.init.normal_(detector.rpn.head.bbox_pred.weight, std=0.02)
    return detector.eval()


def own_answers(detector, pictures):
    """What torchvision's pass finds on pictures that are normalised and of the detector's size already."""
    detector = copy.deepcopy(detector)
    detector.transform.image_mean, detector.transform.image_std = [0.0] * 3, [1.0] * 3
    detector.transform.min_size = (pictures.shape[-1],)
    with torch.inference_mode():
        return detector(list(pictures))


def test_overlaps_are_torchvisions():
    first, second = random_boxes(7)[0], random_boxes(5, 1)[0]
    torch.testing.assert_close(overlaps(first, second)[0], box_iou(first[0], second[0]))


@pytest.mark.parametrize('seed', range(5))
def test_the_survivors_are_those_of_greedy_suppression(seed):
    boxes, scores = random_boxes(80, seed)
    groups = torch.randint(0, 2, (1, 80), generator=torch.Generator().manual_seed(seed))
    valid = scores > 0.1
    kept = survivors(boxes, groups, valid, 0.4)[0]
    places = torch.flatten(valid[0].nonzero())
    expected = places[batched_nms(boxes[0][places], scores[0][places], groups[0][places], 0.4)]
    assert set(kept.nonzero().flatten().tolist()) == set(expected.tolist()) and len(expected) < len(places)


@pytest.mark.parametrize('name', ['lite', 'fasterrcnn_mobilenet_v3_large_320_fpn', 'maskrcnn_resnet50_fpn'])
def test_a_pass_finds_what_torchvisions_own_pass_finds(name):
    torch.manual_seed(0)
    few = {'rpn_pre_nms_top_n_test': 30, 'rpn_post_nms_top_n_test': 20, 'num_classes': 4}
    if name == 'lite':
        detector, side = lite_mask_rcnn(0, 4, side=96, packaged=False), 96
    else:
        detector, side = get_model(name, weights=None, weights_backbone=None, **few), 128
    detector = sure(detector, side)
    pictures = torch.randn(2, 3, side, side)
    answers = own_answers(detector, pictures)
    with torch.inference_mode():
        response = respond(detector, pictures)
    assert all(len(answer['scores']) for answer in answers)
    for number, answer in enumerate(answers):
        result = min(len(answer['scores']), response.scores.shape[1])
        assert int((response.scores[number] > 0).sum()) == result
        torch.testing.assert_close(response.scores[number][:result], answer['scores'][:result])
        torch.testing.assert_close(response.boxes[number][:result], answer['boxes'][:result], rtol=1e-4, atol=1e-2)
        assert torch.equal(response.labels[number][:result] + 1, answer['labels'][:result])


@pytest.mark.parametrize('stages', [(3,), (0, 1, 2, 3, 4)])
def test_the_backbones_maps_are_timms(stages):
    torch.manual_seed(0)
    backbone = LiteBackbone(1, packaged=False, stages=stages)
    pictures = torch.randn(1, 3, 64, 96).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        maps, expected = backbone.maps(pictures), backbone.network(pictures)
    assert len(maps) == len(stages) and all(torch.equal(*pair) for pair in zip(maps, expected, strict=True))
    assert torch.equal(backbone(pictures)['0'], maps[stages.index(3)])


def test_the_mean_score_of_the_detections_is_among_the_numbers():
    detector = sure(lite_mask_rcnn(0, 4, side=96, packaged=False))
    pictures = (
        torch.randn(8, 3, 96, 96, generator=torch.Generator().manual_seed(4))
        * torch.linspace(0.1, 2, 8)[:, None, None, None]
    )
    with torch.inference_mode():
        numbers = box_statistics(respond(detector, pictures), (96, 96), 5)
    assert numbers.shape == (8, count_of_box_statistics(5, 1)) and bool(torch.isfinite(numbers).all())
    kept = [answer['scores'][answer['scores'] >= SEEN] for answer in own_answers(detector, pictures)]
    exact = torch.stack([scores.mean() if len(scores) else torch.tensor(0.0) for scores in kept])
    assert len(exact.unique()) > 4
    # A soft threshold: not the same number, but the same order.
    assert np.corrcoef(numbers[:, 5], exact)[0, 1] > 0.95


def test_numbers_are_finite_where_nothing_is_found():
    probe = TwoStageProbe(**{key: value for key, value in LITE.items() if key != 'type'})
    with torch.no_grad():
        probe.detector.roi_heads.box_predictor.cls_score.bias[0] = 100
    assert respond(probe.detector, torch.zeros(1, 3, 64, 64)).scores.max() == 0
    vectors = probe(torch.zeros(1, 3, 64, 64))
    assert vectors.shape == (1, probe.out_channels) and bool(torch.isfinite(vectors).all())


def test_a_detector_agrees_with_itself_about_the_same_picture_and_its_mirrored_boxes_come_back():
    detector = sure(lite_mask_rcnn(0, 4, side=96, packaged=False))
    with torch.inference_mode():
        response = respond(detector, torch.randn(2, 3, 96, 96))
    same, other = (
        agreement_statistics(response, response),
        agreement_statistics(response, response._replace(labels=response.labels + 9)),
    )
    assert (same[:, :2] > 0.3).all() and (other[:, :2] == 0).all() and (same[:, 2] == 0).all()
    probe = TwoStageProbe(**{**{k: v for k, v in LITE.items() if k != 'type'}, 'changes': ['mirror', 'half']})
    vectors = probe(torch.randn(1, 3, 96, 96))
    assert probe.split(vectors)['changes'].shape == (1, 6) and bool(torch.isfinite(vectors).all())


def test_weights_come_from_a_file_whose_masks_are_left_out(tmp_path):
    torch.manual_seed(3)
    detector = lite_mask_rcnn(0, 4, packaged=False)
    torch.save(detector.state_dict(), tmp_path / 'detector.pth')
    options = {key: value for key, value in LITE.items() if key != 'type'}
    probe = TwoStageProbe(**{**options, 'pretrained': str(tmp_path / 'detector.pth')})
    before = probe.digest()
    probe.init_weights()
    assert probe.digest() != before
    own = probe.detector.state_dict()
    assert not any('mask' in name for name in own)
    assert all(torch.equal(value, own[name]) for name, value in detector.state_dict().items() if 'mask' not in name)
    with pytest.raises(CheckpointError, match='cls_score'):
        TwoStageProbe(**{**options, 'num_classes': 3, 'pretrained': str(tmp_path / 'detector.pth')}).init_weights()
    with pytest.raises(WeightsUnavailable, match=r'no weights file .*absent\.pth'):
        TwoStageProbe(**{**options, 'pretrained': str(tmp_path / 'absent.pth')}).init_weights()
    with pytest.raises(ValueError, match='has no published weights: set pretrained'):
        TwoStageProbe(**{**options, 'pretrained': True}).init_weights()


def test_other_detectors_are_refused_and_what_it_counts_is_part_of_its_identity():
    refused(ValueError, 'lite0_rcnn', TwoStageProbe, 'lite0_rccn')
    options = {key: value for key, value in LITE.items() if key != 'type'}
    one, other = TwoStageProbe(**options), TwoStageProbe(**{**options, 'changes': ['mirror']})
    other.load_state_dict(one.state_dict())
    views = ViewPreprocessor(views_of(64))
    assert frozen_identity(one, views, 'image') != frozen_identity(other, views, 'image')


@pytest.mark.parametrize(
    ('option', 'value'),
    [('model_name', 'my_package.nets:detector'), ('num_classes', 10**9), ('changes', ['rm']), ('detector', 'x')],
)
def test_a_config_that_comes_with_weights_asks_for_nothing_else(option, value):
    refused(ValueError, option, checked_network, {**NETWORK, 'probe': {**LITE, option: value}}, 'file')


def test_weights_that_a_foreign_config_names_are_not_opened():
    network = checked_network({**NETWORK, 'probe': {**LITE, 'pretrained': '/etc/passwd'}}, 'file')
    assert network['probe']['pretrained'] is False


@pytest.fixture(scope='module')
def exporter(tmp_path_factory):
    """A model, pictures, their scores, and what each format is written from, made once for all formats."""
    folder = tmp_path_factory.mktemp('run')
    write_run(folder / 'best.pth', NETWORK, views_of(64), 64, label='composite', task='det')
    paths = write_photos(folder / 'photos', 3)
    model = MIQAModel(weights=folder / 'best.pth')
    with export_once():
        yield model, paths, model.assess(paths)


@pytest.mark.parametrize('suffix', ['.onnx', '.xml', '.pt2'])
def test_a_model_scores_from_its_file_alone_and_goes_out(suffix, exporter, tmp_path):
    pytest.importorskip('onnxscript', reason="needs the extra 'export'")
    if suffix == '.xml':
        pytest.importorskip('openvino', reason="needs the extra 'openvino'")
    model, paths, expected = exporter
    exported = model.export(tmp_path / f'model{suffix}')
    if suffix != '.pt2':
        assert MIQAModel(weights=exported).assess(paths) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize('task', ['det', 'ins'])
def test_the_quickstarts_config_looks_through_one_of_its_detectors(task):
    config = Config.fromfile(CONFIGS / f'mini/response_lite_{task}.py')
    assert config.task == task
    assert config.model.network.probe.type == 'TwoStageProbe'
    assert config.model.network.probe.pretrained.endswith('detectors/lite0_rcnn.pth')
