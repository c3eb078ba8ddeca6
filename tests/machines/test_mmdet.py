"""MMDetection for real: a detector and a segmenter over COCO images. Needs compiled operators."""

import importlib

import numpy as np
import pytest
from helpers_refusals import refused


def missing_operators() -> str | None:
    try:
        importlib.import_module('mmcv._ext')
        importlib.import_module('mmdet')
    except ImportError as error:
        return f"{error}. Install MMDetection and MMCV's operators with: bash tools/install_machines.sh"
    return None


REASON = missing_operators()
pytestmark = [pytest.mark.machines, pytest.mark.skipif(REASON is not None, reason=str(REASON))]

DETECTOR, SEGMENTER = 'rtmdet_tiny_8xb32-300e_coco', 'rtmdet-ins_tiny_8xb32-300e_coco'
# Untrained networks find something only if everything counts.
ANYTHING = {'model.test_cfg.score_thr': 0.0}


@pytest.fixture(scope='module')
def images(shared_data):
    from miqa.pictures import read_image

    paths = sorted((shared_data / 'tiny_coco/train2017').glob('*.jpg'))[:3]
    return [read_image(path) for path in paths]


def build(config, task, seed=0, **options):
    import torch

    from miqa.machines import MMDetMachine

    torch.manual_seed(seed)
    return MMDetMachine(config, None, task, cfg_options=dict(ANYTHING), **options)


@pytest.fixture(scope='module')
def detector():
    return build(DETECTOR, 'det')


@pytest.fixture(scope='module')
def segmenter():
    return build(SEGMENTER, 'ins')


def inference(network, image):
    """MMDetection's own API, in its own scope; it takes OpenCV's channel order."""
    from mmdet.apis import inference_detector
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmdet'):
        return inference_detector(network, image[..., ::-1]).pred_instances


def test_another_packages_scope_does_not_stay_behind(detector):
    from mmengine.registry import DefaultScope

    scope = DefaultScope.get_current_instance()
    assert scope is None or scope.scope_name != 'mmdet'


def test_boxes_are_those_of_mmdetections_own_inference(detector, images):
    theirs = inference(detector.network, images[0])
    mine = detector.predict(images[:1])[0]
    assert len(mine.scores) > 0
    np.testing.assert_allclose(mine.boxes, theirs.bboxes.numpy(), atol=1e-4)
    np.testing.assert_allclose(mine.scores, theirs.scores.numpy(), atol=1e-6)
    np.testing.assert_array_equal(mine.labels, theirs.labels.numpy())


def test_boxes_lie_in_the_image_and_classes_are_cocos(detector, images):
    for image, answer in zip(images, detector.predict(images), strict=True):
        height, width = image.shape[:2]
        assert (answer.boxes >= 0).all() and (answer.boxes <= [width, height, width, height]).all()
    assert len(detector.classes) == 80 and detector.classes[0] == 'person'


def test_a_batch_of_mixed_sizes_answers_as_single_images_do(detector, images):
    mixed = [images[0], images[1][:200, :300], images[2]]
    for alone, together in zip((detector.predict([image])[0] for image in mixed), detector.predict(mixed), strict=True):
        np.testing.assert_allclose(alone.scores, together.scores, atol=1e-5)
        # An untrained network's scores nearly tie, so rounding lets the suppression of overlaps keep another box.
        assert (np.abs(alone.boxes - together.boxes).max(1) < 0.01).mean() > 0.97


def test_masks_have_the_images_size_and_are_those_of_mmdetection(segmenter, images):
    from pycocotools import mask

    (answer,) = segmenter.predict(images[:1])
    theirs = inference(segmenter.network, images[0]).masks.numpy()
    assert len(answer.masks) == len(theirs) > 0
    for i in range(0, len(theirs), 20):
        assert answer.masks[i]['size'] == list(images[0].shape[:2])
        np.testing.assert_array_equal(mask.decode(answer.masks[i]).astype(bool), theirs[i])


def test_a_detector_is_refused_as_a_segmenter(images):
    refused(ValueError, 'no masks', build(DETECTOR, 'ins').predict, images[:1])


def test_fingerprints_follow_weights_and_pipeline(detector):
    assert build(DETECTOR, 'det').fingerprint == detector.fingerprint != build(DETECTOR, 'det', seed=1).fingerprint


def test_an_unknown_name_or_missing_file_is_said():
    from miqa.machines import MMDetMachine

    with pytest.raises(ValueError, match="Did you mean 'rtmdet_tiny_8xb32-300e_coco'"):
        MMDetMachine('rtmdet_tiny_8xb32-300e_cocos', None, 'det')
    refused(FileNotFoundError, r'no\.pth', MMDetMachine, DETECTOR, 'no.pth', 'det')


def test_a_detector_and_a_segmenter_label_a_database_of_coco_images(shared_data, tmp_path, detector, segmenter):
    """Two images and a version of each with 16 colours; the labels are about what these untrained networks say."""
    import json
    import shutil

    import pandas as pd
    from PIL import Image

    from miqa.labelling import ScoreOptions, label_database
    from miqa.machines import list_sources, responses_folder, run_machine
    from miqa.taxonomy import Version, version_name

    folder = tmp_path / 'miqa_det'
    (folder / 'src_images').mkdir(parents=True)
    content = json.loads((shared_data / 'tiny_coco/annotations/instances_train2017.json').read_text())
    (folder / 'ground_truth.json').write_text(json.dumps(content))
    with_objects = {item['image_id'] for item in content['annotations'] if not item['iscrowd']}
    for number in sorted(with_objects)[:2]:
        source = f'{number:012d}'
        shutil.copy(shared_data / f'tiny_coco/train2017/{source}.jpg', folder / 'src_images')
        with Image.open(folder / f'src_images/{source}.jpg') as picture:
            target = folder / 'images' / source / version_name(Version(source, 'jpeg_compression', 5, 5))
            target.parent.mkdir(parents=True)
            picture.convert('RGB').quantize(16).convert('RGB').save(target)
    for machine in (detector, segmenter):
        out = responses_folder(tmp_path, machine.task) / machine.name
        counts = run_machine(
            machine, list_sources(tmp_path, machine.task), out, score_threshold=0, max_detections=30, progress=False
        )
        assert counts == {'images': 4, 'kept': 0, 'unreadable': 0}
        manifest = label_database(tmp_path, machine.task, options=ScoreOptions(confidence=0), progress=False)
        assert manifest['images'] == 2 and manifest['excluded'] == {}
        for path in (tmp_path / f'miqa_{machine.task}/labels').glob('*.csv'):
            values = pd.read_csv(path)['AP_weighted_avg']
            assert len(values) == 1 and values.between(0, 1).all()
