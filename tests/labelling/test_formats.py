"""Annotations as programs and people write them: what is clear is read, what is not is refused with its place."""

import numpy as np
import pytest
from PIL import Image

from miqa.labelling.class_maps import class_names
from miqa.labelling.formats import Picture, image_folder_classes, read_voc, read_yolo
from miqa.labelling.own_pictures import prepare_pictures


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
    shown = picture(tmp_path / 'in')
    write(tmp_path / 'voc/a.xml', VOC.format(size=size, more=more), encoding)
    found, classes = read_voc(tmp_path / 'voc', [shown])
    (thing,) = found['a.png']
    assert classes == ['traffic light'] and thing.box == (10, 20, 30.5, 40) and thing.crowd is crowd


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-16'])
def test_entities_in_xml_are_refused_in_every_encoding(tmp_path, encoding):
    bomb = '<!DOCTYPE a [<!ENTITY b "{}">]><annotation><object><name>&b;</name></object></annotation>'
    write(tmp_path / 'voc/a.xml', f'<?xml version="1.0" encoding="{encoding}"?>' + bomb.format('x' * 1000), encoding)
    with pytest.raises(ValueError, match='declares entities'):
        read_voc(tmp_path / 'voc', [picture(tmp_path / 'in')])


def yolo(tmp_path, text, names='car\nbus\n', encoding='utf-8'):
    write(tmp_path / 'labels/a.txt', text, encoding)
    write(tmp_path / 'labels/classes.txt', names, encoding)
    found, classes = read_yolo(tmp_path / 'labels', [picture(tmp_path / 'in')])
    return found['a.png'], classes


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig'])
@pytest.mark.parametrize('text', ['1 0.5 0.5 0.2 0.4', '\r\n1\t0.5 0.5  0.2 0.4 \r\n\r\n', '1.0 5e-1 .5 0.2 0.4'])
def test_yolo_lines_of_every_hand_are_read(tmp_path, encoding, text):
    (thing,), classes = yolo(tmp_path, text, encoding=encoding)
    assert classes == ['car', 'bus'] and thing.category == 'bus'
    assert thing.box == pytest.approx((80, 30, 120, 70))


def test_outlines_and_values_that_rounding_put_over_the_border_are_cut(tmp_path):
    things, _ = yolo(tmp_path, '0 1.0000001 0.5 0.5 1.004\n1 -0.001 0 1.0005 0 1 1.002 0 1\n')
    assert things[0].box == pytest.approx((150, 0, 200, 100), abs=1e-4)
    assert things[1].box == (0, 0, 200, 100) and len(things[1].polygons[0]) == 8


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
    found, _ = read_yolo(description, shown)
    assert [found[name][0].category for name in ('a.png', 'b.png')] == ['car', 'bus']
    # The folder of one part finds the names two folders above.
    found, _ = read_yolo(tmp_path / 'train/labels', shown[:1])
    assert found['a.png'][0].category == 'car'
    write(tmp_path / 'valid/labels/a.txt', '')
    with pytest.raises(ValueError, match='both labels of a picture a'):
        read_yolo(description, shown)


def test_a_data_yaml_without_labels_names_both_remedies(tmp_path):
    description = write(tmp_path / 'data.yaml', 'names: [car]')
    with pytest.raises(FileNotFoundError, match='train/labels.*--classes'):
        read_yolo(description, [picture(tmp_path / 'in')])


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('car\n\nbus\n', 'line 2 is empty'),
        ('\ncar\n', 'line 1 is empty'),
        ('car\ncar\n', "'car' twice"),
        ('\n', 'no class'),
    ],
)
def test_names_whose_index_is_not_clear_are_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        yolo(tmp_path, '0 0.5 0.5 0.2 0.4', text)
    with pytest.raises(ValueError, match=message):
        class_names(tmp_path / 'labels')


def test_names_may_end_in_empty_lines_and_hold_blanks(tmp_path):
    write(tmp_path / 'classes.txt', '\ufefftraffic light\r\ncar\r\n\r\n  \r\n')
    assert class_names(tmp_path) == ('traffic light', 'car')


def test_a_class_without_pictures_is_not_passed_over_when_folders_are_counted(tmp_path):
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
