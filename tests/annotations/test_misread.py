"""Annotations that are whole and mean something else than what they seem to are refused or counted."""

import json

import numpy as np
import pytest
from helpers_refusals import refused
from PIL import Image

from miqa.annotations.class_names import check_alike
from miqa.annotations.coco import read_coco
from miqa.annotations.objects import AnnotationError
from miqa.labelling.user_pictures import prepare_pictures


@pytest.fixture
def prepare(tmp_path):
    """Return a function from files of annotations and a task to what is made of two pictures with them."""

    def made(files, task='det', at='given', names=('a.png', 'b.png'), **options):
        for name in names:
            (tmp_path / 'in' / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new('RGB', (200, 100), 'grey').save(tmp_path / 'in' / name)
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding='utf-8')
        return prepare_pictures(tmp_path / 'in', tmp_path / 'out', task, tmp_path / at, **options)

    return made


def boxes_of(own):
    return {
        name: [instance.box for instance in own.annotations.objects[int(source)]] for source, name in own.names.items()
    }


def coco(*boxes, **fields):
    instances = [{'id': i, 'image_id': 1, 'category_id': 1, 'bbox': box, **fields} for i, box in enumerate(boxes, 1)]
    images = [{'id': i, 'file_name': f'{name}.png', 'width': 200, 'height': 100} for i, name in enumerate('ab', 1)]
    return json.dumps({'images': images, 'annotations': instances, 'categories': [{'id': 1, 'name': 'car'}]})


@pytest.mark.parametrize(('boxes', 'fields', 'message'), [
    ([[10, 10, 160, 50], [120, 20, 190, 90], [60, 40, 150, 80]], {}, 'all of them fit as left, top, right, bottom'),
    ([[190, 90, 20, 20], [100, 90, 40, 20]], {}, 'all of them fit as x and y of the middle'),
    ([[10, 10, 60, 50], [10, 10, 60, 50]], {'area': 2000, 'x': 1}, None),
    ([[10, 10, 60, 50], [20, 20, 70, 60]], {'area': 2000}, 'all of them fit as left, top, right, bottom'),
    ([[10, 10, 50, 40]], {'segmentation': [[100, 50, 150, 50, 150, 90]]}, '1 of 1 boxes are elsewhere than'),
    ([[10, 10, 50, 40]], {'score': 0.9}, 'is it a prediction'),
    ([[10, 10, 50, 40]], {'ignore': 'false'}, 'ignore must be 0 or 1'),
    ([], {}, 'marks no object'),
])  # fmt: skip
def test_boxes_of_coco_that_mean_something_else_are_refused(prepare, boxes, fields, message):
    if message is not None:
        refused(ValueError, message, prepare, {'c.json': coco(*boxes, **fields)}, at='c.json')
        return
    own = prepare({'c.json': coco(*boxes, **fields)}, at='c.json')
    assert [len(instances) for instances in boxes_of(own).values()] == [
        1,
        0,
    ] and '1 object is there twice' in own.notes[0]


def test_a_box_at_the_border_and_one_outline_elsewhere_are_counted(tmp_path):
    path = tmp_path / 'c.json'
    instances = json.loads(coco([150, 10, 80, 20], [10, 10, 50, 40], [20, 10, 50, 40], [30, 10, 50, 40]))
    for instance in instances['annotations']:
        left, top, width, height = instance['bbox']
        instance['segmentation'] = [[left, top, left + width, top, left + width, top + height, left, top + height]]
    instances['annotations'][1]['segmentation'] = [[100, 50, 150, 50, 150, 90]]
    path.write_text(json.dumps(instances))
    assert sorted(read_coco(path).remarks.values()) == [1, 1]


def test_shares_are_found_where_no_size_is_given(tmp_path):
    content = json.loads(coco([0.1, 0.1, 0.5, 0.5]))
    for image in content['images']:
        del image['width'], image['height']
    (tmp_path / 'c.json').write_text(json.dumps(content))
    refused(AnnotationError, 'shares of the sides', read_coco, tmp_path / 'c.json')


