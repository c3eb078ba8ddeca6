"""Exports of the libraries that people use give, as machines, what the libraries themselves give."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers_onnx import export
from helpers_refusals import refused
from helpers_sized_pictures import pictures
from helpers_transformers import small_detr
from helpers_yolo import write_yolo
from torchvision import models
from torchvision.ops import box_convert

from miqa.machines import OnnxMachine, UltralyticsMachine
from miqa.machines.answers import scores_of_queries
from miqa.machines.masks import encode_masks
from miqa.machines.onnx_layouts import LayoutOptions, yolo
from miqa.machines.onnx_preparation import OnnxPreparation

# Exporters warn of each branch that they cannot follow; none matters for pictures of one size.
pytestmark = pytest.mark.filterwarnings('ignore')
pytest.importorskip('onnx', reason="onnx is missing: pip install -e '.[export]'")
pytest.importorskip('onnxruntime', reason="onnxruntime is missing: pip install -e '.[export]'")

PLAIN = {'mean': (0, 0, 0), 'std': (1, 1, 1)}


@pytest.mark.parametrize(('name', 'task'), [('fasterrcnn_resnet50_fpn', 'det'), ('maskrcnn_resnet50_fpn', 'ins')])
def test_an_export_of_torchvision_gives_the_boxes_of_the_original(tmp_path, name, task):
    torch.manual_seed(0)
    options = {
        'min_size': 64, 'max_size': 128, 'rpn_post_nms_top_n_test': 30, 'box_score_thresh': 0.005,
        'box_detections_per_img': 8,
    }  # fmt: skip
    network = models.get_model(name, weights=None, weights_backbone=None, **options).eval().requires_grad_(False)
    # Fresh weights give every class the same score, and what is first would be a matter of rounding.
    torch.nn.init.normal_(network.roi_heads.box_predictor.cls_score.weight, std=0.1)
    keys = ['boxes', 'scores', 'labels'] + (['masks'] if task == 'ins' else [])

    def one_image(image):
        answers = network([image[0]])[0]
        return tuple(answers[key] for key in keys)

    path = export(one_image, torch.rand(1, 3, 96, 128), tmp_path / 'd.onnx', keys, free=(2, 3))
    machine, answers = OnnxMachine(path, task, size=None, threshold=0, **PLAIN), 0
    # Torchvision's tracing fixes the shape of the picture that it saw in a few places; so does everyone's export.
    images = pictures(3, [(96, 128)] * 3)
    for answer, image in zip(machine.predict(images), images, strict=True):
        with torch.no_grad():
            truth = network([torch.from_numpy(image).permute(2, 0, 1) / 255])[0]
        np.testing.assert_allclose(answer.boxes, truth['boxes'].numpy(), atol=1e-2)
        np.testing.assert_array_equal(answer.labels, truth['labels'].numpy())
        answers += len(answer.scores)
        if task == 'ins':
            mine, theirs = answer.masks, encode_masks((truth['masks'][:, 0] >= 0.5).numpy())
            assert overlap(mine, theirs) > 0.98
    assert answers > 10


def overlap(mine, theirs):
    from pycocotools import mask

    return float(
        np.mean([mask.iou([a], [b], [0])[0, 0] if mask.area(b) else 1 for a, b in zip(mine, theirs, strict=True)])
    )


@pytest.fixture(scope='module')
def yolo_files(tmp_path_factory):
    ultralytics = pytest.importorskip('ultralytics', reason="ultralytics is missing: pip install -e '.[ultralytics]'")
    folder, results = tmp_path_factory.mktemp('yolo'), {}
    for task in ('det', 'ins'):
        model = ultralytics.YOLO(write_yolo(folder / f'{task}.pt', task), verbose=False)
        results[task] = model.export(format='onnx', imgsz=64, simplify=False, verbose=False)
    return results


@pytest.mark.parametrize('task', ['det', 'ins'])
def test_a_yolo_head_gives_the_boxes_of_ultralytics(yolo_files, task):
    few = {'conf': 1e-6, 'max_det': 20}
    theirs = UltralyticsMachine(yolo_files[task], task, options={'imgsz': 64, **few})
    mine = OnnxMachine(
        yolo_files[task], task, size=(64, 64), layout='yolo', resize='letterbox', threshold=1e-6,
        classes=[str(i) for i in range(80)], layout_options={'limit': 20},
    )  # fmt: skip
    count = 0
    for answer, truth in zip(mine.predict(pictures()), theirs.predict(pictures()), strict=True):
        np.testing.assert_allclose(answer.boxes, truth.boxes, atol=1e-2)
        np.testing.assert_allclose(answer.scores, truth.scores, atol=1e-6)
        np.testing.assert_array_equal(answer.labels, truth.labels)
        count += len(answer.scores)
        if task == 'ins':
            assert overlap(answer.masks, truth.masks) > 0.97
    assert count > 20


def test_detr_gives_the_boxes_of_transformers(tmp_path):
    transformers = pytest.importorskip('transformers', reason="pip install -e '.[transformers]'")
    torch.manual_seed(0)
    config = small_detr()
    config.id2label = {0: 'a', 1: 'b'}
    network = transformers.DetrForObjectDetection(config).eval().requires_grad_(False)
    processor = transformers.DetrImageProcessor()

    def plain(pixels):
        answers = network(pixels)
        return answers.logits, answers.pred_boxes

    path = export(plain, torch.rand(1, 3, 64, 64), tmp_path / 'q.onnx', ['logits', 'pred_boxes'])
    machine = OnnxMachine(path, 'det', size=(64, 64), layout='detr')
    for answer, image in zip(machine.predict(pictures()), pictures(), strict=True):
        with torch.no_grad():
            outputs = network(torch.from_numpy(machine.prepare(image)[0])[None])
        (truth,) = processor.post_process_object_detection(outputs, 0.01, target_sizes=[image.shape[:2]])
        order = truth['scores'].argsort(descending=True)
        edges = torch.tensor([*image.shape[1::-1]] * 2)
        inside = truth['boxes'][order].clamp(torch.zeros(4), edges)
        np.testing.assert_allclose(answer.boxes, inside.numpy(), atol=1e-2)
        np.testing.assert_array_equal(answer.labels, truth['labels'][order].numpy())


def test_queries_of_classes_and_masks_give_the_map_of_transformers():
    transformers = pytest.importorskip('transformers', reason="pip install -e '.[transformers]'")
    torch.manual_seed(0)
    logits, masks = 3 * torch.randn(1, 20, 7), 3 * torch.randn(1, 20, 12, 12)
    outputs = SimpleNamespace(class_queries_logits=logits, masks_queries_logits=masks)
    # It enlarges masks to the input of its networks, which is 384 pixels.
    (truth,) = transformers.Mask2FormerImageProcessor().post_process_semantic_segmentation(outputs)
    assert torch.equal(scores_of_queries(logits, masks, (384, 384)).argmax(0), truth)
    refused(ValueError, r'\(1, Q, K \+ 1\)', scores_of_queries, logits, masks[:, 1:], (8, 8))


def test_sigmoid_queries_are_the_best_pairs_of_query_and_class():
    from miqa.machines.onnx_layouts import detr

    logits = np.array([[[2.0, -3.0], [1.0, 3.0]]])
    outputs = {'logits': logits, 'pred_boxes': np.array([[[0.5, 0.5, 1, 1], [0.25, 0.25, 0.5, 0.5]]])}
    options = LayoutOptions({'logits': 'logits', 'boxes': 'pred_boxes'}, activation='sigmoid', limit=3)
    _, place = OnnxPreparation((10, 20), (0,) * 3, (1,) * 3)(np.zeros((30, 40, 3), np.uint8))
    answer = detr(outputs, place, options)
    assert answer.labels.tolist() == [1, 0, 0]
    np.testing.assert_allclose(answer.scores, 1 / (1 + np.exp([-3.0, -2.0, -1.0])), rtol=1e-6)
    np.testing.assert_allclose(answer.boxes, [[0, 0, 20, 15], [0, 0, 40, 30], [0, 0, 20, 15]], atol=1e-4)


@pytest.mark.parametrize('size', [(96, 128), (33, 47), (200, 80), (640, 640)])
def test_a_letterbox_leads_back_to_the_pixels_of_the_image(size):
    image = pictures(1, [size])[0]
    _, place = OnnxPreparation((64, 96), (0,) * 3, (1,) * 3, 'letterbox')(image)
    top, left = place.corner
    whole = torch.tensor([[left, top, left + place.content[1], top + place.content[0]]], dtype=torch.float32)
    np.testing.assert_allclose(place.boxes_to_image(whole)[0], [0, 0, size[1], size[0]], atol=max(size) / 64)
    ramp = torch.zeros(1, 64, 96)
    ramp[0, top : top + place.content[0] // 2, left : left + place.content[1]] = 1
    seen = place.maps_to_image(ramp)[0] > 0.5
    assert seen.shape == size and abs(seen.float().mean().item() - 0.5) < 0.06


@pytest.mark.parametrize('size', [(97, 131), (301, 40), (3, 500), (1, 1), (37, 1900)])
def test_a_letterbox_leads_back_as_that_of_ultralytics(size):
    scale_boxes = pytest.importorskip('ultralytics.utils.ops', reason="pip install -e '.[ultralytics]'").scale_boxes
    _, place = OnnxPreparation((160, 160), (0,) * 3, (1,) * 3, 'letterbox')(np.zeros((*size, 3), np.uint8))
    boxes = torch.tensor([[0.0, 0, 160, 160], [70, 70, 90, 90], [10.5, 79, 20.25, 81]])
    np.testing.assert_allclose(place.boxes_to_image(boxes), scale_boxes((160, 160), boxes.clone(), size), atol=1e-3)


def test_heads_with_objectness_or_with_suppression_inside_and_either_order_of_axes():
    _, place = OnnxPreparation(None, (0,) * 3, (1,) * 3)(np.zeros((40, 60, 3), np.uint8))
    boxes = torch.tensor([[10.0, 10, 30, 30], [11, 10, 30, 30], [40, 5, 50, 20]])
    centres = box_convert(boxes, 'xyxy', 'cxcywh').numpy()
    chances = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.6]])
    plain = np.concatenate([centres, chances], 1)[None]
    worth = np.concatenate([centres, np.full((3, 1), 0.5), chances], 1)[None]
    options = LayoutOptions({}, classes=2)
    for head in (plain, plain.transpose(0, 2, 1)):
        answer = yolo({'output': head}, place, options)
        np.testing.assert_allclose(answer.boxes, boxes[[0, 2]], atol=1e-4)
        assert answer.labels.tolist() == [0, 1] and answer.scores.tolist() == pytest.approx([0.9, 0.6])
    answer = yolo({'output': worth}, place, LayoutOptions({}, classes=2, objectness=True))
    assert answer.scores.tolist() == pytest.approx([0.45, 0.3])
    done = np.concatenate([boxes.numpy(), [[0.9, 0], [0.005, 0], [0.6, 1]]], 1)[None]
    answer = yolo({'output': done}, place, LayoutOptions({}, end_to_end=True, classes=2))
    assert answer.labels.tolist() == [0, 1]
    with pytest.raises(ValueError, match='would make 7 values for each place'):
        yolo({'output': plain}, place, LayoutOptions({}, classes=3))
    refused(ValueError, 'Another layout', yolo, {'a': plain, 'b': plain}, place, options)


def test_a_semantic_segmenter(tmp_path):
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 4, 3, padding=1).eval()
    path = export(network, torch.rand(1, 3, 32, 32), tmp_path / 's.onnx', free=(2, 3))
    image = pictures(1)[0]
    (answer,) = OnnxMachine(path, 'seg', size=None, **PLAIN).predict([image])
    with torch.no_grad():
        truth = network(torch.from_numpy(image).permute(2, 0, 1)[None] / 255).argmax(1)[0].numpy()
    assert (answer.labels == truth).mean() > 0.999


@pytest.fixture
def classifier(tmp_path):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 8), torch.nn.Flatten())
    return export(network, torch.rand(1, 3, 8, 8), tmp_path / 'c.onnx')


def test_a_file_for_one_image_at_a_time_is_given_one_at_a_time(classifier):
    machine = OnnxMachine(classifier, size=(8, 8))
    assert len(machine.predict(pictures(3))) == 3 and str(machine.device) == 'cpu'
    assert (machine.classes, machine.class_count) == (None, 2)


def test_classes_come_as_places_of_one_pixel_and_never_as_quantised_numbers_without_a_scale(classifier, tmp_path):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    expected = [answer.probabilities for answer in OnnxMachine(classifier, size=(8, 8)).predict(pictures(2))]
    model = onnx.load(classifier)
    flat = model.graph.node.pop()
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(flat.input[0], TensorProto.FLOAT, [1, 2, 1, 1]))
    onnx.save(model, tmp_path / 'square.onnx')
    machine = OnnxMachine(tmp_path / 'square.onnx', size=(8, 8))
    np.testing.assert_array_equal([answer.probabilities for answer in machine.predict(pictures(2))], expected)
    assert machine.class_count == 2
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.1), 'scale'))
    model.graph.initializer.append(numpy_helper.from_array(np.uint8(128), 'zero'))
    model.graph.node.append(helper.make_node('QuantizeLinear', [flat.input[0], 'scale', 'zero'], ['q']))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info('q', TensorProto.UINT8, [1, 2, 1, 1]))
    onnx.save(model, tmp_path / 'quantised.onnx')
    refused(ValueError, 'quantised numbers of 8 bits', OnnxMachine, tmp_path / 'quantised.onnx', size=(8, 8))


def test_a_machine_is_known_by_the_numbers_beside_its_file_as_they_were_when_it_was_opened(classifier, tmp_path):
    import onnx

    machines, prints, graphs = [], [], set()
    for value in (1, 2):
        model = onnx.load(classifier)
        for tensor in model.graph.initializer:
            tensor.raw_data = bytes([value] * len(tensor.raw_data))
        path, options = tmp_path / 'apart.onnx', {'location': 'apart.data', 'size_threshold': 0}
        (tmp_path / 'apart.data').unlink(missing_ok=True)
        onnx.save(model, path, save_as_external_data=True, **options)
        graphs.add(path.read_bytes())
        machines.append(OnnxMachine(path, size=(8, 8)))
        prints.append(machines[-1].fingerprint)
    assert len(graphs) == 1 and len(set(prints)) == 2
    assert [machine.fingerprint for machine in machines] == prints


def test_the_session_runs_on_the_device_that_was_asked_for_or_says_why_not(classifier, monkeypatch):
    with pytest.raises(ValueError, match='no provider for device cuda:1 here'):
        OnnxMachine(classifier, size=(8, 8), device='cuda', device_id=1)
    import onnxruntime

    # A GPU build whose libraries are missing offers the GPU and then computes on the CPU.
    monkeypatch.setattr(
        onnxruntime, 'get_available_providers', lambda: ['CUDAExecutionProvider', 'CPUExecutionProvider']
    )
    with pytest.raises(ValueError, match='could not start on cuda:1 and would compute on cpu'):
        OnnxMachine(classifier, size=(8, 8), device='cuda:1')


def test_missing_outputs_are_named_with_what_there_is(classifier):
    refused(ValueError, "no output 'boxes'.*it has y.*boxes_name='y'", OnnxMachine, classifier, 'det', size=(8, 8))
