"""What readers of annotations once skipped, defaulted or guessed is read, counted aloud, or refused with a sentence."""

import base64
import io
import json
import sys

import numpy as np
import pytest
from helpers_refusals import refused
from PIL import Image

from miqa.annotations import formats
from miqa.annotations.coco import read_coco
from miqa.annotations.coco_shapes import packed
from miqa.annotations.formats import FORMATS, Picture, Request, format_of
from miqa.annotations.formats.classes import image_folder_classes
from miqa.annotations.formats.coco_file import read_coco_file
from miqa.labelling.user_pictures import prepare_pictures
from miqa.outside.walking import SkippedFiles

SIZE = (200, 100)


@pytest.fixture
def shown(tmp_path):
    (tmp_path / 'in').mkdir()
    Image.new('RGB', SIZE, 'grey').save(tmp_path / 'in/a.png')
    return [Picture(tmp_path / 'in/a.png', 'a.png', SIZE)]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')
    return path


def cvat(tmp_path, shown, *shapes):
    text = f'<annotations><image name="a.png" width="200" height="100">{"".join(shapes)}</image></annotations>'
    return formats.read_cvat(Request(write(tmp_path / 'cvat.xml', text), shown, tmp_path / 'in'))


def area_of(instance):
    from pycocotools.mask import area

    return int(area(packed(instance.mask or instance.polygons, SIZE)))


@pytest.mark.parametrize(('shape', 'box', 'area'), [
    ('<mask label="car" rle="1, 3, 4" left="10" top="20" width="4" height="2"/>', (11, 20, 14, 21), 3),
    ('<ellipse label="car" cx="100" cy="50" rx="30" ry="20"/>', (70, 30, 130, 70), 1885),
    ('<ellipse label="car" cx="100" cy="50" rx="30" ry="20" rotation="90"/>', (80, 20, 120, 80), 1885),
    ('<box label="car" xtl="80" ytl="40" xbr="120" ybr="60" rotation="90"/>', (90, 30, 110, 70), 800),
    ('<box label="car" xtl="-0.5" ytl="0" xbr="200.5" ybr="60"/>', (0, 0, 200, 60), None),
    ('<cuboid label="car" ' + ' '.join(f'{a}{c}{f}="{v + 9 * (f - 1)}"' for f in (1, 2) for c, x, y in
     (('tl', 50, 20), ('tr', 80, 20), ('bl', 50, 60), ('br', 80, 60)) for a, v in (('x', x), ('y', y))) + '/>',
     (50, 20, 89, 69), 1830),
])  # fmt: skip
def test_every_shape_of_cvat_with_an_area_is_read(tmp_path, shown, shape, box, area):
    (instance,) = cvat(tmp_path, shown, shape).objects['a.png']
    assert instance.box == pytest.approx(box, abs=0.01)
    if area is not None:
        assert area_of(instance) == pytest.approx(area, rel=0.02)


def test_shapes_of_cvat_without_area_are_counted_and_unknown_ones_refused(tmp_path, shown):
    box = '<box label="car" xtl="8" ytl="4" xbr="12" ybr="6" group_id="3"/>'
    others = ('<points label="a" points="1,1"/>', '<polyline label="b" points="1,1;2,2"/>', '<tag label="c"/>') * 2
    read = cvat(tmp_path, shown, box, *others)
    assert len(read.objects['a.png']) == 1
    remarks = ' '.join(read.remarks.lines())
    assert all(f'2 shapes of the kind {kind}' in remarks for kind in ('points', 'polyline', 'tag'))
    assert '1 shape belongs to groups' in remarks
    with pytest.raises(ValueError, match='2 splat.*not read|not read: 2 splat'):
        cvat(tmp_path, shown, box, '<splat label="car"/>', '<splat label="car"/>')
    with pytest.raises(ValueError, match='not inside the picture'):
        cvat(tmp_path, shown, '<mask label="car" rle="0, 4" left="199" top="20" width="2" height="2"/>')
    with pytest.raises(ValueError, match='sum to 4, not 5'):
        cvat(tmp_path, shown, '<mask label="car" rle="0, 5" left="9" top="20" width="2" height="2"/>')