@pytest.mark.parametrize(
    'lines', ['0 .1 .1 .9 .9\n0 .2 .2 .95 .9\n', '0 .05 .1 .9 .8\n0 .1 .05 .85 .9\n']
)  # corners; left, top, width, height
def test_boxes_of_yolo_in_another_way_of_writing_are_refused(prepare, lines):
    refused(ValueError, 'all do as left, top', prepare, {'l/a.txt': lines, 'l/classes.txt': 'car\n'}, at='l')


@pytest.mark.parametrize('name', ['A.txt', 'a.png.txt', 'a.TXT'])
def test_labels_whose_name_differs_in_writing_alone_are_of_the_picture(prepare, name):
    own = prepare({f'l/{name}': '0 .5 .5 .2 .2', 'l/classes.txt': 'car\n'}, at='l')
    assert len(boxes_of(own)['a.png']) == 1


def test_names_of_pictures_may_be_composed_or_decomposed(prepare):
    own = prepare({'l/e\u0301.txt': '0 .5 .5 .2 .2', 'l/classes.txt': 'car\n'}, at='l', names=('\u00e9.png', 'b.png'))
    assert len(boxes_of(own)['\u00e9.png']) == 1


VOC = '<annotation><filename>{}</filename><object><name>car</name>{}</object></annotation>'
BOX = '<bndbox><xmin>11</xmin><ymin>21</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>'
CVAT_TURN = '<attributes><attribute><name>rotation</name><value>30.0</value></attribute></attributes>'


@pytest.mark.parametrize(('text', 'message'), [
    (VOC.format('b.png', BOX), r'a\.xml is named after the picture a\.png, but names b\.png'),
    (VOC.format('old.png', BOX), None),
    (VOC.format('a.png', BOX * 2), 'has 2 bndbox'),
    (VOC.format('a.png', BOX + CVAT_TURN), 'is turned'),
    (VOC.format('a.png', BOX + CVAT_TURN.replace('30.0', '0.0')), None),
    (VOC.format('a.png', BOX + '<ignore>maybe</ignore>'), "ignore is 'maybe'"),
    ('<?xml version="1.0" encoding="gb2312"?><annotation/>', r'a\.xml is in an encoding'),
    ('<?xml version="1.0" encoding="klingon"?><annotation/>', r'a\.xml is'),
])  # fmt: skip
def test_files_of_voc_that_mean_something_else_are_refused(prepare, text, message):
    files = {'v/a.xml': text, 'v/b.xml': '<annotation/>'}
    if message is None:
        assert boxes_of(prepare(files, at='v'))['a.png'] == [(10, 20, 20, 20)]
        return
    refused(ValueError, message, prepare, files, at='v')


def test_marks_of_what_does_not_count_are_understood_in_every_format(prepare, tmp_path):
    shape = {'label': 'car', 'shape_type': 'rectangle', 'points': [[10, 10], [60, 50]], 'score': 0.4}
    shape['flags'] = {'difficult': True}
    cvat = ('<annotations><image name="a.png" width="200" height="100"><box label="car" source="auto" xtl="1" ytl="1" '
            'xbr="9" ybr="9"><attribute name="is_crowd">true</attribute></box></image></annotations>')  # fmt: skip
    formats = [
        {'v/a.xml': VOC.format('a.png', BOX + '<iscrowd>1</iscrowd>'), 'v/b.xml': '<annotation/>'},
        {'l/a.json': json.dumps({'shapes': [shape], 'imagePath': 'a.png'})},
        {'c.xml': cvat},
        {'c.json': coco([10, 10, 50, 40], attributes={'occluded': False, 'difficult': True})},
    ]
    for files in formats:
        own = prepare(files, at=next(iter(files)).partition('/')[0])
        (tmp_path / 'out/miqa_det/ground_truth.json').unlink()
        assert [instance.crowd for instances in own.annotations.objects.values() for instance in instances] == [True]
        assert ('found by a network' in str(own.notes)) == (files in formats[1:3])


