"""Annotations as programs and people write them: what is clear is read, what is not is refused with its place."""

import json
import re

import numpy as np
import pytest
from helpers_refusals import refused
from PIL import Image, ImageDraw

from miqa.annotations import formats
from miqa.annotations.formats import Picture, Request, format_of, image_folder_classes, read_class_table
from miqa.annotations.formats.class_map import class_names
from miqa.labelling.user_pictures import prepare_pictures
from miqa.outside.walking import SkippedFiles


def reading(reader):
    """Call a reader of objects by path and pictures; returns its objects and categories."""

    def read(path, pictures, classes=None):
        result = reader(Request(path, pictures, path, classes))
        return result.objects, result.categories

    return read


read_boxes_csv, read_cvat, read_labelme, read_voc, read_yolo = map(
    reading, (formats.read_boxes_csv, formats.read_cvat, formats.read_labelme, formats.read_voc, formats.read_yolo)
)


def picture(folder, name='a.png', size=(200, 100)):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size, 'grey').save(path)
    return Picture(path, name, size)


def write(path, text, encoding='utf-8'):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


VOC = """<annotation><filename>other.jpg</filename>{size}<object><name> traffic light </name><pose>Unspecified</pose>
{more}<bndbox><xmin>11</xmin><ymin>21</ymin><xmax>30.5</xmax><ymax>40</ymax></bndbox>
<part><name>lens</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part></object>
</annotation>"""
SIZE = '<size><width>200</width><height>100</height><depth>3</depth></size>'


@pytest.mark.parametrize('size', ['', SIZE, '<size><width>0</width><height>0</height></size>'])
@pytest.mark.parametrize(('more', 'crowd'), [('', False), ('<difficult>1</difficult><truncated>1</truncated>', True)])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_voc_files_that_lack_fields_are_read(tmp_path, size, more, crowd, encoding):
    sample = picture(tmp_path / 'in')
    write(tmp_path / 'voc/a.xml', VOC.format(size=size, more=more), encoding)
    result, classes = read_voc(tmp_path / 'voc', [sample])
    (instance,) = result['a.png']
    assert classes == ['traffic light'] and instance.box == (10, 20, 30.5, 40) and instance.crowd is crowd


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-16'])
def test_entities_in_xml_are_refused_in_every_encoding(tmp_path, encoding):
    bomb = '<!DOCTYPE a [<!ENTITY b "{}">]><annotation><object><name>&b;</name></object></annotation>'
    write(tmp_path / 'voc/a.xml', f'<?xml version="1.0" encoding="{encoding}"?>' + bomb.format('x' * 1000), encoding)
    refused(ValueError, 'declares entities', read_voc, tmp_path / 'voc', [picture(tmp_path / 'in')])


def yolo(tmp_path, text, names='car\nbus\n', encoding='utf-8'):
    write(tmp_path / 'labels/a.txt', text, encoding)
    write(tmp_path / 'labels/classes.txt', names, encoding)
    result, classes = read_yolo(tmp_path / 'labels', [picture(tmp_path / 'in')])
    return result['a.png'], classes


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig'])
@pytest.mark.parametrize('text', ['1 0.5 0.5 0.2 0.4', '\r\n1\t0.5 0.5  0.2 0.4 \r\n\r\n', '1.0 5e-1 .5 0.2 0.4'])
def test_yolo_lines_of_every_hand_are_read(tmp_path, encoding, text):
    (instance,), classes = yolo(tmp_path, text, encoding=encoding)
    assert classes == ['car', 'bus'] and instance.category == 'bus'
    assert instance.box == pytest.approx((80, 30, 120, 70))


def test_outlines_and_values_that_rounding_put_over_the_border_are_cut(tmp_path):
    instances, _ = yolo(tmp_path, '0 1.0000001 0.5 0.5 1.004\n1 -0.001 0 1.0005 0 1 1.002 0 1\n')
    assert instances[0].box == pytest.approx((150, 0, 200, 100), abs=1e-4)
    assert instances[1].box == (0, 0, 200, 100) and len(instances[1].polygons[0]) == 8


@pytest.mark.parametrize('text', ['', '\n \n'])
def test_an_empty_yolo_file_is_a_picture_without_objects(tmp_path, text):
    assert yolo(tmp_path, text) == ([], ['car', 'bus'])


