"""What a machine may answer: what cannot be is its picture's alone, or ends the run with a sentence."""

import functools

import numpy as np
import pytest
import torch
from helpers_machines import brightness_classes, save, write_cls_database, write_det_database
from helpers_refusals import refused

from miqa.labelling import label_database
from miqa.machines import CallableMachine, ResponseFolder, list_sources, run_machine
from miqa.machines.answering import PATIENCE, check_answer
from miqa.machines.base import ClassPrediction, DetectionPrediction, SegmentationPrediction
from miqa.machines.callable_machine import as_prediction
from miqa.machines.masks import encode_masks

SIZE = (30, 40)
BRIGHT = np.full((*SIZE, 3), 255, np.uint8)
ONE = {'boxes': np.zeros((1, 4)), 'scores': [1], 'labels': [0]}


def detection(box=(1, 2, 5, 6), score=0.5, label=0, mask=None):
    arrays = np.array([box], np.float32), np.array([score], np.float32), np.array([label])
    return DetectionPrediction(*arrays, None if mask is None else encode_masks(mask))


@pytest.mark.parametrize(('answer', 'message'), [
    (detection(score=87), 'percent'), (detection(score=-3), 'logits'),
    (detection(box=(10, 10, 4, 20)), 'ends before it begins'),
    (detection(label=2), 'class of a detection is 2, but it names 2'),
    (detection(label=-1), 'class of a detection is -1'), (detection(mask=np.ones((1, 8, 9), bool)), '9x8 pixels'),
    (SegmentationPrediction(np.zeros((3, 4), np.uint8)), '4x3 pixels'),
    (SegmentationPrediction(np.full(SIZE, 7, np.uint8)), 'class of a pixel is 7'),
    (ClassPrediction(np.array([0.2, 0.3, 0.5], np.float32)), '3 probabilities, but 2 names'),
])  # fmt: skip
def test_an_answer_that_cannot_be_is_refused_with_a_sentence(answer, message):
    refused(ValueError, message, check_answer, answer, ('a', 'b'), SIZE)


def test_answers_at_the_border_of_what_can_be_are_taken():
    for answer in (detection(score=1.0), detection(score=0, label=1), detection(box=(3, 3, 3, 3))):
        check_answer(answer, ('a', 'b'), SIZE)
    check_answer(detection(label=90), None, SIZE)
    none = DetectionPrediction(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), [])
    check_answer(none, ('a',), SIZE)


@pytest.mark.parametrize(
    ('answer', 'task', 'message'),
    [
        ({'boxes': np.zeros((4, 2)), 'scores': [1, 1], 'labels': [0, 0]}, 'det', r'Boxes \(N, 4\)'),
        ({'boxes': np.zeros((1, 4)), 'scores': [1], 'labels': [0.5]}, 'det', 'whole numbers'),
        ({'boxes': np.zeros((1, 4)), 'scores': [1], 'labels': [np.nan]}, 'det', 'whole numbers'),
        ({**ONE, 'masks': np.full((1, 6, 6), 0.4)}, 'ins', 'binary'),
        ({**ONE, 'masks': np.eye(6)[None] * 0.5 + 0.5}, 'ins', 'binary'),
        ({**ONE, 'masks': np.zeros((1, 1, 6, 6))}, 'ins', r'\(N, H, W\)'),
        (np.full(SIZE, 0.5), 'seg', 'whole numbers'),
    ],
)  # fmt: skip
def test_arrays_of_a_wrong_kind_are_refused(answer, task, message):
    refused(ValueError, message, as_prediction, answer, task, 'f')


def test_tensors_that_know_their_gradient_and_masks_of_255_are_understood():
    boxes = torch.tensor([[1.0, 2, 3, 4]], requires_grad=True)
    mask = np.zeros((1, 6, 8), np.uint8)
    mask[0, 2:4] = 255
    answer = {
        'boxes': boxes, 'scores': torch.tensor([0.5]), 'labels': torch.tensor([2]), 'masks': torch.from_numpy(mask),
    }  # fmt: skip
    result = as_prediction(answer, 'ins', 'f')
    assert result.boxes.tolist() == [[1, 2, 3, 4]] and result.masks == encode_masks(mask > 0)


class Eyes:
    """Something that can be called and is no function."""

    def __call__(self, images):
        return brightness_classes(images)


@pytest.mark.parametrize('instance', [Eyes(), functools.partial(brightness_classes)])
def test_whatever_can_be_called_is_a_machine(instance):
    machine = CallableMachine(instance, 'cls', 'thing')
    assert ':' in machine.origin and len(machine.fingerprint) == 64
    assert machine.predict([np.full((*SIZE, 3), 215, np.uint8)])[0].probabilities.argmax() == 2


def test_what_cannot_be_called_and_a_module_that_is_not_there_are_said_in_a_sentence():
    refused(ValueError, 'cannot be called', CallableMachine, 3, 'cls', 'three')
    refused(ImportError, 'export PYTHONPATH=.', CallableMachine, 'no_such_package.detect:run', 'cls', 'x')


def test_memory_that_does_not_suffice_is_said_with_the_option_that_helps(tmp_path):
    def greedy(images):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')

    sources = list_sources(write_cls_database(tmp_path), 'cls')
    with pytest.raises(ValueError, match='memory of cpu does not suffice for 12 pictures.*--batch-size 1'):
        run_machine(CallableMachine(greedy, 'cls', 'greedy'), sources, tmp_path / 'r', progress=False)


