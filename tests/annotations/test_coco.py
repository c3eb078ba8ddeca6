"""COCO files as annotation tools export them mean what they mean, or are a sentence before anything is made."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers_refusals import refused
from PIL import Image

from miqa.annotations.coco import read_coco
from miqa.annotations.objects import AnnotationError
from miqa.annotations.sizes import TurnedPictures
from miqa.distortions.masks import make_mask
from miqa.distortions.sources import plan_sources
from miqa.labelling.coco_objects import coco_objects

mask_tools = pytest.importorskip('pycocotools.mask')
TOOLS = Path(__file__).parents[2] / 'tools'
POLYGON = [[20, 16, 60, 16, 60, 46, 20, 46]]
NUMBERED = [f'{i:012d}' for i in (1, 2, 3)]


def content(**changes):
    """Three pictures of 160x120 with a square each; ``changes`` go to the annotation that is added."""
    images = [{'id': i, 'file_name': f'{i:012d}.jpg', 'width': 160, 'height': 120} for i in (1, 2, 3)]
    instance = {'category_id': 1, 'bbox': [20, 16, 40, 30], 'area': 1200, 'iscrowd': 0, 'segmentation': POLYGON}
    annotations = [{'id': i, 'image_id': i, **instance} for i in (1, 2, 3)]
    data = {'images': images, 'annotations': annotations, 'categories': [{'id': 1, 'name': 'sq'}]}
    if changes:
        added = {'id': 9, 'image_id': 1, **instance, **changes}
        annotations.append({key: value for key, value in added.items() if value != 'left out'})
    return data


def write(folder, data, encoding='utf-8'):
    path = folder / 'truth.json'
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding=encoding)
    return path


def test_an_ordinary_file_is_read_whole(tmp_path):
    result = coco_objects(str(write(tmp_path, content())), True)
    assert sorted(result.objects) == NUMBERED
    assert result.sizes['000000000002'] == (160, 120) and result.categories == {'sq': 1}
    instances = result.objects['000000000001']
    assert instances.boxes.tolist() == [[20, 16, 60, 46]]
    assert mask_tools.decode(instances.masks[0]).sum() == 40 * 30


@pytest.mark.parametrize('empty', [[], None, 'left out'])
def test_a_box_that_is_missing_is_that_of_the_shape(tmp_path, empty):
    outline = [[20, 16, 70, 16, 70, 46, 20, 46]]
    result = coco_objects(str(write(tmp_path, content(bbox=empty, segmentation=outline))), True).objects['000000000001']
    assert result.boxes.tolist() == [[20, 16, 60, 46], [20, 16, 70, 46]]
    square = np.zeros((120, 160), np.uint8)
    square[10:30, 50:80] = 1
    runs = mask_tools.encode(np.asfortranarray(square))
    shape = {'size': [120, 160], 'counts': runs['counts'].decode()}
    result = coco_objects(str(write(tmp_path, content(bbox=empty, segmentation=shape))), True).objects['000000000001']
    assert result.boxes[1].tolist() == [50, 10, 80, 30]
    assert np.array_equal(mask_tools.decode(result.masks[1]), square)


def test_a_box_without_area_is_left_out_and_counted(tmp_path):
    path = write(tmp_path, content(bbox=[5, 5, 0, 10]))
    assert list(read_coco(path).remarks.values()) == [1]
    assert len(coco_objects(str(path), False).objects['000000000001'].labels) == 1


def test_objects_of_one_box_are_distinguished_by_their_shapes_however_many_there_are(tmp_path):
    data = content()
    (instance,) = data['annotations'][:1]
    runs = [{'size': [120, 160], 'counts': [start, 9, 160 * 120 - start - 9]} for start in range(2)]
    shapes = [*([[20, 16, 60, 16, 60, 46, 20 + i / 1000, 46]] for i in range(20_000)), *runs, *runs, None, [[]]]
    data['annotations'] = [{**instance, 'id': i, 'segmentation': shape} for i, shape in enumerate(shapes)]
    data['annotations'] += [{**each, 'id': i, 'bbox': [20.0, 16, 40, 30.0]} for i, each in enumerate(
        data['annotations'][:5], len(shapes))]  # fmt: skip
    result = read_coco(write(tmp_path, data))
    assert len(result.objects[1]) == 20_003
    assert result.remarks['{} object{s} {are} there twice and {count} once'] == 8


@pytest.mark.parametrize('shape', [[[]], [], None, 'left out'])
def test_an_empty_shape_is_none(tmp_path, shape):
    path = write(tmp_path, content(segmentation=shape))
    assert len(coco_objects(str(path), False).objects['000000000001'].labels) == 2
    with pytest.raises(AnnotationError, match=r'truth\.json: an object of image 1 .* has no segmentation, which ins'):
        coco_objects(str(path), True)


def changed(**changes):
    data = content()
    for name, value in changes.items():
        where, _, field = name.partition('__')
        data[where][0][field] = value
    return data


def two_used_categories():
    data = content()
    data['categories'].append({**data['categories'][0], 'id': 2})
    data['annotations'][0]['category_id'] = 2
    return data


def doubled(what, **changes):
    data = content()
    data[what].append({**data[what][0], **changes})
    return data


@pytest.mark.parametrize(('data', 'message'), [
    (content(bbox=[], segmentation=[]), 'Annotation 9: bbox is missing or empty'),
    (content(bbox=[1, 2, -3, 4]), 'Annotation 9: bbox has the width -3'),
    (content(bbox=[1, 2, 3]), 'Annotation 9: bbox must be four numbers'),
    (content(bbox=['1', 2, 3, 4]), 'Annotation 9: bbox must be four numbers'),
    (content(bbox=[1, 2, float('nan'), 4]), 'Annotation 9: bbox must be four numbers'),
    (content(bbox={'x': 1}), 'Annotation 9: bbox must be four numbers'),
    (content(bbox=[500, 2, 3, 4]), 'Annotation 9: bbox .* outside the image'),
    (content(segmentation=[[10, 10, 40, 40]]), 'Annotation 9: segmentation has a polygon of 4 numbers'),
    (content(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), 'Annotation 9: segmentation has a polygon of 7 numbers'),
    (content(segmentation=[[1, 2, 3, 4, 5, 'x']]), 'Annotation 9: segmentation must be polygons'),
    (content(segmentation=[[1, 2, 3, 4, 5, 10**12]]), 'Annotation 9: segmentation has a polygon .* outside'),
    (content(segmentation='x'), 'Annotation 9: segmentation must be a list'),
    (content(segmentation={'size': [160, 120], 'counts': [19200]}), r'size must be \[height, width\], here \[120'),
    (content(segmentation={'size': [120, 160], 'counts': [5]}), 'damaged run-length'),
    (content(segmentation={'size': [120, 160], 'counts': [-1, 19201]}), 'damaged run-length'),
    (content(segmentation={'size': [120, 160], 'counts': 'PPYo0'}), 'damaged run-length'),
    (content(segmentation={'size': [120, 160], 'counts': '\u20ac'}), 'damaged run-length'),
    (content(segmentation={'size': [120, 160], 'counts': 'o' * 50}), 'damaged run-length'),
    (content(segmentation={'size': [120, 160]}), 'counts must be'),
    (content(segmentation={'counts': 'x'}), 'size must be'),
    (content(image_id=77), 'Annotation 9 belongs to image 77'),
    (content(image_id=None), 'Annotation 9 belongs to image null'),
    (content(category_id=7), 'Annotation 9: category_id is 7'),
    (content(category_id='left out'), 'Annotation 9: category_id is null'),
    (content(iscrowd=3), 'Annotation 9: iscrowd must be 0 or 1'),
    (content(id=1), 'Two annotations have the id 1'),
    (changed(images__width=0), 'Image 1: width and height'),
    (changed(images__width=None), 'Image 1: width and height'),
    (changed(images__height='tall'), 'Image 1: width and height'),
    (changed(images__id=None), 'Image 1 of the list: id must be'),
    (changed(images__id=True), 'Image 1 of the list: id must be'),
    (changed(images__file_name=''), 'Image 1: file_name must be'),
    (changed(images__file_name=7), 'Image 1: file_name must be'),
    (changed(categories__id='x'), 'Category 1 of the list'),
    (changed(categories__name=None), 'Category 1 of the list'),
    (doubled('images'), 'Two images have the id 1'),
    (doubled('images', id=8), 'have one file_name'),
    (doubled('images', id=8, file_name='b/1.jpg'), 'would both get the number 000000000001'),
    (doubled('categories'), 'Two categories have the id 1'),
    (two_used_categories(), 'differ only in case, spaces or dashes: 1 .sq. and 2 .sq.'),
    ({'images': [3], 'annotations': [], 'categories': []}, 'Image 1 of the list must be an object'),
    ({'images': [], 'annotations': [[]], 'categories': []}, 'Annotation 1 of the list must be an object'),
    ({'images': {}, 'annotations': [], 'categories': []}, "'images' must be a list"),
    ({'images': []}, "no 'annotations'"),
    ([], 'holds a list'),
    ('', 'is not JSON'),
    ('{"images": ', 'is not JSON'),
    (json.dumps(content())[:-1] + ', "annotations": []}', "the key 'annotations' stands 2 times"),
    (json.dumps(content()).replace('"id": 1', '"id": 7, "id": 1'), "the key 'id' stands 2 times"),
    ('[' * 100_000, 'nested too deeply'),
    ('{"images":' * 100_000, 'nested too deeply'),
], ids=range(51))  # fmt: skip
def test_what_cannot_be_meant_is_a_sentence_with_file_entry_and_field(tmp_path, data, message):
    assert 'truth.json' in str(refused(AnnotationError, message, coco_objects, str(write(tmp_path, data)), False))


def test_many_problems_are_counted_and_the_first_spelled_out(tmp_path):
    data = content()
    for instance in data['annotations']:
        instance['category_id'] = 9
    data['images'][1]['width'] = -5
    refused(AnnotationError, r'And 1 more of such kinds\. Correct the file', read_coco, write(tmp_path, data))


def test_ids_may_be_texts_of_numbers_and_a_byte_order_mark_may_stand_first(tmp_path):
    data = content()
    for kind, field in (('images', 'id'), ('annotations', 'image_id'), ('annotations', 'category_id')):
        for entry in data[kind]:
            entry[field] = str(entry[field])
    result = coco_objects(str(write(tmp_path, data, 'utf-8-sig')), True)
    assert {name: len(instances.labels) for name, instances in result.objects.items()} == dict.fromkeys(result.sizes, 1)


def test_file_names_may_have_folders_and_backslashes(tmp_path):
    data = content()
    for entry in data['images']:
        entry['file_name'] = f'images\\val\\{entry["file_name"]}'
    assert read_coco(write(tmp_path, data)).find('/data/val/000000000002.jpg') == 2
    assert sorted(coco_objects(str(write(tmp_path, data)), False).objects) == NUMBERED


def test_numbered_names_count_more_than_ids_that_are_off_by_one(tmp_path):
    data = content()
    for entry in data['images']:
        entry['id'] -= 1
    for entry in data['annotations']:
        entry['image_id'] -= 1
        entry['bbox'][0] = entry['bbox'][0] = 10 * entry['image_id'] + 10
    result = coco_objects(str(write(tmp_path, data)), False)
    assert sorted(result.objects) == NUMBERED
    assert result.objects['000000000003'].boxes[0, 0] == 30
    paths = pictures(tmp_path, NUMBERED)
    assert [source.image_id for source in plan_sources(paths, 'det', tmp_path / 'truth.json')] == sorted(result.objects)


def pictures(folder, names, size=(160, 120), **options):
    paths = [folder / 'pictures' / f'{name}.jpg' for name in names]
    for place, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(place).integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(noise).save(path, **options)
    return paths


def test_one_file_name_in_two_folders_is_distinguished_by_them(tmp_path):
    data = content()
    for entry, name in zip(data['images'], ('a/x.jpg', 'b/x.jpg', 'y.jpg'), strict=True):
        entry['file_name'] = name
    result = read_coco(write(tmp_path, data))
    assert result.find('/photos/b/x.jpg') == 2 and result.find('elsewhere/y.jpg') == 3
    refused(AnnotationError, r'2 images named x\.jpg \(a/x\.jpg, b/x\.jpg\)', result.find, '/photos/x.jpg')
    assert result.names() == {**{name: i for i, name in enumerate(NUMBERED, 1)}, 'y': 3}


def test_an_image_without_size_is_drawn_at_the_pictures(tmp_path):
    data = content()
    for entry in data['images']:
        del entry['width'], entry['height']
    paths = pictures(tmp_path, NUMBERED)
    source = plan_sources(paths, 'det', write(tmp_path, data))[0]
    mask, method = make_mask(source.mask, np.zeros((120, 160, 3), np.uint8))
    assert method == 'COCO instances' and (mask > 0).sum() == 40 * 30
    assert coco_objects(str(tmp_path / 'truth.json'), False).sizes['000000000001'] is None
    refused(AnnotationError, 'no width and height, which masks need', coco_objects, str(tmp_path / 'truth.json'), True)


def with_orientation(value):
    exif = Image.Exif()
    exif[274] = value
    return exif


def test_annotations_of_turned_pictures_must_be_of_what_is_shown(tmp_path):
    paths = pictures(tmp_path, NUMBERED, exif=with_orientation(6))
    with pytest.raises(AnnotationError, match='3 pictures before EXIF rotation, as .* for example .*1.jpg.*exiftool'):
        plan_sources(paths, 'det', write(tmp_path, content()))
    data = content()
    for entry in data['images']:
        entry['width'], entry['height'] = 120, 160
    assert len(plan_sources(paths, 'det', write(tmp_path, data))) == 3


@pytest.mark.parametrize('size', [(120, 120), (160, 120)])
def test_turned_pictures_of_ambiguous_size_cause_a_warning(tmp_path, size):
    paths = pictures(tmp_path, NUMBERED, size, exif=with_orientation(3))
    data = content()
    for entry in data['images']:
        entry['width'], entry['height'] = size
    with pytest.warns(TurnedPictures, match='3 pictures are turned .* must be of the picture as shown'):
        plan_sources(paths, 'det', write(tmp_path, data))
    with pytest.warns(TurnedPictures, match='programs that ignore EXIF'):
        plan_sources(paths, 'cls')


def test_the_command_refuses_before_it_makes_anything(tmp_path):
    paths = pictures(tmp_path, NUMBERED)
    command = [sys.executable, TOOLS / 'data' / 'make_distortions.py', paths[0].parent, '--out', tmp_path / 'out']
    command += ['--task', 'det', '--annotations', write(tmp_path, content(id=1)), '--measures', 'none']
    environment = {'PYTHONPATH': str(TOOLS.parent), 'PATH': '/usr/bin'}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and 'truth.json: ' in done.stderr and 'Traceback' not in done.stderr
    assert not (tmp_path / 'out').exists()


def test_the_name_of_a_whole_set_beside_a_category_of_that_name_is_left_out(tmp_path):
    # As Roboflow exports a set of one class: number 0 is the set, and no object has it.
    data = content()
    data['categories'].insert(0, {'id': 0, 'name': 'sq', 'supercategory': 'none'})
    result = coco_objects(str(write(tmp_path, data)), False)
    assert result.categories == {'sq': 1} and result.objects['000000000001'].labels.tolist() == [1]


def test_a_name_may_be_a_number(tmp_path):
    assert coco_objects(str(write(tmp_path, changed(categories__name=7))), False).categories == {'7': 1}