@pytest.mark.parametrize(('folders', 'message'), [
    (['cat', 'Cat', 'dog'], "'Cat' and 'cat' would be two classes"),
    (['caf\u00e9', 'cafe\u0301'], 'would be two classes'),
    (['cat', '\u0441at'], 'would be two classes'),
    (['cat', 'cat '], 'would be two classes'),
    (['data/cat', 'data/dog'], 'two folders deep: are the classes data, or cat, dog'),
])  # fmt: skip
def test_folders_that_are_hardly_the_classes_are_refused_with_a_question(prepare, folders, message):
    with pytest.raises(ValueError, match=message):
        prepare({}, 'cls', at='in', names=[f'{folder}/{i}.png' for i, folder in enumerate(folders)])


def test_folders_of_other_programs_are_not_classes(prepare):
    names = ['cat/1.png', 'dog/2.png', '__MACOSX/cat/3.png', 'cat/@eaDir/4.png']
    assert sorted(prepare({}, 'cls', at='in', names=names).names.values()) == names[:2]


@pytest.mark.parametrize(('text', 'message'), [
    ('filename,label\na.png,1.0\nb.png,0.0\n', 'the classes are whole numbers'),
    ('filename,label\na.png,nan\nb.png,cat\n', "line 2: class is 'nan'"),
    ('filename,class_index,class\na.png,0,cat\nb.png,1,cat\n', "'cat' has the class_index 0"),
    ('filename,class_index,class\na.png,0,cat\nb.png,0,dog\n', "the class_index 0 is 'cat'"),
    ('filename,class_index\na.png,99999999999999999999\nb.png,0\n', 'line 2: class_index is'),
    ('index,filename\n0,a.png\n1,b.png\n', 'index counts the rows'),
    ('filename,class\na.png,V\nb.png,IX\n', r'by number \(V IX\) or by text \(IX V\)'),
    ('filename,class\na.png,Two\nb.png,Three\n', r'by number \(Two Three\) or by text \(Three Two\)'),
    ('filename,class\na.png,cat\nb.png,cat;dog\n', "'cat;dog' lists several classes"),
    ('filename\tclass\na.png\tcat\nb.png\tdog\n', None),
])  # fmt: skip
def test_tables_of_classes_that_contradict_themselves_are_refused(prepare, text, message):
    if message is None:
        prepare({'t.tsv': text}, 'cls', at='t.tsv')
        return
    refused(ValueError, message, prepare, {'t.csv': text}, 'cls', at='t.csv')


def test_boxes_in_a_table_with_a_confidence_are_predictions(prepare):
    table = 'filename,class,xmin,ymin,xmax,ymax,confidence\na.png,car,1,2,30,40,{}\n'
    with pytest.raises(ValueError, match=r'line 2 has the score 0\.9: is it a prediction'):
        prepare({'t.csv': table.format(0.9)}, at='t.csv')
    assert len(boxes_of(prepare({'t.csv': table.format(1)}, at='t.csv'))['a.png']) == 1
    # Lines of two pictures, of which only one is here, are not all its own.
    other = 'filename,class,xmin,ymin,xmax,ymax\nday/a.png,car,1,2,30,40\nnight/a.png,car,1,2,30,50\n'
    refused(ValueError, "line 3 calls the picture a.png 'night/a.png'", prepare, {'u.csv': other}, at='u.csv')


def test_palettes_whose_order_differs_are_not_classes(prepare, tmp_path):
    values = np.arange(100 * 200, dtype=np.uint8).reshape(100, 200) % 2
    (tmp_path / 'm').mkdir()
    for name, palette in (('a', [0, 0, 0, 255, 0, 0]), ('b', [255, 0, 0, 0, 0, 0])):
        image = Image.fromarray(values).convert('P')
        image.putpalette(palette)
        image.save(tmp_path / f'm/{name}.png')
    refused(ValueError, 'each map has a palette of its own', prepare, {}, 'seg', at='m')
    assert not list((tmp_path / 'out/miqa_seg/ground_truth').glob('*.png'))