def test_a_mask_of_labelme_is_read_and_an_unknown_shape_refused(tmp_path, shown):
    data = io.BytesIO()
    Image.fromarray(np.array([[0, 1], [1, 1]], np.uint8) * 255).convert('1').save(data, 'PNG')
    mask = {'label': 'car', 'shape_type': 'mask', 'points': [[10, 20], [11, 21]],
            'mask': base64.b64encode(data.getvalue()).decode()}  # fmt: skip
    shapes = [mask, {'label': 'x', 'shape_type': 'point', 'points': [[1, 1]]}]
    write(tmp_path / 'labels/a.json', json.dumps({'shapes': shapes}))
    read = formats.read_labelme(Request(tmp_path / 'labels', shown, tmp_path / 'in'))
    (instance,) = read.objects['a.png']
    assert instance.box == (10, 20, 12, 22) and area_of(instance) == 3
    assert read.remarks.lines()[0].startswith('1 shape of the kind point')
    for change in ({'shape_type': 'cuboid'}, {'mask': 'x'}, {'points': [[10, 20], [12, 21]]}):
        write(tmp_path / 'labels/a.json', json.dumps({'shapes': [{**mask, **change}]}))
        with pytest.raises(ValueError, match=r'a\.json, shape 1'):
            formats.read_labelme(Request(tmp_path / 'labels', shown, tmp_path / 'in'))


def test_names_of_classes_in_yaml_are_read_as_texts(tmp_path, shown):
    names = ['no', 'yes', 'on', '010', '1.10', '0x1F', '~', '1e3', '2024-01-01']
    write(tmp_path / 'labels/a.txt', '3 0.5 0.5 0.2 0.4\n')
    for text in (
        f'nc: 9\nnames: [{", ".join(names)}]\n',
        'names:\n' + ''.join(f'  {i}: {n}\n' for i, n in enumerate(names)),
    ):
        write(tmp_path / 'data.yaml', text)
        read = formats.read_yolo(Request(tmp_path / 'labels', shown, tmp_path / 'in'))
        assert read.categories == names and read.objects['a.png'][0].category == '010'
    for text in ('nc: 3\nnames: [a, b]', 'names: {0: a, 0: b}', 'names: {1: a, 2: b}', 'names: [[a], b]'):
        with pytest.raises(ValueError, match='data.yaml'):
            formats.read_yolo(Request(write(tmp_path / 'data.yaml', text), shown, tmp_path / 'in'))


@pytest.mark.parametrize('second', ['data.yaml', 'classes.txt'])
def test_two_files_that_name_classes_in_two_ways_are_refused_by_name(tmp_path, shown, second):
    write(tmp_path / 'labels/a.txt', '1 0.5 0.5 0.2 0.4\n')
    write(tmp_path / 'coco128.yaml', 'names: [person, car]\n')
    write(tmp_path / 'unrelated.yml', 'theme: material\n')
    write(tmp_path / second, 'names: [bolt, nut]\n' if second.endswith('yaml') else 'bolt\nnut\n')
    request = Request(tmp_path / 'labels', shown, tmp_path / 'in')
    refused(ValueError, f'coco128.yaml.*{second}|{second}.*coco128.yaml', formats.read_yolo, request)
    for named in ({'path': tmp_path / 'coco128.yaml'}, {'classes': ['person', 'car']}):
        read = formats.read_yolo(Request(**{**{'path': request.path, 'pictures': shown, 'folder': tmp_path}, **named}))
        assert read.objects['a.png'][0].category == 'car'


def test_yolo_counts_what_it_did_not_take(tmp_path, shown):
    Image.new('RGB', SIZE).save(tmp_path / 'in/b.png')
    shown = [*shown, Picture(tmp_path / 'in/b.png', 'b.png', SIZE)]
    line = '0 0.5 0.5 0.2 0.4\n'
    write(tmp_path / 'labels/a.txt', line + '0 0.5 0.5 0 0\n0 .1 .1 .3 .1 .3 .3 .1 .3\n')
    write(tmp_path / 'labels/z.txt', line)
    write(tmp_path / 'labels/classes.txt', 'car\n')
    read = formats.read_yolo(Request(tmp_path / 'labels', shown, tmp_path / 'in'))
    assert [instance.box for instance in read.objects['a.png']] == [(80, 30, 120, 70), pytest.approx((20, 10, 60, 30))]
    remarks = ' '.join(read.remarks.lines())
    for words in ('1 object has no area', '1 picture has no file', '1 file belongs to'):
        assert words in remarks


