"""Files of other exporters: channels last, whole numbers as input, fixed sizes, several outputs, finished maps."""

import numpy as np
import pytest
import torch
from helpers_onnx import export as write
from helpers_refusals import refused
from helpers_sized_pictures import pictures
from PIL import Image

from miqa.errors import CheckpointError
from miqa.machines import OnnxMachine

# Exporters warn of each branch that they cannot follow.
pytestmark = pytest.mark.filterwarnings('ignore')
pytest.importorskip('onnx', reason="onnx is missing: pip install -e '.[export]'")
pytest.importorskip('onnxruntime', reason="onnxruntime is missing: pip install -e '.[export]'")

PLAIN = {'mean': (0, 0, 0), 'std': (1, 1, 1)}


@pytest.fixture
def export(tmp_path):
    """Return a function that writes an ONNX file of a function of an image."""
    return lambda function, example, *more, **options: write(function, example, tmp_path / 'x.onnx', *more, **options)


def means(x):
    return x.float().mean((2, 3)) / 50


def stretched(image, size):
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


@pytest.mark.parametrize('last', [False, True])
def test_pixels_of_whole_numbers_and_channels_last_are_given_as_the_file_takes_them(export, last):
    example = torch.zeros(1, 3, 16, 24, dtype=torch.uint8)
    example = example.permute(0, 2, 3, 1).contiguous() if last else example
    path = export((lambda x: means(x.permute(0, 3, 1, 2))) if last else means, example)
    machine = OnnxMachine(path)
    assert machine.prepare.size == (16, 24)
    for answer, image in zip(machine.predict(pictures(4)), pictures(4), strict=True):
        logits = torch.from_numpy(stretched(image, (16, 24)).mean((0, 1)) / 50)
        np.testing.assert_allclose(answer.probabilities, logits.softmax(0), atol=1e-5)
    refused(ValueError, 'leave mean and std out', OnnxMachine, path, **PLAIN)


def test_a_size_that_the_file_does_not_take_is_said_before_the_first_picture(export):
    path = export(means, torch.rand(1, 3, 16, 24))
    for size in ((224, 224), 16, None):
        refused(ValueError, 'takes pictures of 16 x 24 pixels.*Leave size out', OnnxMachine, path, size=size)
    for size in ((0, 5), (1, 2, 3), 'large', (1.5, 2)):
        refused(ValueError, 'size must be', OnnxMachine, path, size=size)
    free = export(means, torch.rand(1, 3, 16, 24), free=(2, 3))
    assert OnnxMachine(free).prepare.size == (224, 224) and OnnxMachine(free, size=32).prepare.size == (32, 32)


@pytest.mark.parametrize('shape', [(1, 1, 8, 8), (3, 8, 8), (3, 3, 8, 8)])
def test_grey_pictures_single_ones_and_fixed_batches_are_fed_as_the_file_takes_them(export, shape):
    machine = OnnxMachine(export(lambda x: 9 * x.mean((-2, -1)), torch.rand(*shape)), **PLAIN)
    for answer, image in zip(machine.predict(pictures(4)), pictures(4), strict=True):
        grey = np.asarray(Image.fromarray(stretched(image, (8, 8))).convert('L')) / 255
        logits = [0, 9 * grey.mean()] if shape[1] == 1 else 9 / 255 * stretched(image, (8, 8)).mean((0, 1))
        np.testing.assert_allclose(answer.probabilities, torch.tensor(logits).softmax(0), atol=1e-5)
    if len(shape) == 4 and shape[0] > 1:
        joined = OnnxMachine(export(lambda x: x.mean((-2, -1)).reshape(1, -1), torch.rand(*shape)))
        refused(ValueError, 'takes 3 images at a time, but the shape', joined.predict, pictures(1))


@pytest.mark.parametrize(('example', 'message'), [
    (torch.rand(1, 4, 8, 8), 'of 4 channels'), (torch.rand(3, 8), 'one input'), (torch.rand(1, 5, 8), 'one input'),
])  # fmt: skip
def test_an_input_that_cannot_take_a_picture_is_refused(export, example, message):
    refused(ValueError, message, OnnxMachine, export(lambda x: x.flatten(1), example))