def test_the_labels_of_a_data_set_in_parts_are_found_below_its_data_yaml(tmp_path):
    shown = [picture(tmp_path / 'train/images'), picture(tmp_path / 'valid/images', 'b.png')]
    write(tmp_path / 'train/labels/a.txt', '0 0.5 0.5 0.2 0.4')
    write(tmp_path / 'valid/labels/b.txt', '1 0.5 0.5 0.2 0.4')
    # Two files of a picture that nobody asks about.
    write(tmp_path / 'train/labels/z.txt', '')
    write(tmp_path / 'valid/labels/z.txt', '')
    description = write(tmp_path / 'data.yaml', '\ufefftrain: ../train/images\nnc: 2\nnames: {0: car, 1: bus}\n')
    result, _ = read_yolo(description, shown)
    assert [result[name][0].category for name in ('a.png', 'b.png')] == ['car', 'bus']
    # The folder of one part finds the names two folders above.
    result, _ = read_yolo(tmp_path / 'train/labels', shown[:1])
    assert result['a.png'][0].category == 'car'
    write(tmp_path / 'valid/labels/a.txt', '')
    refused(ValueError, 'both annotate the picture a.png', read_yolo, description, shown)


def test_a_data_yaml_without_labels_names_both_remedies(tmp_path):
    description = write(tmp_path / 'data.yaml', 'names: [car]')
    refused(FileNotFoundError, 'train/labels.*--classes', read_yolo, description, [picture(tmp_path / 'in')])


@pytest.mark.parametrize(('text', 'message'), [
    ('car\n\nbus\n', 'line 2 is empty'), ('\ncar\n', 'line 1 is empty'), ('car\ncar\n', "'car' twice"),
    ('\n', 'no class'), ('- car\n- bus\n', 'in another way'), ('car, bus\n', 'in another way'),
])  # fmt: skip
def test_names_whose_index_is_not_clear_are_refused(tmp_path, text, message):
    refused(ValueError, message, yolo, tmp_path, '0 0.5 0.5 0.2 0.4', text)
    refused(ValueError, message, class_names, tmp_path / 'labels')


def test_names_may_end_in_empty_lines_and_hold_blanks(tmp_path):
    write(tmp_path / 'classes.txt', '\ufefftraffic light\r\ncar\u2028red\r\n\r\n  \r\n')
    assert class_names(tmp_path) == ('traffic light', 'car\u2028red')


def test_a_class_without_pictures_is_not_skipped_when_folders_are_counted(tmp_path):
    names = ['bird/a.png', 'dog/b.png']
    with pytest.raises(ValueError, match=r"folder 'cat' holds no picture.*--classes bird cat dog"):
        image_folder_classes(names, None, ['bird', 'cat', 'dog'])
    assert image_folder_classes(names, ['bird', 'cat', 'dog'], ['bird', 'cat', 'dog']) == {names[0]: 0, names[1]: 2}
    for name in names:
        picture(tmp_path / 'in', name)
    (tmp_path / 'in/cat').mkdir()
    with pytest.raises(ValueError, match="'cat' holds no picture"):
        prepare_pictures(tmp_path / 'in', tmp_path / 'out', 'cls', tmp_path / 'in')


def test_maps_of_classes_are_found_whatever_the_case_of_their_ending(tmp_path):
    picture(tmp_path / 'in', 'a.jpg')
    (tmp_path / 'maps').mkdir()
    Image.fromarray(np.zeros((100, 200), np.uint8)).save(tmp_path / 'maps/a.PNG')
    prepare_pictures(tmp_path / 'in', tmp_path / 'out', 'seg', tmp_path / 'maps')
    assert [path.name for path in (tmp_path / 'out/miqa_seg/ground_truth').iterdir()] == ['a.png']


@pytest.mark.parametrize(('text', 'crowd'), [('Unspecified', False), ('true', True), ('FALSE', False), ('0', False)])
def test_voc_says_in_words_what_is_difficult(tmp_path, text, crowd):
    write(tmp_path / 'voc/a.xml', VOC.format(size='', more=f'<difficult>{text}</difficult>'))
    result, _ = read_voc(tmp_path / 'voc', [picture(tmp_path / 'in')])
    assert result['a.png'][0].crowd is crowd