VOC = '<annotation>{}</annotation>'
OBJECT = (
    '<object><name>car</name>{}<bndbox><xmin>{}</xmin><ymin>5</ymin><xmax>50</xmax><ymax>6</ymax></bndbox></object>'
)


@pytest.mark.parametrize(('first', 'left', 'words'), [(1, 0, ''), (0, 0, '1 box begins at pixel 0'), (11, 10, '')])
def test_corners_of_voc_count_from_1_unless_one_is_0(tmp_path, shown, first, left, words):
    write(tmp_path / 'voc/a.xml', VOC.format(OBJECT.format('', first) + OBJECT.format('', 21)))
    read = formats.read_voc(Request(tmp_path / 'voc', shown, tmp_path / 'in'))
    assert [instance.box[0] for instance in read.objects['a.png']] == [left, 21 if first == 0 else 20]
    assert words in ' '.join(read.remarks.lines())


def test_voc_counts_what_is_difficult_or_deleted(tmp_path, shown):
    flags = ['', '<difficult>1</difficult>', '<deleted>1</deleted>']
    write(tmp_path / 'voc/a.xml', VOC.format(''.join(OBJECT.format(flag, 9) for flag in flags)))
    read = formats.read_voc(Request(tmp_path / 'voc', shown, tmp_path / 'in'))
    assert [instance.crowd for instance in read.objects['a.png']] == [False, True]
    assert len(read.remarks.lines()) == 2


def coco(tmp_path, *objects, images=1, **more):
    listed = [{'id': i, 'file_name': f'{i}.png', 'width': 200, 'height': 100} for i in range(1, images + 1)]
    instances = [{'id': i, 'image_id': 1, 'category_id': 1, **instance} for i, instance in enumerate(objects, 1)]
    content = {'images': listed, 'annotations': instances, 'categories': [{'id': 1, 'name': 'car'}], **more}
    return write(tmp_path / 'coco.json', json.dumps(content))


@pytest.mark.parametrize(
    'turn', [{'rotation': 30}, {'attributes': {'rotation': 12.5}}, {'angle': -5}, {'bbox': [1, 2, 3, 4, 30]}]
)
def test_a_turned_box_of_coco_is_refused_unless_its_outline_is_there(tmp_path, turn):
    box = {'bbox': [10, 10, 20, 20]}
    refused(ValueError, 'Annotation 1: bbox', read_coco, coco(tmp_path, {**box, **turn}))
    if 'bbox' not in turn:
        outline = {'segmentation': [[20, 5, 35, 20, 20, 35, 5, 20]]}
        assert read_coco(coco(tmp_path, {**box, **turn, **outline})).objects[1][0].box == (5, 5, 30, 30)
    for whole in ({'rotation': 0}, {'rotation': 360.0}, {'attributes': {'angle': 'front', 'rotation': 0}}):
        assert read_coco(coco(tmp_path, {**box, **whole})).objects[1][0].box == (10, 10, 20, 20)


def test_coco_counts_what_does_not_count_and_refuses_shares(tmp_path):
    instances = [{'bbox': [10, 10, 20, 20], 'ignore': 1}, {'bbox': [150, 10, 80, 20]}, {'bbox': [9, 9, 0, 0]}]
    path = coco(tmp_path, *instances, images=3)
    read = read_coco_file(Request(path, [Picture(tmp_path / '1.png', '1.png', SIZE)], tmp_path))
    assert [instance.crowd for instance in read.annotations.objects[1]] == [True, False]
    remarks = ' '.join(read.remarks.lines())
    counted = '1 object has a box without area', '1 object is marked "ignore"', '1 box reaches over'
    assert all(words in remarks for words in (*counted, '2 annotated images are'))
    refused(ValueError, 'are these shares of the sides', read_coco, coco(tmp_path, {'bbox': [0.1, 0.1, 0.5, 0.5]}))