@pytest.mark.parametrize('normal', [{'mean': (0,)}, {'std': (1, 0, 1)}])
def test_values_that_normalise_nothing_are_refused(export, normal):
    refused(ValueError, 'three numbers each', OnnxMachine, export(means, torch.rand(1, 3, 8, 8)), **normal)


def test_of_several_outputs_the_named_one_is_read(export):
    path = export(lambda x: (x.mean((2, 3)), -3 * x.mean((2, 3))), torch.rand(1, 3, 8, 8), ('features', 'scores'))
    first, named = (OnnxMachine(path, logits_name=name, **PLAIN) for name in (None, 'scores'))
    (image,) = pictures(1)
    one, other = first.predict([image])[0].probabilities, named.predict([image])[0].probabilities
    assert first.fingerprint != named.fingerprint and one.argmax() == other.argmin()
    refused(ValueError, "no output 'logit'; it has features, scores", OnnxMachine, path, logits_name='logit')


def test_probabilities_that_are_taken_for_logits_are_noticed(export):
    path = export(lambda x: means(x).softmax(1), torch.rand(1, 3, 8, 8))
    refused(ValueError, "Say outputs='probabilities'", OnnxMachine(path).predict, pictures(1))
    (answer,) = OnnxMachine(path, outputs='probabilities').predict(pictures(1))
    assert answer.probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_a_finished_map_of_classes_is_enlarged_without_mixing_indices(export):
    path = export(lambda x: (x[:, :1] > 0.5).long() * 7, torch.rand(1, 3, 8, 8))
    image = np.zeros((16, 24, 3), np.uint8)
    image[:, 12:] = 255
    (answer,) = OnnxMachine(path, 'seg', **PLAIN).predict([image])
    np.testing.assert_array_equal(answer.labels, (image[..., 0] > 127) * 7)


def test_logits_with_channels_last_are_read_so(export):
    path = export(lambda x: torch.cat([x, 1 - x], 3)[..., [0, 3]], torch.rand(1, 8, 8, 3))
    image = np.zeros((8, 8, 3), np.uint8)
    image[:4] = 255
    (answer,) = OnnxMachine(path, 'seg', **PLAIN).predict([image])
    np.testing.assert_array_equal(answer.labels, np.where(image[..., 0] > 0, 0, 1))


def test_a_map_of_one_channel_is_read_only_as_what_its_values_can_be(export):
    path = export(lambda x: x[:, :1], torch.rand(1, 3, 8, 8))
    image = pictures(1)[0]
    refused(ValueError, "outputs='scores'", OnnxMachine(path, 'seg', **PLAIN).predict, [image])
    refused(ValueError, 'one channel of logits', OnnxMachine(path, 'seg', outputs='scores').predict, [image])
    small = np.tile(np.repeat(np.array([[10], [240]], np.uint8), 4, 0)[..., None], (1, 8, 3))
    for machine in (OnnxMachine(path, 'seg', **PLAIN, outputs='scores'), OnnxMachine(path, 'seg')):
        np.testing.assert_array_equal(machine.predict([small])[0].labels, small[..., 0] > 127)


def test_boxes_in_the_order_of_tensorflow(export):
    def found(x):
        one = x.float().mean() * 0
        return torch.tensor([[[0.1, 0.2, 0.5, 0.6]]]) + one, torch.tensor([[0.9]]) + one, torch.tensor([[3.0]]) + one

    names = ('detection_boxes', 'detection_scores', 'detection_classes')
    path = export(found, torch.zeros(1, 8, 8, 3, dtype=torch.uint8), names, free=(1, 2))
    roles = dict(zip(('boxes_name', 'scores_name', 'labels_name'), names, strict=True))
    machine = OnnxMachine(
        path, 'det', size=None, layout_options={'coordinates': 'relative', 'corners': 'yxyx'}, **roles
    )
    (answer,) = machine.predict([np.zeros((40, 100, 3), np.uint8)])
    np.testing.assert_allclose(answer.boxes, [[20, 4, 60, 20]], atol=1e-4)
    assert answer.labels.tolist() == [3]
    refused(ValueError, 'order of corners', OnnxMachine, path, 'det', layout_options={'corners': 'xxyy'}, **roles)