def test_a_machine_that_fails_everywhere_ends_the_run_with_a_sentence(tmp_path):
    def wrong(images):
        return images[0]['nothing']

    sources = list_sources(write_cls_database(tmp_path), 'cls')
    with pytest.raises(ValueError, match='wrong fails on every picture. IndexError: only integers'):
        run_machine(CallableMachine(wrong, 'cls', 'wrong'), sources, tmp_path / 'r', progress=False)


def test_what_a_machine_changes_for_the_whole_process_is_put_back(tmp_path):
    import cv2

    def settings():
        return {
            'threads': (torch.get_num_threads(), cv2.getNumThreads()),
            'type': torch.get_default_dtype(),
            'gradients': torch.is_grad_enabled(),
            'products': torch.get_float32_matmul_precision(),
            'cudnn': torch.backends.cudnn.benchmark,
        }

    # Others in this process may have changed some before.
    before = settings()

    def rude(images):
        torch.set_num_threads(before['threads'][0] + 3)
        cv2.setNumThreads(before['threads'][1] + 3)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(not before['gradients'])
        torch.set_float32_matmul_precision('medium')
        torch.backends.cudnn.benchmark = not before['cudnn']
        assert all(value != before[name] for name, value in settings().items())
        return brightness_classes(images)

    sources = list_sources(write_cls_database(tmp_path), 'cls')
    run_machine(CallableMachine(rude, 'cls', 'rude'), sources, tmp_path / 'r', progress=False)
    assert settings() == before


def detector(kind, image):
    """An answer about a bright picture that is not valid in the way ``kind``; nothing about others."""
    right = {'boxes': [[10, 5, 30, 25]], 'scores': [0.9], 'labels': [0]}
    if image.max() < 200:
        return {'boxes': [], 'scores': [], 'labels': []}
    return right if kind is None else {**right, **kind}


@pytest.mark.parametrize(
    ('kind', 'message'),
    [({'scores': [90.0]}, 'percent'), ({'boxes': [[30, 25, 10, 5]]}, 'before'), ({'scores': [np.nan]}, 'finite')],
)
def test_one_answer_that_is_not_valid_costs_its_picture_alone(tmp_path, kind, message):
    sources = list_sources(write_det_database(tmp_path), 'det')
    victim = sources[0].folder / sources[0].versions[0]
    seen = np.zeros((*SIZE, 3), np.uint8)
    seen[:3, :3], seen[5:25, 10:30] = (250, 10, 10), 255
    save(victim, seen)

    def eyes(images):
        return [detector(kind if image[0, 0, 0] == 250 else None, image) for image in images]

    machine = CallableMachine(eyes, 'det', 'eyes', classes=['square'])
    counts = run_machine(machine, sources, tmp_path / 'r', progress=False)
    assert counts == {'images': 8, 'kept': 0, 'unreadable': 1}
    ((name, (reason, _)),) = ResponseFolder(tmp_path / 'r').unreadable().items()
    assert name == victim.name and message in reason


def test_a_machine_with_nothing_but_answers_that_are_not_valid_ends_the_run(tmp_path):
    sources = list_sources(write_cls_database(tmp_path, values=[230] * (PATIENCE // 4 + 1)), 'cls')
    machine = CallableMachine(lambda images: [detector({'scores': [90.0]}, BRIGHT) for image in images], 'det', 'm')
    with pytest.raises(
        ValueError, match=f'm has given {PATIENCE} answers that are not valid, and none that is.*percent'
    ):
        run_machine(machine, sources, tmp_path / 'r', progress=False)


def test_a_machine_that_is_broken_keeps_no_answer_of_a_small_database_either(tmp_path):
    sources = list_sources(write_det_database(tmp_path), 'det')
    percent = CallableMachine(lambda images: [detector({'scores': [90.0]}, i) for i in images], 'det', 'm')
    with pytest.raises(ValueError, match='m has given 6 answers that are not valid'):
        run_machine(percent, sources, tmp_path / 'r', progress=False)
    assert ResponseFolder(tmp_path / 'r').parts() == []


def test_a_class_without_a_name_ends_the_run_and_names_picture_and_remedy(tmp_path):
    sources = list_sources(write_det_database(tmp_path), 'det')
    off_by_one = CallableMachine(
        lambda images: [detector({'labels': [1]}, i) for i in images], 'det', 'm', classes=['square']
    )
    with pytest.raises(ValueError, match=r'm on 000000000001.*png: The class of a detection is 1.*Correct classes='):
        run_machine(off_by_one, sources, tmp_path / 'r', progress=False)


def seen_squares(images):
    return [detector(None, image) for image in images]


def test_names_of_classes_that_are_corrected_later_count_from_then_on(tmp_path):
    write_det_database(tmp_path)
    folder = tmp_path / 'miqa_det/responses/m'

    def label(classes):
        machine = CallableMachine(seen_squares, 'det', 'm', classes=classes)
        run_machine(machine, list_sources(tmp_path, 'det'), folder, progress=False)
        return label_database(tmp_path, 'det', overwrite=True, progress=False)['statistics']['accuracy']

    assert label(['circle', 'square'])['mean'] == 0
    assert label(['square', 'circle'])['mean'] > 0.3
    assert ResponseFolder(folder).manifest['machine']['classes'] == ['square', 'circle']
