"""Models of torchvision give, as machines, what torchvision gives by hand."""

import argparse
import sys
import types

import numpy as np
import pytest
import torch
from helpers_refusals import refused
from helpers_sized_pictures import pictures
from PIL import Image
from torch.nn import functional
from torchvision import models
from torchvision.ops import MultiScaleRoIAlign

from miqa.machines import TorchvisionMachine, build_machine, torchvision_models
from miqa.machines.masks import encode_masks

SMALL = {'min_size': 64, 'max_size': 128}
RCNN = {**SMALL, 'rpn_post_nms_top_n_test': 12, 'box_score_thresh': 0.005, 'box_detections_per_img': 10}
#: Thresholds low enough for random weights to find something, sizes small enough for a test.
DETECTORS = {
    'fasterrcnn_mobilenet_v3_large_320_fpn': {**RCNN, 'box_detections_per_img': 20},
    'fasterrcnn_mobilenet_v3_large_fpn': RCNN,
    'fasterrcnn_resnet50_fpn': RCNN,
    'fasterrcnn_resnet50_fpn_v2': RCNN,
    'keypointrcnn_resnet50_fpn': {
        **RCNN,
        'rpn_post_nms_top_n_test': 30,
        'box_score_thresh': 0.05,
        'box_detections_per_img': 8,
    },
    'maskrcnn_resnet50_fpn': {**RCNN, 'box_detections_per_img': 8},
    'maskrcnn_resnet50_fpn_v2': {**RCNN, 'box_detections_per_img': 8},
    'fcos_resnet50_fpn': {**SMALL, 'score_thresh': 0.005},
    'retinanet_resnet50_fpn': {**SMALL, 'score_thresh': 0.005},
    'retinanet_resnet50_fpn_v2': {**SMALL, 'score_thresh': 0.005},
    'ssd300_vgg16': {'score_thresh': 0.005, 'detections_per_img': 20},
    'ssdlite320_mobilenet_v3_large': {},
}


def by_hand(name, options, transforms, count=3):
    """Build a model with the machine's random weights, and prepare pictures, by torchvision's own words alone."""
    torch.manual_seed(0)
    extra = {} if torchvision_models()[name] == 'cls' else {'weights_backbone': None}
    network = models.get_model(name, weights=None, **extra, **options).eval()
    return network, [transforms(Image.fromarray(image)) for image in pictures(count)]


def test_every_detector_of_torchvision_is_tried():
    assert set(DETECTORS) == set(models.list_models(module=models.detection))


@pytest.mark.parametrize('name', DETECTORS)
def test_a_detector_answers_as_torchvision_by_hand(name):
    options = DETECTORS[name]
    weights = models.get_model_weights(name).DEFAULT
    # The first takes a second and more for each; the second finds least.
    count = {'ssd300_vgg16': 1, 'keypointrcnn_resnet50_fpn': 5}.get(name, 3)
    network, inputs = by_hand(name, options, weights.transforms(), count)
    machine = TorchvisionMachine(name, weights=None, options=options)
    assert list(machine.classes) == weights.meta['categories']
    with torch.no_grad():
        expected = [network([image])[0] for image in inputs]
    assert machine.task == ('ins' if 'masks' in expected[0] else 'det')
    assert sum(len(answer['scores']) for answer in expected) >= 20
    for answer, truth in zip(machine.predict(pictures(count)), expected, strict=True):
        np.testing.assert_allclose(answer.boxes, truth['boxes'].numpy(), atol=1e-4)
        np.testing.assert_allclose(answer.scores, truth['scores'].numpy(), atol=1e-5)
        np.testing.assert_array_equal(answer.labels, truth['labels'].numpy())
        if 'masks' in truth:
            assert answer.masks == encode_masks((truth['masks'][:, 0] >= 0.5).numpy())


def test_pictures_of_one_size_go_through_the_network_together_where_asked():
    same = pictures(3, [(96, 128)] * 3)
    machine = TorchvisionMachine('fasterrcnn_mobilenet_v3_large_320_fpn', None, options=RCNN)
    inputs = [machine.prepare(image)[0] for image in same]
    with torch.no_grad():
        alone = [machine.network([image])[0] for image in inputs]
        together = machine.network(inputs)
    by_one = [*machine.predict(same), *machine.predict(same[-1:])]
    machine = TorchvisionMachine('fasterrcnn_mobilenet_v3_large_320_fpn', None, options=RCNN, batched=True)
    for answer, truth in zip([*by_one, *machine.predict(same)], [*alone, alone[-1], *together], strict=True):
        np.testing.assert_array_equal(answer.boxes, truth['boxes'].numpy())