def test_numbers_before_the_names_of_classes_are_not_names(prepare):
    with pytest.raises(ValueError, match='numbers its lines'):
        prepare({'l/a.txt': '0 .5 .5 .2 .2', 'l/classes.txt': '0: car\n1: bus\n'}, at='l')


def test_names_of_the_user_in_remarks_may_hold_braces(prepare):
    own = prepare({}, 'cls', at='in', names=['a{0}/1.png', 'b{x}/2.png'])
    assert own.notes == ['2 classes are counted in the order of the names, where --classes does not say another, for '
                         'example 0 a{0}, 1 b{x}']  # fmt: skip


def test_grades_and_single_letters_are_classes_of_their_own_and_other_writings_of_a_name_are_not():
    check_alike(['A', 'a', 'A-', 'A+', 'ab', 'C', 'C++'], 'The classes')
    for names in (['Car', 'car'], ['stop sign', 'stop-sign'], ['b\u0430r', 'bar'], ['caf\u00e9', 'cafe\u0301']):
        refused(ValueError, 'would be two classes', check_alike, names, 'The classes')


def test_what_is_marked_as_deleted_is_skipped_and_counted_in_every_format(prepare, tmp_path):
    shape = {'label': 'car', 'shape_type': 'rectangle', 'points': [[10, 10], [60, 50]]}
    box = '<box label="car" xtl="1" ytl="1" xbr="9" ybr="9"{}>{}</box>'
    attribute = '<attribute name="deleted">true</attribute>'
    data = json.loads(coco([10, 10, 50, 40]))
    more = [{'deleted': True}, {'attributes': {'deleted': 'true'}}]
    data['annotations'] += [{**data['annotations'][0], 'id': 8 + n, **each} for n, each in enumerate(more)]
    data['images'].append({'id': 99, 'file_name': 'gone.png', 'deleted': True})
    data['annotations'].append({**data['annotations'][0], 'id': 98, 'image_id': 99})
    formats = [
        {'l/a.json': json.dumps({'shapes': [shape, shape | {'deleted': 1}, shape | {'flags': {'deleted': True}}]})},
        {'c.xml': '<annotations><image name="a.png" width="200" height="100">'
         + box.format('', '') + box.format(' outside="1"', '') + box.format('', attribute) + '</image></annotations>'},
        {'c.csv': 'filename,class,xmin,ymin,xmax,ymax,deleted\n' + ''.join(f'a.png,car,1,1,9,9,{n}\n' for n in '011')},
        {'c.json': json.dumps(data)},
    ]  # fmt: skip
    for files in formats:
        own = prepare(files, at=next(iter(files)).partition('/')[0])
        (tmp_path / 'out/miqa_det/ground_truth.json').unlink()
        assert sum(map(len, own.annotations.objects.values())) == 1
        count = 3 if files is formats[-1] else 2
        assert f'{count} objects are marked as deleted or outside and are skipped' in str(own.notes)
    assert '1 image is marked as deleted and is skipped' in str(own.notes)
    data['images'][0]['deleted'] = True
    refused(ValueError, r'no image with the file name a\.png except some marked', prepare,
            {'c.json': json.dumps(data)}, at='c.json')  # fmt: skip


def test_names_that_a_spreadsheet_runs_as_formulas_are_told(tmp_path):
    for name in ('=1+1.png', 'b.png'):
        Image.new('RGB', (20, 10)).save(tmp_path / name)
    notes = prepare_pictures(tmp_path, tmp_path.with_name('out'), 'cls').notes
    assert ['=1+1.png as formulas (1 picture)' in note for note in notes] == [True]
