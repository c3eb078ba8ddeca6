"""Pictures that EXIF turns follow one rule, whatever kind of annotations lies beside them."""

import json
import warnings

import pytest
from PIL import Image

from miqa.annotations.objects import AnnotationError
from miqa.annotations.sizes import TurnedPictures
from miqa.distortions.sources import plan_sources
from miqa.labelling.user_pictures import prepare_pictures

VOC = (
    '<annotation><size><width>{}</width><height>{}</height></size><object><name>x</name><bndbox><xmin>1</xmin>'
    '<ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>'
)


def picture(folder, size=(40, 20), orientation=6, name='7.jpg'):
    exif = Image.Exif()
    exif[274] = orientation
    folder.mkdir(exist_ok=True)
    Image.new('RGB', size, (9, 99, 200)).save(folder / name, exif=exif)
    return folder


def annotated(tmp_path, kind, size=(40, 20)):
    """Annotations of the picture 7.jpg, which say this size where they say one."""
    folder = tmp_path / kind
    folder.mkdir()
    if kind == 'voc':
        (folder / '7.xml').write_text(VOC.format(*size))
    elif kind == 'yolo':
        (folder / '7.txt').write_text('0 0.5 0.5 0.2 0.2\n')
        (folder / 'classes.txt').write_text('x\n')
    elif kind == 'boxes':
        folder = folder / 'boxes.csv'
        folder.write_text('filename,class,xmin,ymin,xmax,ymax\n7.jpg,x,1,1,9,9\n')
    elif kind == 'coco':
        folder = folder / 'truth.json'
        images, names = [{'id': 7, 'file_name': '7.jpg'}], [{'id': 1, 'name': 'x'}]
        objects = [{'id': 1, 'image_id': 7, 'category_id': 1, 'bbox': [1, 1, 8, 8]}]
        folder.write_text(json.dumps({'images': images, 'annotations': objects, 'categories': names}))
    elif kind == 'maps':
        Image.new('L', size).save(folder / '7.png')
    return folder


@pytest.mark.parametrize('kind', ['yolo', 'boxes', 'coco', 'maps'])
@pytest.mark.parametrize('size', [(40, 20), (30, 30)])
def test_annotations_of_which_nothing_tells_the_frame_are_asked_about(tmp_path, kind, size):
    shots = picture(tmp_path / 'in', size, 3 if kind == 'maps' else 6)
    arguments = (shots, tmp_path / 'out', 'seg' if kind == 'maps' else 'det', annotated(tmp_path, kind, size))
    with pytest.raises(AnnotationError, match=r'nothing tells whether .* is of these as shown .*add --as-shown.*exif'):
        prepare_pictures(*arguments)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        prepare_pictures(*arguments, as_shown=True)


def test_boxes_outside_of_one_frame_prove_the_other_and_speak_for_all_pictures(tmp_path):
    shots = picture(picture(tmp_path / 'in'), orientation=3, name='8.jpg')
    boxes = annotated(tmp_path, 'boxes')
    coco = annotated(tmp_path, 'coco')
    as_shown = boxes.read_text() + '8.jpg,x,1,1,9,9\n7.jpg,x,1,1,9,39\n'
    boxes.write_text(as_shown)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        prepare_pictures(shots, tmp_path / 'out', 'det', boxes)
    (shots / '8.jpg').unlink()
    coco.write_text(coco.read_text().replace('[1, 1, 8, 8]', '[1, 1, 38, 8]'))
    with pytest.raises(AnnotationError, match='is of 1 pictures before EXIF rotation, as sizes or boxes show'):
        prepare_pictures(shots, tmp_path / 'other', 'det', coco)
    coco.write_text(coco.read_text().replace('[1, 1, 38, 8]', '[1, 41, 8, 8]'))
    with pytest.raises(AnnotationError, match='lies outside 7.jpg of 40x20 pixels'):
        prepare_pictures(picture(tmp_path / 'upright', orientation=1), tmp_path / 'other', 'det', coco)


def test_boxes_of_voc_must_be_of_the_picture_as_shown(tmp_path):
    shots = picture(tmp_path / 'in')
    with pytest.raises(
        ValueError, match='says 40x20 pixels, but .*7.jpg has 20x40.*before the EXIF rotation.*exiftool'
    ):
        prepare_pictures(shots, tmp_path / 'out', 'det', annotated(tmp_path, 'voc'))
    (tmp_path / 'voc' / '7.xml').write_text(VOC.format(20, 40))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        prepare_pictures(shots, tmp_path / 'out', 'det', tmp_path / 'voc')
    square = picture(tmp_path / 'square', (30, 30))
    (tmp_path / 'voc' / '7.xml').write_text(VOC.format(30, 30))
    with pytest.raises(AnnotationError, match='nothing tells whether'):
        prepare_pictures(square, tmp_path / 'other', 'det', tmp_path / 'voc')


@pytest.mark.parametrize('task', ['cls', 'det', 'ins', 'seg'])
def test_without_annotations_the_copied_original_is_warned_of(tmp_path, task):
    with pytest.warns(TurnedPictures, match='programs that ignore EXIF see the originals unturned'):
        prepare_pictures(picture(tmp_path / 'in'), tmp_path / 'out', task)


@pytest.mark.parametrize('task', ['cls', 'det'])
def test_pictures_that_are_not_turned_are_not_spoken_of(tmp_path, task):
    shots = picture(tmp_path / 'in', orientation=1)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        prepare_pictures(shots, tmp_path / 'out', task)
    assert [warning for warning in said if issubclass(warning.category, TurnedPictures)] == []


@pytest.mark.parametrize('size', [(80, 40), (39, 20), (20, 41)])
def test_annotations_of_another_size_are_refused_before_anything_is_made(tmp_path, size):
    shots = picture(tmp_path / 'in', orientation=1)
    truth = tmp_path / 'truth.json'
    image = {'id': 7, 'file_name': '7.jpg', 'width': size[0], 'height': size[1]}
    truth.write_text(json.dumps({'images': [image], 'annotations': [], 'categories': []}))
    for _ in range(2):
        with pytest.raises(AnnotationError, match=r'says .*7\.jpg has .* but it has 40 x 20'):
            plan_sources([shots / '7.jpg'], 'det', truth)
        with pytest.raises(AnnotationError, match=r'truth\.json says .*7\.jpg'):
            prepare_pictures(shots, tmp_path / 'out', 'det', truth)
    assert not (tmp_path / 'out').exists()


def test_where_an_image_has_no_size_that_of_its_encoded_pixels_counts(tmp_path):
    shots = picture(tmp_path / 'in')
    truth = tmp_path / 'truth.json'

    def settle(*shapes):
        objects = [
            {'id': number, 'image_id': 7, 'category_id': 1, 'segmentation': {'size': size, 'counts': [0, 99, 701]}}
            for number, size in enumerate(shapes)
        ]
        images, names = [{'id': 7, 'file_name': '7.jpg'}], [{'id': 1, 'name': 'x'}]
        truth.write_text(json.dumps({'images': images, 'annotations': objects, 'categories': names}))

    settle([20, 40])  # height and width as stored
    with pytest.raises(AnnotationError, match='is of 1 pictures before EXIF rotation'):
        plan_sources([shots / '7.jpg'], 'det', truth)
    settle([40, 20], [20, 40])
    with pytest.raises(AnnotationError, match=r'Annotation 1: segmentation has the size \[20, 40\]'):
        plan_sources([shots / '7.jpg'], 'det', truth)
    settle([40, 20])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        plan_sources([shots / '7.jpg'], 'det', truth)