def test_a_network_with_masks_serves_as_detector():
    masks = TorchvisionMachine('maskrcnn_resnet50_fpn', None, task='det', options=RCNN)
    assert masks.predict(pictures(1))[0].masks is None


@pytest.mark.parametrize('name', ['resnet18', 'mobilenet_v3_small', 'regnet_y_400mf', 'shufflenet_v2_x0_5'])
def test_a_classifier_answers_as_torchvision_by_hand(name):
    network, inputs = by_hand(name, {}, models.get_model_weights(name).DEFAULT.transforms())
    machine = TorchvisionMachine(name, None)
    with torch.no_grad():
        expected = network(torch.stack(inputs)).softmax(1).numpy()
    answers = [*machine.predict(pictures(3)), *(machine.predict([image])[0] for image in pictures(2))]
    for answer, truth in zip(answers, [*expected, *expected[:2]], strict=True):
        np.testing.assert_allclose(answer.probabilities, truth, atol=1e-6)
        assert answer.probabilities.argmax() == truth.argmax()


@pytest.mark.parametrize('name', ['lraspp_mobilenet_v3_large', 'deeplabv3_mobilenet_v3_large'])
def test_a_semantic_segmenter_answers_as_torchvision_by_hand(name):
    transforms = models.get_model_weights(name).DEFAULT.transforms(resize_size=64)
    network, inputs = by_hand(name, {}, transforms)
    machine = TorchvisionMachine(name, None, transforms={'resize_size': 64})
    for answer, tensor, image in zip(machine.predict(pictures(3)), inputs, pictures(3), strict=True):
        with torch.no_grad():
            logits = network(tensor[None])['out']
        truth = functional.interpolate(logits, image.shape[:2], mode='bilinear').argmax(1)[0].numpy()
        assert answer.labels.dtype == np.uint8
        np.testing.assert_array_equal(answer.labels, truth)


def test_every_model_that_torchvision_lists_has_a_task():
    can = torchvision_models()
    assert len(can) == 98 if models.__package__ else len(can)
    assert {
        'resnet50': 'cls', 'fcos_resnet50_fpn': 'det', 'maskrcnn_resnet50_fpn_v2': 'ins', 'fcn_resnet50': 'seg',
    }.items() <= can.items()  # fmt: skip


def test_a_checkpoint_of_the_references_scripts_with_own_classes_is_read(tmp_path):
    """Those scripts keep the options of their command line in the file, and train networks with a second head."""
    torch.manual_seed(5)
    name = 'deeplabv3_mobilenet_v3_large'
    network = models.get_model(name, weights=None, weights_backbone=None, num_classes=3, aux_loss=True)
    path = tmp_path / 'checkpoint.pth'
    torch.save({'model': network.state_dict(), 'epoch': 3, 'args': argparse.Namespace(lr=0.1)}, path)
    machine = TorchvisionMachine(name, str(path), classes=['none', 'cat', 'dog'], transforms={'resize_size': 64})
    with torch.no_grad():
        logits = network.eval()(machine.prepare(pictures(1)[0])[0][None])['out']
    truth = functional.interpolate(logits, (96, 128), mode='bilinear').argmax(1)[0].numpy()
    np.testing.assert_array_equal(machine.predict(pictures(1))[0].labels, truth)


def test_a_detector_trained_with_frozen_norms_is_read_with_its_classes(tmp_path):
    """A backbone that began with published weights has frozen batch norms, whose tensors are fewer."""
    torch.manual_seed(5)
    name = 'ssdlite320_mobilenet_v3_large'
    network = models.get_model(name, weights=None, weights_backbone=None, num_classes=3)
    state = {key: value for key, value in network.state_dict().items() if 'num_batches' not in key}
    path = tmp_path / 'mine.pth'
    torch.save(state, path)
    machine = TorchvisionMachine(name, str(path), classes=['cat', 'dog'], options={'score_thresh': 0.2}, name='m')
    assert machine.classes == ('__background__', 'cat', 'dog')
    assert machine.describe()['weights'] == 'mine.pth'
    torch.testing.assert_close(dict(machine.network.state_dict()), dict(network.state_dict()))
    refused(ValueError, rf'mine\.pth does not fit {name}', TorchvisionMachine, name, str(path), classes=['cat'])


def test_weights_of_a_training_that_diverged_are_refused_and_are_no_detector_that_finds_nothing(tmp_path):
    name = 'fasterrcnn_mobilenet_v3_large_320_fpn'
    network = models.get_model(name, weights=None, weights_backbone=None, num_classes=3)
    torch.nn.init.constant_(network.rpn.head.bbox_pred.bias, float('nan'))
    torch.save(network.state_dict(), tmp_path / 'mine.pth')
    config = {'type': 'TorchvisionMachine', 'model': name, 'weights': str(tmp_path / 'mine.pth'), 'name': 'm'}
    with pytest.raises(ValueError, match=r'weights rpn\.head\.bbox_pred\.bias of the machine m hold NaN'):
        build_machine({**config, 'classes': ['cat', 'dog']})