@pytest.mark.parametrize(('row', 'message'), [
    ('a.png,car,1,2,30,40,200,100,0,1', None),
    ('a.png,car,1,2,30,40,100,200,0,0', 'width is 100, but the picture is 200x100'),
    ('a.png,car,1,2,30,40,,,15,', 'turned by 15'),
    ('a.png,car,1,2,30,40,,,,maybe', 'iscrowd'),
    ('b/a.png,car,1,2,30,40,,,,', None),
    ('A.PNG,car,1,2,30,40,,,,', None),
])  # fmt: skip
def test_columns_of_boxes_beside_the_wanted_ones_are_not_ignored(tmp_path, shown, row, message):
    head = 'filename,class,xmin,ymin,xmax,ymax,width,height,angle,iscrowd\n'
    request = Request(write(tmp_path / 'boxes.csv', head + row + '\n'), shown, tmp_path / 'in')
    if message is None:
        assert formats.read_boxes_csv(request).objects['a.png'][0].crowd is row.endswith('1')
    else:
        refused(ValueError, message, formats.read_boxes_csv, request)


@pytest.mark.parametrize(('folders', 'asks'), [
    ([str(i) for i in range(12)], 'by number.*0 1 2 3 .*by text .0 1 10 11 2'),
    ([f'class_{i}' for i in (1, 2, 10)], 'class_1 class_2 class_10'),
    (list('٠١٢') + ['١٠'], 'by number.*٢ ١٠'),
    (['1', '2', '3'], 'indices of the machines or names'),
    ([str(i) for i in range(10)], None),
    ([f'{i:02d}' for i in range(12)], None),
    (['bird', 'cat', 'dog'], None),
])  # fmt: skip
def test_folders_whose_order_is_not_clear_are_refused_with_a_request_for_names(folders, asks):
    names = [f'{folder}/{number}.png' for folder in folders for number in (1, 2)]
    if asks is None:
        assert image_folder_classes(names, None) == {name: folders.index(name.split('/')[0]) for name in names}
        return
    refused(ValueError, asks, image_folder_classes, names, None)
    # The advice works.
    assert image_folder_classes(names, folders)[f'{folders[-1]}/1.png'] == len(folders) - 1


def maps(tmp_path, values, names='background\nlesion\n', dtype=np.uint8, palette=False):
    for number, value in enumerate(values):
        Image.new('RGB', (8, 8), 'grey').save(tmp_path / 'in' / f'p{number}.png')
        pixels = np.zeros((8, 8), dtype)
        pixels[2:5, 2:5] = value
        picture = Image.fromarray(pixels)
        if palette:
            picture.putpalette(list(range(256)) * 3)
        (tmp_path / 'maps').mkdir(exist_ok=True)
        picture.save(tmp_path / 'maps' / f'p{number}.png')
    if names:
        write(tmp_path / 'maps/classes.txt', names)


def prepare_maps(tmp_path, **more):
    folders = tmp_path / 'in', tmp_path / 'out', 'seg', tmp_path / 'maps'
    return prepare_pictures(*folders, skipped=SkippedFiles(), **more)


@pytest.mark.parametrize(('values', 'options', 'message'), [
    ([255, 255], {}, "255 and none has the value 1, the class 'lesion'.*0 for background, 1 for lesion.*--ignore"),
    ([255, 0], {'palette': True}, 'value 255 and none has the value 1'),
    ([128, 255], {}, 'value 128, which no class has'),
    ([1, 300], {'dtype': np.uint16}, 'value 300, which no class has'),
    ([255, 255], {'names': ''}, 'the only other value is 0'),
    ([128, 0], {'names': ''}, 'nothing names the classes'),
    ([1, 255], {}, None),
    ([1, 0], {'palette': True}, None),
])  # fmt: skip
def test_values_of_maps_are_checked_before_anything_is_made(tmp_path, values, options, message):
    (tmp_path / 'in').mkdir()
    maps(tmp_path, values, **options)
    if message is None:
        assert len(prepare_maps(tmp_path).sources) == 2
        return
    refused(ValueError, message, prepare_maps, tmp_path)
    assert not list((tmp_path / 'out').rglob('*.png'))


def test_the_user_may_say_that_255_does_not_count_and_name_classes(tmp_path):
    (tmp_path / 'in').mkdir()
    maps(tmp_path, [255, 255])
    prepare_maps(tmp_path, ignored=255)
    (tmp_path / 'maps/classes.txt').unlink()
    maps(tmp_path, [1, 1], names='')
    own = prepare_pictures(tmp_path / 'in', tmp_path / 'new', 'seg', tmp_path / 'maps', classes=['back', 'front'])
    assert own.annotated and (tmp_path / 'new/miqa_seg/ground_truth/classes.txt').read_text() == 'back\nfront\n'