def test_a_turned_box_of_voc_is_not_a_box_along_the_sides(tmp_path):
    write(tmp_path / 'voc/a.xml', VOC.format(size='', more='').replace('bndbox', 'robndbox'))
    refused(ValueError, r'a\.xml, object 1 has no bndbox', read_voc, tmp_path / 'voc', [picture(tmp_path / 'in')])


@pytest.mark.parametrize('points', [(4, 3), (17, 3), (5, 2)])
def test_a_pose_of_yolo_is_its_box(tmp_path, points):
    sample = picture(tmp_path / 'in')
    numbers = ' '.join(['0.9 0.9 1'[: 4 * points[1] - 1]] * points[0])
    write(tmp_path / 'labels/a.txt', f'0 0.5 0.5 0.2 0.4 {numbers}\n')
    write(tmp_path / 'data.yaml', f'names: [man]\nkpt_shape: [{points[0]}, {points[1]}]\n')
    for path in (tmp_path / 'labels', tmp_path / 'data.yaml'):
        (instance,) = read_yolo(path, [sample])[0]['a.png']
        assert instance.box == pytest.approx((80, 30, 120, 70)) and instance.polygons is None


POSES = {
    'points': ('0 .5 .5 .2 .4 .42 .4 .58 .6 .58 .4 .42 .6', 'look like poses.*4 points of 2 values.*: .4, 2.'),
    'hidden points': ('0 .5 .5 .2 .4 .42 .4 1 .58 .6 1 .58 .4 0 0 0 0', 'look like poses.*4 points of 3 values'),
    'visible points': ('0 .5 .5 .2 .4 .42 .4 2 .58 .6 2 .58 .4 2 .5 .5 1', 'line 1 is a pose.*kpt_shape: .4, 3.'),
    'an odd number': ('0 .5 .5 .2 .4 .42 .4 2 .58 .6 0 .58 .4 1', 'a.txt, line 1 is a pose.*: .3, 3.'),
}


@pytest.mark.parametrize(('line', 'message'), POSES.values(), ids=POSES)
def test_unannounced_poses_are_not_outlines(tmp_path, line, message):
    sample = picture(tmp_path / 'in')
    write(tmp_path / 'labels/a.txt', f'{line}\n' * 2)
    write(tmp_path / 'labels/classes.txt', 'man\n')
    error = refused(ValueError, message, read_yolo, tmp_path / 'labels', [sample])
    shape = re.search(r'kpt_shape: \[\d, \d\]', str(error))[0]
    write(tmp_path / 'labels/data.yaml', f'names: [man]\n{shape}\n')
    result = read_yolo(tmp_path / 'labels', [sample])[0]['a.png']
    assert [instance.box for instance in result] == [pytest.approx((80, 30, 120, 70))] * 2
    write(tmp_path / 'labels/a.txt', '0 .5 .5 .2 .4 .87 1\n' * 2)
    refused(ValueError, 'predictions of a tracker', read_yolo, tmp_path / 'labels', [sample])


@pytest.mark.parametrize('line', [
    '0 .5 .5 .6 .5 .6 .6 .5 .6',  # four corners in the middle of the picture, clockwise
    '0 .45 .5 .5 .45 .55 .5 .5 .55',
    '0 .1 .1 .9 .9 .9 .1 .1 .9',  # an outline that crosses itself, and no box with two points in it
    '0 .5 .4 .55 .45 .6 .5 .55 .55 .5 .6 .45 .5',
])  # fmt: skip
def test_outlines_of_as_many_corners_are_not_poses(tmp_path, line):
    write(tmp_path / 'labels/a.txt', f'{line}\n')
    write(tmp_path / 'labels/classes.txt', 'man\n')
    (instance,) = read_yolo(tmp_path / 'labels', [picture(tmp_path / 'in')])[0]['a.png']
    assert len(instance.polygons[0]) == len(line.split()) - 1


