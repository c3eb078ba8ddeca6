"""A network's file among the machines of a database is tried on its pictures, said, and kept beside the results."""

import json

import numpy as np
import pytest
from helpers_detector_files import BOXES, LABELS, NAMES, SIZE, centred, chances, everywhere, write
from PIL import Image

from miqa.labelling.recognised_machines import complete_configs, given_classes, trial_of_folder
from miqa.machines import build_machine, load_machine_configs, machine_configs_of

pytest.importorskip('onnx', reason="onnx is missing: pip install -e '.[export]'")
pytest.importorskip('onnxruntime', reason="onnxruntime is missing: pip install -e '.[export]'")


@pytest.fixture
def own(tmp_path):
    """A folder of pictures with COCO annotations, and a YOLO without any metadata that finds what is annotated."""
    rng, images, objects = np.random.default_rng(0), [], []
    (tmp_path / 'shots').mkdir()
    for number in range(1, 4):
        picture = rng.integers(0, 255, (SIZE[0] * 2, SIZE[1] * 2, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / 'shots' / f'{number:012d}.png')
        images.append({'id': number, 'file_name': f'{number:012d}.png', 'width': SIZE[1] * 2, 'height': SIZE[0] * 2})
        for box, label in zip((BOXES * 2).tolist(), LABELS.tolist(), strict=True):
            sides = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            objects.append({'id': len(objects) + 1, 'image_id': number, 'category_id': label + 1, 'bbox': sides,
                            'area': sides[2] * sides[3], 'iscrowd': 0})  # fmt: skip
    categories = [{'id': i + 1, 'name': name} for i, name in enumerate(NAMES)]
    coco = {'images': images, 'annotations': objects, 'categories': categories}
    (tmp_path / 'shots.json').write_text(json.dumps(coco))
    head = np.concatenate([centred(everywhere()), chances()], 1).T[None]
    write(tmp_path / 'net.onnx', {'output0': head})
    return tmp_path


def trial(own):
    return trial_of_folder(own / 'shots', 'det', own / 'shots.json')


def test_a_file_is_recognised_once_and_its_config_can_be_kept(own):
    messages = []
    configs = machine_configs_of([str(own / 'net.onnx')], 'det')
    options = {'root': own / 'data', 'write_config': own / 'net.py', 'report': messages.append}
    complete_configs(configs, lambda: trial(own), root=own / 'data', report=messages.append, keep=False)  # of a plan
    assert not (own / 'data').exists()
    (config,) = complete_configs(configs, lambda: trial(own), **options)
    assert any('3 pictures' in sentence for sentence in messages) and config['classes'] == list(NAMES)
    messages.clear()

    def never():
        raise AssertionError('what is known is not tried again')

    (second,) = complete_configs(configs, never, root=own / 'data', report=messages.append, keep=False)
    assert len(messages) == 1 and 'detected before' in messages[0]
    for options in ({'classes': ['a', 'b', 'c']}, {'options': {'border': 0}}):  # as a gate takes what it was made with
        (kept,) = complete_configs(configs, never, root=own / 'data', of_any_options=True, keep=False, **options)
        assert kept == second
    (written,) = load_machine_configs(own / 'net.py')
    image = np.asarray(Image.open(own / 'shots' / '000000000001.png'))
    for one in (config, second, written):
        (answer,) = build_machine(one).predict([image])
        keep = answer.scores > 0.3
        np.testing.assert_allclose(answer.boxes[keep], BOXES * 2, atol=0.02)
        assert answer.labels[keep].tolist() == LABELS.tolist()


def test_a_kept_record_is_of_the_numbers_beside_the_file_too(own):
    import onnx

    data, messages = own / 'net.data', []
    onnx.save(
        onnx.load(own / 'net.onnx'), own / 'net.onnx', save_as_external_data=True, location=data.name, size_threshold=0
    )
    configs = machine_configs_of([str(own / 'net.onnx')], 'det')
    for content in (data.read_bytes(), bytes(data.stat().st_size)):
        data.write_bytes(content)
        complete_configs(
            configs, lambda: trial_of_folder(own / 'shots', 'det'), root=own / 'data', report=messages.append
        )
    assert not [sentence for sentence in messages if 'detected before' in sentence]


def test_a_kept_record_that_names_another_type_of_machine_is_not_used(own):
    def complete():
        configs = machine_configs_of([str(own / 'net.onnx')], 'det')
        return complete_configs(configs, lambda: trial(own), root=own / 'data', report=lambda _: None)

    complete()
    (kept,) = (own / 'data').rglob('net.json')
    record = json.loads(kept.read_text())
    record['config'] = {'type': 'CallableMachine', 'function': 'os:system', 'name': 'x'}
    kept.write_text(json.dumps(record))
    (config,) = complete()
    assert config['type'] == 'OnnxMachine'


def test_what_was_found_out_without_annotations_is_found_out_again_with_them(own):
    configs, notes = machine_configs_of([str(own / 'net.onnx')], 'det'), []
    for annotations in (None, None, own / 'shots.json', own / 'shots.json', None):
        pictures = trial_of_folder(own / 'shots', 'det', annotations)
        complete_configs(configs, lambda pictures=pictures: pictures, root=own / 'data', report=notes.append)
        notes.append('')
    runs = '\n'.join(notes).split('\n\n')
    assert ['detected before' in run for run in runs[:5]] == [False, True, False, True, True]


def test_options_for_files_need_one_file(own):
    with pytest.raises(ValueError, match='one network file, but --machine names 0'):
        complete_configs([], lambda: None, write_config=own / 'x.py')


def test_names_of_classes_are_words_or_one_file(tmp_path):
    (tmp_path / 'names.txt').write_text('car\nbus\n')
    assert given_classes([str(tmp_path / 'names.txt')]) == ['car', 'bus'] == given_classes(['car', 'bus'])
    assert given_classes(None) is None


@pytest.mark.parametrize(('folders', 'annotations', 'indices', 'order'), [
    (('a', 'b'), 'shots', [0, 1], ['a', 'b']), (('n01440764', 'n01484850'), 'shots', [0, 2], [''] * 1000),
    (('a', 'b'), 'filename,class_index\na/1.png,7\nb/1.png,9\n', [7, 9], None),
    (('a', 'b'), 'filename,class\na/1.png,z\nb/1.png,y\n', [1, 0], ['y', 'z']), (('a', '.'), 'shots', [None] * 2, None),
])  # fmt: skip
def test_files_of_classifiers_are_tried_on_pictures_with_their_classes(tmp_path, folders, annotations, indices, order):
    for name in folders:
        (tmp_path / 'shots' / name).mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (8, 8)).save(tmp_path / 'shots' / name / '1.png')
    if annotations != 'shots':
        (tmp_path / 'c.csv').write_text(annotations)
    path = tmp_path / ('shots' if annotations == 'shots' else 'c.csv')
    trial = trial_of_folder(tmp_path / 'shots', 'cls', path)
    assert ([picture.class_index for picture in trial.pictures], trial.categories) == (indices, order)


@pytest.mark.parametrize('named', [True, False])
def test_files_of_segmenters_are_tried_on_pictures_with_their_maps(tmp_path, named):
    for folder, value in (('shots', 9), ('maps', 1)):
        (tmp_path / folder).mkdir()
        Image.new('L', (8, 8), value).save(tmp_path / folder / '1.png')
    if named:
        (tmp_path / 'maps/classes.txt').write_text('a\nb\n')
    (picture,), names = trial_of_folder(tmp_path / 'shots', 'seg', tmp_path / 'maps')
    assert picture.class_map.tolist() == [[1] * 8] * 8 and names == (['a', 'b'] if named else None)