def test_maps_of_few_bits_and_of_another_size(tmp_path):
    (tmp_path / 'in').mkdir()
    maps(tmp_path, [1])
    Image.fromarray(np.full((8, 8), 17, np.uint8)).save(tmp_path / 'maps/p0.png', bits=4)
    from miqa.annotations.formats.class_map import class_map_of

    data = (tmp_path / 'maps/p0.png').read_bytes()
    if Image.open(io.BytesIO(data)).tile[0][3] == 'L;4':
        assert set(class_map_of(data, tmp_path).ravel()) == {1}
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / 'maps/p0.png')
    refused(ValueError, '9x8 pixels, but .*8x8', prepare_maps, tmp_path)


def test_a_folder_with_as_many_files_of_two_formats_is_not_guessed(tmp_path):
    for name in ('a.xml', 'a.txt', 'classes.txt'):
        write(tmp_path / 'labels' / name, '')
    assert format_of(tmp_path / 'labels', tmp_path, 'det').name == 'yolo'
    write(tmp_path / 'labels/b.xml', '')
    refused(ValueError, 'files of each of .txt and .xml', format_of, tmp_path / 'labels', tmp_path, 'det')


def test_classes_for_a_format_that_names_its_own_are_refused(tmp_path, shown):
    with pytest.raises(ValueError, match='--classes is not for a COCO JSON file'):
        prepare_pictures(tmp_path / 'in', tmp_path / 'out', 'det', coco(tmp_path), classes=['car'])


FORMAT_OF_OURS = """
from miqa.annotations.formats import AnnotationFormat, ReadObjects
from miqa.annotations.formats.coco_writing import LabelledBox

def read(request):
    boxes = {}
    for line in request.path.read_text().splitlines():
        name, *sides = line.split()
        boxes.setdefault(name, []).append(LabelledBox('car', tuple(map(float, sides))))
    return ReadObjects(boxes, ['car'])

FORMAT = AnnotationFormat('boxes', 'a file of boxes', ('det',), 'objects', read, file_suffixes=('.boxes',))
"""


def test_a_format_is_added_by_one_file_and_one_line(tmp_path, shown, monkeypatch):
    write(tmp_path / 'plain_boxes.py', FORMAT_OF_OURS)
    monkeypatch.syspath_prepend(str(tmp_path))
    import plain_boxes

    monkeypatch.setitem(FORMATS, plain_boxes.FORMAT.name, plain_boxes.FORMAT)
    own = prepare_pictures(tmp_path / 'in', tmp_path / 'out', 'det', write(tmp_path / 'x.boxes', 'a.png 10 20 50 60\n'))
    truth = json.loads((tmp_path / 'out/miqa_det/ground_truth.json').read_text())
    assert own.annotated and truth['annotations'][0]['bbox'] == [10, 20, 40, 40]
    sys.modules.pop('plain_boxes')


def test_annotations_and_headers_are_read_once(tmp_path, shown, monkeypatch):
    from miqa.annotations import coco as coco_module
    from miqa.labelling import coco_objects as objects_module
    from miqa.labelling.class_matches import unknown_classes
    from miqa.pictures import reading as images

    read = {'annotations': 0, 'headers': 0}

    def counted(name, function):
        def call(*arguments, **options):
            read[name] += 1
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(coco_module, '_parsed', counted('annotations', coco_module._parsed))
    monkeypatch.setattr(images, 'read_header', counted('headers', images.read_header))
    content = json.loads(coco(tmp_path, {'bbox': [10, 10, 20, 20]}).read_text())
    content['images'][0]['file_name'] = 'a.png'
    own = prepare_pictures(tmp_path / 'in', tmp_path / 'out', 'det', write(tmp_path / 'coco.json', json.dumps(content)))
    unknown_classes([], tmp_path / 'out', 'det', own.annotations)
    truth = str(tmp_path / 'out/miqa_det/ground_truth.json')
    assert objects_module.coco_objects(truth, False).categories == {'car': 1}
    assert read == {'annotations': 1, 'headers': 1}