def test_an_unrelated_yaml_file_is_ignored_where_classes_are_named(tmp_path):
    sample = picture(tmp_path / 'in')
    write(tmp_path / 'labels/a.txt', '0 0.5 0.5 0.2 0.4\n')
    write(tmp_path / 'labels/classes.txt', 'car\n')
    write(tmp_path / 'mkdocs.yml', 'theme: !!python/name:pymdownx.x ""\n')
    assert read_yolo(tmp_path / 'labels', [sample])[1] == ['car']


@pytest.mark.parametrize('path', ['..', 'ABSOLUTE'])
def test_data_yaml_may_say_where_its_data_set_is(tmp_path, path):
    sample = picture(tmp_path / 'in')
    write(tmp_path / 'labels/train/a.txt', '0 0.5 0.5 0.2 0.4\n')
    root = path.replace('ABSOLUTE', str(tmp_path))
    written = write(tmp_path / 'configs/mine.yaml', f'path: {root}\ntrain: images/train\nnames: {{0: car}}\n')
    result, classes = read_yolo(written, [sample])
    assert classes == ['car'] and result['a.png'][0].box == pytest.approx((80, 30, 120, 70))


def test_a_table_of_shares_is_not_taken_for_pixels(tmp_path):
    table = write(tmp_path / 'b.csv', 'filename,class,xmin,ymin,xmax,ymax\na.png,car,0.1,0.2,0.5,0.9\n')
    picture(tmp_path / 'in')
    with pytest.raises(ValueError, match='b.csv: No box reaches beyond 0.9 pixels: are these shares'):
        prepare_pictures(tmp_path / 'in', tmp_path / 'out', 'det', table)


def test_names_of_folders_may_be_written_otherwise_than_the_machines_names():
    known = ['golden retriever', 'Tabby cat', 'crane', 'crane']
    assert image_folder_classes(['Golden_Retriever/1.jpg', 'tabby-cat/2.jpg'], known) == {
        'Golden_Retriever/1.jpg': 0, 'tabby-cat/2.jpg': 1,
    }  # fmt: skip
    refused(ValueError, "'crane' matches 2 classes", image_folder_classes, ['crane/1.jpg'], known)
    refused(ValueError, 'not one of the 2 classes', image_folder_classes, ['a_b/1.jpg'], ['a b', 'A-B'])


@pytest.mark.parametrize('known', [None, [f'class {i}' for i in range(1000)]])
def test_the_folders_of_imagenet_are_counted_as_imagenet_counts_them(known):
    # https://image-net.org: the index of a class is its place among the 1,000 numbers in order.
    names = ['n02102040/1.jpg', 'n01440764/2.jpg', 'n15075141/3.jpg']
    assert list(image_folder_classes(names, known, class_count=1000).values()) == [217, 0, 999]


def test_folders_that_are_not_classes_or_not_all_of_them_are_refused(tmp_path):
    with pytest.raises(ValueError, match='test, train are parts of a dataset'):
        image_folder_classes(['train/cat/1.jpg', 'test/cat/2.jpg'], None)
    with pytest.raises(ValueError, match='2 classes, the machines have 1000'):
        image_folder_classes(['cat/1.jpg', 'dog/2.jpg'], None, class_count=1000)
    with pytest.raises(ValueError, match='--classes names 2 classes, the machines have 3'):
        image_folder_classes(['cat/1.jpg', 'dog/2.jpg'], ['cat', 'dog'], class_count=3)
    table = write(tmp_path / 'c.csv', 'filename,label\n1.jpg,3\n2.jpg,1\n')
    refused(ValueError, 'the classes are whole numbers', read_class_table, table, ['1.jpg', '2.jpg'], None)
    table = write(tmp_path / 'd.csv', 'filename,class_index\n1.jpg,3\n2.jpg,1\n')
    with pytest.raises(ValueError, match=r'class_index of 1\.jpg is 3, but the machines have 3'):
        read_class_table(table, ['1.jpg', '2.jpg'], None, 3)
    assert read_class_table(table, ['1.jpg', '2.jpg'], None, 4).indices == {'1.jpg': 3, '2.jpg': 1}


def labelme(*shapes, size=(200, 100), **more):
    kinds = [dict(zip(('label', 'shape_type', 'points', 'group_id'), shape, strict=False)) for shape in shapes]
    sizes = {'imageWidth': size[0], 'imageHeight': size[1]}
    return json.dumps({'version': '5.4.1', 'flags': {}, 'shapes': kinds, **sizes, **more})


