"""Models of Ultralytics give, as machines, what Ultralytics gives by hand; random weights in files."""

import numpy as np
import pytest
from helpers_refusals import refused
from helpers_sized_pictures import pictures
from helpers_yolo import write_yolo

from miqa.machines import UltralyticsMachine
from miqa.machines.masks import encode_masks

ultralytics = pytest.importorskip('ultralytics', reason="ultralytics is missing: pip install -e '.[ultralytics]'")


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """One file for each task, made of Ultralytics' own descriptions of networks."""
    folder = tmp_path_factory.mktemp('yolo')
    return {task: write_yolo(folder / f'{task}.pt', task) for task in ('det', 'ins', 'cls')}


#: Random weights are sure of nothing.
OPTIONS = {'imgsz': 64, 'conf': 1e-6, 'max_det': 20}


def by_hand(file, image, **options):
    (result,) = ultralytics.YOLO(str(file)).predict(image[..., ::-1], device='cpu', verbose=False, **options)
    return result


@pytest.mark.parametrize('task', ['det', 'ins'])
def test_boxes_and_masks(files, task):
    machine = UltralyticsMachine(files[task], task, options=OPTIONS)
    together, count = machine.predict(pictures()), 0
    assert len(machine.classes) == 80
    for answer, image in zip(together, pictures(), strict=True):
        truth = by_hand(files[task], image, retina_masks=True, **OPTIONS)
        count += len(answer.scores)
        for mine in (answer, *machine.predict([image])):
            np.testing.assert_allclose(mine.boxes, truth.boxes.xyxy.numpy(), atol=1e-4)
            np.testing.assert_array_equal(mine.labels, truth.boxes.cls.numpy())
            if task == 'ins' and len(mine.scores):
                assert mine.masks == encode_masks(truth.masks.data.numpy() > 0.5)
                assert mine.masks[0]['size'] == list(image.shape[:2])
    assert count > 20


def test_classes(files):
    machine = UltralyticsMachine(files['cls'], 'cls', options={'imgsz': 64})
    for answer, image in zip(machine.predict(pictures()), pictures(), strict=True):
        truth = by_hand(files['cls'], image, imgsz=64).probs.data.numpy()
        np.testing.assert_allclose(answer.probabilities, truth, atol=1e-6)


def test_an_exported_file(files):
    onnx = ultralytics.YOLO(str(files['det'])).export(format='onnx', imgsz=64, simplify=False, verbose=False)
    machine = UltralyticsMachine(onnx, 'det', options=OPTIONS)
    for answer, image in zip(machine.predict(pictures()), pictures(), strict=True):
        np.testing.assert_allclose(answer.boxes, by_hand(onnx, image, **OPTIONS).boxes.xyxy.numpy(), atol=1e-4)


def test_nothing_found_is_an_empty_answer(files):
    (answer,) = UltralyticsMachine(files['ins'], 'ins', threshold=0.99, options={'imgsz': 64}).predict(pictures(1))
    assert (answer.boxes.shape, answer.masks) == ((0, 4), [])


def test_the_fingerprint_follows_file_and_options(files):
    one = UltralyticsMachine(files['det'], 'det')
    assert one.fingerprint == UltralyticsMachine(files['det'], 'det', name='x').fingerprint
    assert one.fingerprint != UltralyticsMachine(files['det'], 'det', options={'iou': 0.5}).fingerprint
    assert 'AGPL-3.0' in one.describe()['library']


@pytest.mark.parametrize(('file', 'task', 'error', 'message'), [
    ('yolov8n.pt', 'det', FileNotFoundError, 'are not fetched by their name'),
    ('yolov8n.yaml', 'det', ValueError, r'must end in \.pt'), ('yolov8n.pt', 'seg', ValueError, 'task of Ultralytics'),
])  # fmt: skip
def test_what_is_wrong_is_said(file, task, error, message):
    refused(error, message, UltralyticsMachine, file, task)


def test_a_file_for_another_task_is_refused(files):
    refused(ValueError, 'holds a model for "classify", which does not do det', UltralyticsMachine, files['cls'], 'det')
    assert UltralyticsMachine(files['ins'], 'det', options=OPTIONS).predict(pictures(1))[0].masks is None


def test_an_option_that_is_unknown_and_a_file_that_is_damaged_are_said_in_a_sentence(files, tmp_path):
    with pytest.raises(ValueError, match="Unknown argument of Ultralytics 'imgz'. Did you mean 'imgsz'"):
        UltralyticsMachine(files['det'], 'det', options={'imgz': 64})
    for content in (b'', b'abc', files['det'].read_bytes()[:5000]):
        (tmp_path / 'bad.pt').write_bytes(content)
        refused(ValueError, r'bad\.pt cannot be opened by Ultralytics', UltralyticsMachine, tmp_path / 'bad.pt', 'det')