def tiny_detector(num_classes=2):
    """A network of the user's with torchvision's interface."""
    backbone = models.mobilenet_v3_small(weights=None).features
    backbone.out_channels = 576
    anchors = models.detection.anchor_utils.AnchorGenerator(((32, 64),), ((0.5, 1.0, 2.0),))
    pool = MultiScaleRoIAlign(['0'], 7, 2)
    return models.detection.FasterRCNN(
        backbone, num_classes, rpn_anchor_generator=anchors, box_roi_pool=pool, min_size=64, max_size=128
    )


def test_a_network_that_a_function_of_yours_builds_is_a_machine(monkeypatch):

    monkeypatch.setitem(
        sys.modules, 'my_networks', types.SimpleNamespace(tiny=tiny_detector, __file__='my_networks.py')
    )
    machine = TorchvisionMachine('my_networks:tiny', None, task='det', classes=['square'])
    assert machine.name == 'my_networks.tiny'
    torch.manual_seed(0)
    network = tiny_detector().eval()
    for answer, image in zip(machine.predict(pictures(3)), pictures(3), strict=True):
        with torch.no_grad():
            truth = network([machine.prepare(image)[0]])[0]
        np.testing.assert_allclose(answer.boxes, truth['boxes'].numpy(), atol=1e-4)
    refused(ValueError, "Say task='cls'", TorchvisionMachine, 'my_networks:tiny', None)


def test_the_fingerprint_follows_weights_settings_and_transforms_and_nothing_else():
    make = lambda **options: TorchvisionMachine('ssdlite320_mobilenet_v3_large', None, **options)  # noqa: E731
    machine = make()
    before = machine.fingerprint
    machine.predict(pictures(2))
    del machine.fingerprint
    assert machine.fingerprint == before == make(name='other', weight=3).fingerprint
    assert before != make(seed=1).fingerprint
    assert before != make(options={'score_thresh': 0.3}).fingerprint
    small = [TorchvisionMachine('resnet18', None, transforms={'crop_size': size}).fingerprint for size in (64, 96)]
    assert small[0] != small[1]


@pytest.mark.parametrize(('options', 'error', 'message'), [
    ({'model': 'fasterrcnn_resnet50'}, ValueError, "Did you mean 'fasterrcnn_resnet50_fpn'"),
    ({'model': 'ssd300_vgg16', 'task': 'ins'}, ValueError, 'a model for det, not for ins'),
    ({'model': 'ssd300_vgg16', 'weights': 'COCO_V2'}, ValueError, "Did you mean 'COCO_V1'"),
    ({'model': 'ssd300_vgg16', 'weights': 'my/own.pth'}, FileNotFoundError, r'my/own\.pth'),
])  # fmt: skip
def test_what_is_wrong_is_said(options, error, message):
    refused(error, message, TorchvisionMachine, **options)


def test_weights_that_cannot_be_fetched_are_named_with_the_place_for_them(monkeypatch, tmp_path):
    def unreachable(*args, **kwargs):
        raise OSError('no route')

    monkeypatch.setattr('torchvision.models._api.load_state_dict_from_url', unreachable)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    with pytest.raises(ConnectionError, match='ssdlite320_mobilenet_v3_large_coco-a79551df.pth') as caught:
        TorchvisionMachine('ssdlite320_mobilenet_v3_large')
    assert f'put it at {tmp_path}' in str(caught.value)


def test_published_weights_in_the_hub_folder_are_used_as_torchvision_uses_them(monkeypatch, tmp_path):
    """These weights go with batch norms without epsilon, which torchvision sets when it is told their name."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    torch.manual_seed(1)
    state = models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict()
    state = {key: value for key, value in state.items() if 'num_batches' not in key}
    path = tmp_path / 'hub/checkpoints/fasterrcnn_resnet50_fpn_coco-258fb6c6.pth'
    path.parent.mkdir(parents=True)
    torch.save(state, path)
    machine = TorchvisionMachine('fasterrcnn_resnet50_fpn', options=SMALL)
    norms = [module for module in machine.network.modules() if type(module).__name__ == 'FrozenBatchNorm2d']
    assert norms and all(norm.eps == 0 for norm in norms)
    refused(ValueError, "say weights='COCO_V1'", TorchvisionMachine, 'fasterrcnn_resnet50_fpn', str(path))