def test_labelme_shapes_become_objects_with_outlines(tmp_path):
    shown = [picture(tmp_path / 'in'), picture(tmp_path / 'in', 'b.png')]
    text = labelme(
        ('car', 'rectangle', [[60, 50], [20, 10]]),
        ('car', 'polygon', [[100, 10], [140, 10], [120, 50]], 4),
        ('car', 'polygon', [[150, 10], [160, 10], [160, 20]], 4),
        ('sun', 'circle', [[50, 50], [50, 80]]),
        ('sun', 'circle', [[3, 3], [3, 33]]),
        ('nose', 'point', [[5, 5]]),
        ('road', 'linestrip', [[5, 5], [9, 9]]),
    )
    write(tmp_path / 'in/a.json', text)
    result, classes = read_labelme(tmp_path / 'in', shown)
    assert classes == ['car', 'sun'] and list(result) == ['a.png']
    box, both, sun, corner = result['a.png']
    # An outline that mostly lies outside the picture is not elsewhere than its box.
    remarks = prepare_pictures(tmp_path / 'in', tmp_path / 'out', 'det', tmp_path / 'in').annotations.remarks
    assert corner.box == pytest.approx((0, 0, 33, 33), abs=0.1) and not any('elsewhere' in words for words in remarks)
    assert box.box == (20, 10, 60, 50) and box.polygons == [[20, 10, 60, 10, 60, 50, 20, 50]]
    assert both.box == (100, 10, 160, 50) and len(both.polygons) == 2
    assert sun.box == pytest.approx((20, 20, 80, 80), abs=0.01)
    area = Image.new('1', (200, 100))
    ImageDraw.Draw(area).polygon(sun.polygons[0], fill=1)
    assert np.asarray(area).sum() == pytest.approx(np.pi * 30**2, rel=0.05)


def test_what_labelme_ignores_counts_for_no_class(tmp_path):
    sample = picture(tmp_path / 'in')
    region = [[100, 10], [140, 10], [120, 50]]
    text = labelme(
        ('car', 'rectangle', [[60, 50], [20, 10]]), ('__ignore__', 'polygon', region), ('sun', 'polygon', region),
    )  # fmt: skip
    write(tmp_path / 'in/a.json', text)
    result, classes = read_labelme(tmp_path / 'in', [sample])
    assert classes == ['car', 'sun']
    objects = sorted((instance.category, instance.crowd, instance.box[0]) for instance in result['a.png'])
    assert objects == [('car', False, 20), ('car', True, 100), ('sun', False, 100), ('sun', True, 100)]


@pytest.mark.parametrize(('text', 'message'), [
    ('{', 'a.json'),
    ('{"shapes": [], "shapes": []}', "a.json: the key 'shapes' stands 2 times"),
    ('[]', 'no list "shapes"'),
    (labelme(size=(20, 10)), '20x10 pixels'),
    (labelme((' ', 'polygon', [[0, 0], [9, 0], [9, 9]])), 'shape 1 has no label'),
    (labelme(('a', 'polygon', [[0, 0], [9, 0]])), 'polygon of 2 points'),
    (labelme(('a', 'mask', [[0, 0], [9, 9]])), 'the mask is not a PNG file'),
    (labelme(('a', 'polygon', [[0, 0], [9, 'x'], [9, 9]])), 'pairs of numbers'),
    (labelme(('a', 'polygon', None)), 'pairs of numbers'),
    (labelme(('a', 'rectangle', [[0, 0], [900, 9]])), 'not inside the picture'),
])  # fmt: skip
def test_labelme_files_that_cannot_be_meant_are_refused(tmp_path, text, message):
    write(tmp_path / 'json/a.json', text)
    refused(ValueError, message, read_labelme, tmp_path / 'json', [picture(tmp_path / 'in')])


CVAT = """<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task/></meta>
<image id="0" name="set/a.png" width="200" height="100">{}</image>
<image id="1" name="elsewhere.png" width="9" height="9"><box label="x" xtl="0" ytl="0" xbr="5" ybr="5"/></image>
</annotations>"""
BOX = '<box label="car" source="manual" xtl="20.5" ytl="10" xbr="60" ybr="50" z_order="0"><attribute/></box>'