def test_boxes_that_end_with_their_score(export):
    # As MMDeploy writes them: dets (1, N, 5) and labels (1, N).
    def found(x):
        nothing = x.mean() * 0
        return torch.tensor([[[1.0, 2, 5, 6, 0.4], [2, 2, 8, 8, 0.9]]]) + nothing, torch.tensor([[3.0, 1.0]]) + nothing

    path = export(found, torch.rand(1, 3, 8, 8), ('dets', 'labels'))
    (answer,) = OnnxMachine(path, 'det', boxes_name='dets', **PLAIN).predict([np.zeros((8, 8, 3), np.uint8)])
    np.testing.assert_allclose(answer.boxes, [[2, 2, 8, 8], [1, 2, 5, 6]], atol=1e-4)
    np.testing.assert_allclose(answer.scores, [0.9, 0.4], atol=1e-6)
    assert answer.labels.tolist() == [1, 3]


@pytest.mark.parametrize(('shapes', 'message'), [
    (((1, 3, 7), (1, 3), (1, 3)), r'boxes is \(1, 3, 7\)'), (((1, 3, 4), (1, 3, 2), (1, 3)), '3 boxes, 6 scores and 3'),
])  # fmt: skip
def test_outputs_that_are_no_finished_detections_are_refused(export, shapes, message):
    def found(x):
        return tuple(torch.zeros(shape) + x.mean() * 0 for shape in shapes)

    path = export(found, torch.rand(1, 3, 8, 8), ('boxes', 'scores', 'labels'))
    refused(ValueError, message, OnnxMachine(path, 'det', **PLAIN).predict, pictures(1))


@pytest.mark.parametrize('task', ['cls', 'det', 'seg'])
def test_outputs_of_nan_are_no_answer(export, task):
    shapes = {'cls': [(1, 4)], 'det': [(1, 3, 4), (1, 3), (1, 3)], 'seg': [(1, 4, 8, 8)]}[task]
    names = {'det': ('boxes', 'scores', 'labels')}.get(task, ('logits',))

    def answer(x):
        outputs = [torch.rand(shape) + x.mean() * 0 for shape in shapes]
        outputs[min(1, len(outputs) - 1)][0, 1:2] = float('nan')
        return tuple(outputs)

    path = export(answer, torch.rand(1, 3, 8, 8), names)
    refused(ValueError, r'\bNaN\b', OnnxMachine(path, task, **PLAIN).predict, [np.zeros((8, 8, 3), np.uint8)])


def test_what_machines_were_called_before_by_their_fingerprint_stays():
    """Responses of earlier versions are continued: options that came later count only where they are used."""
    from miqa.machines.onnx_layouts import LayoutOptions

    assert 'corners' not in str(LayoutOptions({}))


@pytest.mark.parametrize(('operator', 'opset', 'message'), [
    ('EfficientNMS_TRT', 13, "the operator 'EfficientNMS_TRT', which ONNX Runtime does not have.*without it"),
    ('Relu', 99, 'cannot compute: .*lower opset'), ('Det', 13, 'cannot compute: .*lower opset'),
])  # fmt: skip
def test_an_operator_that_the_runtime_lacks_is_no_damage(tmp_path, operator, opset, message):
    from onnx import TensorProto, helper, save

    kind = TensorProto.DOUBLE if operator == 'Det' else TensorProto.FLOAT
    tensors = [helper.make_tensor_value_info(name, kind, [1, 3, 8, 8]) for name in 'xy']
    graph = helper.make_graph([helper.make_node(operator, ['x'], ['y'])], 'g', tensors[:1], tensors[1:])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)], ir_version=8), tmp_path / 'x.onnx')
    refused(CheckpointError, message, OnnxMachine, tmp_path / 'x.onnx')