def test_cvat_boxes_and_polygons_become_objects(tmp_path):
    bus = '<polygon label="bus" points="100.0,10.0;140,10;120,50"/>'
    text = CVAT.format(f'{BOX}{bus}<points label="nose" points="1,2"/><tag label="t"/>')
    result, classes = read_cvat(write(tmp_path / 'a.xml', text), [picture(tmp_path / 'in')])
    car, bus = result['a.png']
    assert classes == ['bus', 'car'] and car.box == (20.5, 10, 60, 50) and car.polygons is None
    assert bus.box == (100, 10, 140, 50) and bus.polygons == [[100, 10, 140, 10, 120, 50]]


@pytest.mark.parametrize(('shapes', 'message'), [
    (BOX.replace('"60"', '"600"'), 'not inside the picture'),
    (BOX.replace('xbr="60"', ''), "shape 1: xbr is ''"),
    (BOX.replace('label="car"', ''), 'shape 1 has no label'),
    (BOX.replace('z_order', 'rotation').replace('rotation="0"', 'rotation="x"'), "rotation is 'x'"),
    ('<polygon label="bus" points="1,2;3,4"/>', 'at least three pairs'),
    ('<polygon label="bus" points="1,2;3,4;nan,4"/>', 'at least three pairs'),
])  # fmt: skip
def test_cvat_shapes_that_cannot_be_meant_are_refused(tmp_path, shapes, message):
    refused(ValueError, message, read_cvat, write(tmp_path / 'a.xml', CVAT.format(shapes)), [picture(tmp_path / 'in')])


def test_another_xml_file_is_not_an_export_of_cvat(tmp_path):
    with pytest.raises(ValueError, match='not the file "CVAT for images 1.1"'):
        read_cvat(write(tmp_path / 'a.xml', '<annotation><object/></annotation>'), [picture(tmp_path / 'in')])


def test_notes_beside_annotations_do_not_decide_what_these_are(tmp_path):
    for name in ('labels/a.json', 'labels/b.json', 'labels/readme.txt'):
        write(tmp_path / name, '')
    assert format_of(tmp_path / 'labels', tmp_path, 'ins').name == 'labelme'
    assert format_of(write(tmp_path / 'cvat.xml', ''), tmp_path, 'det').name == 'cvat'


def mirrored(tmp_path, kind, folder, value):
    """Write the annotation of a picture ``1.png`` in a format of one file for each picture."""
    if kind == 'yolo':
        write(tmp_path / f'labels/{folder}/1.txt', f'{value} .5 .5 .2 .4')
        write(tmp_path / 'labels/classes.txt', 'c0\nc1')
    elif kind == 'voc':
        name = f'c{value}'
        text = VOC.format(size=SIZE, more='').replace(' traffic light ', name).replace('other.jpg', '1.png')
        write(tmp_path / f'labels/{folder}/1.xml', text)
    else:
        shape = (f'c{value}', 'rectangle', [[20, 10], [60, 50]])
        write(tmp_path / f'labels/{folder}/1.json', labelme(shape, imagePath='1.png'))
    return {'yolo': read_yolo, 'voc': read_voc, 'labelme': read_labelme}[kind]


@pytest.mark.parametrize('kind', ['yolo', 'voc', 'labelme'])
@pytest.mark.parametrize('below', ['', 'images/'])
def test_pictures_of_one_stem_have_the_labels_of_the_folders_that_mirror_theirs(tmp_path, kind, below):
    shown = [picture(tmp_path / 'in', f'{below}{folder}/1.png') for folder in 'ab']
    for value, folder in enumerate('ab'):
        read = mirrored(tmp_path, kind, folder, value)
    result, _ = read(tmp_path / 'labels', shown)
    assert {name: instance.category for name, (instance,) in result.items()} == {
        f'{below}a/1.png': 'c0', f'{below}b/1.png': 'c1',
    }  # fmt: skip
    # One of them alone, too.
    result, _ = read(tmp_path / 'labels', shown[1:])
    assert [instance.category for (instance,) in result.values()] == ['c1']


@pytest.mark.parametrize('kind', ['yolo', 'voc', 'labelme'])
@pytest.mark.parametrize(
    ('folder', 'message'),
    [('', r'a/1\.png and b/1\.png would both be annotated'), ('c', 'lies in a folder of the same name')],
)
def test_labels_that_may_be_of_two_pictures_or_are_of_another_folder_are_refused(tmp_path, kind, folder, message):
    read = mirrored(tmp_path, kind, folder, 0)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / 'labels', [picture(tmp_path / 'in', f'{name}/1.png') for name in 'ab'])
    # And two labels that may be of one picture.
    mirrored(tmp_path, kind, 'd', 0)
    with pytest.raises(ValueError, match=r'both annotate the picture 1\.png'):
        read(tmp_path / 'labels', [picture(tmp_path / 'in', '1.png')])


@pytest.mark.parametrize('inner', ['', 'night/'])  # The folder of pictures is that of the night, or the one above
@pytest.mark.parametrize(('name', 'text'), [
    ('a.csv', 'filename,class,xmin,ymin,xmax,ymax\nday/1.png,car,1,1,9,9\n'),
    ('a.xml', CVAT.format(BOX).replace('set/a.png', 'day/1.png')),
    ('a.json', json.dumps({'images': [{'id': 1, 'file_name': 'day/1.png'}], 'annotations': [], 'categories': []})),
])  # fmt: skip
def test_a_name_with_a_folder_is_not_a_picture_of_another_folder(tmp_path, inner, name, text):
    folder = tmp_path if inner else tmp_path / 'night'
    request = Request(write(tmp_path / 'elsewhere' / name, text), [picture(folder, f'{inner}1.png')], folder)
    read = format_of(request.path, folder, 'det').read
    if not inner:
        # What the folder was called elsewhere counts only where another picture is of that name, as none can be here.
        for elsewhere in ('d' * 300, 'day'):
            write(request.path, text.replace('day', elsewhere))
            read(request)
        picture(tmp_path / 'day', '1.png', (20, 10))
    refused(ValueError, r'no picture .day/1\.png|day/1\.png, in another folder|None of the 2 images', read, request)


def test_names_in_remarks_send_a_terminal_nothing_to_obey(tmp_path):
    name = '\x1b[31m\u202e.txt'
    for file in ('a.txt', name):
        write(tmp_path / 'labels' / file, '0 .5 .5 .2 .4')
    write(tmp_path / 'labels/classes.txt', 'car')
    request = Request(tmp_path / 'labels', [picture(tmp_path / 'in')], tmp_path / 'in')
    (remark,) = formats.read_yolo(request).remarks.lines()
    assert remark.endswith(r'\x1b[31m\u202e.txt')
    skipped = SkippedFiles()
    skipped.note(f'{name} cannot be read.')
    assert skipped.lines() == [r'\x1b[31m\u202e.txt cannot be read.']
    picture(tmp_path / 'in', 'a\nb.png')  # lines of the database's tables would end in it
    own = prepare_pictures(tmp_path / 'in', tmp_path / 'out', 'cls', skipped=skipped)
    assert len(own.sources) == 1 and r'a\nb.png: a database has no name' in skipped.lines()[1]


def test_maps_of_classes_may_lie_in_the_folders_of_their_pictures(tmp_path):
    for value, folder in enumerate('ab'):
        picture(tmp_path / 'in', f'{folder}/1.jpg')
        (tmp_path / 'maps' / folder).mkdir(parents=True)
        Image.fromarray(np.full((100, 200), value, np.uint8)).save(tmp_path / f'maps/{folder}/1.png')
    prepare_pictures(tmp_path / 'in', tmp_path / 'out', 'seg', tmp_path / 'maps')
    for value, name in enumerate(('a_1.png', 'b_1.png')):
        with Image.open(tmp_path / 'out/miqa_seg/ground_truth' / name) as copy:
            assert np.unique(copy).tolist() == [value]
    # Where maps lie in the folder itself, those below are something else.
    Image.fromarray(np.zeros((100, 200), np.uint8)).save(tmp_path / 'maps/1.png')
    with pytest.raises(ValueError, match='would both be annotated by one file'):
        prepare_pictures(tmp_path / 'in', tmp_path / 'more', 'seg', tmp_path / 'maps')
