"""CSV files as spreadsheets and tools write them are understood where only one thing can be meant."""

import shutil

import numpy as np
import pytest
from helpers_database import write_database
from helpers_refusals import refused
from PIL import Image

from miqa.annotations import formats
from miqa.annotations.formats import Picture, Request
from miqa.cli.gate import read_calibration
from miqa.datasets import DatabaseError, open_index
from miqa.distortions.sources import read_names
from miqa.labelling import read_classes
from miqa.labelling.user_pictures import read_pairs
from miqa.outside.tables import TableError, id_of, number_of, parse_table
from miqa.splits.reading import read_split


def read_boxes_csv(path, pictures):
    read = formats.read_boxes_csv(Request(path, pictures, path.parent))
    return read.objects, read.categories


def read_class_table(*arguments):
    return formats.read_class_table(*arguments).indices


KINDS = {
    'mark': lambda text: text.encode('utf-8-sig'),
    'semicolons': lambda text: text.replace(',', ';').encode(),
    'tabulators': lambda text: text.replace(',', '\t').encode(),
    'carriage returns': lambda text: text.replace('\n', '\r').encode(),
    'both ends': lambda text: text.replace('\n', '\r\n').encode(),
    'utf-16': lambda text: text.replace(',', '\t').encode('utf-16'),
    'sep line': lambda text: ('sep=;\r\n' + text.replace(',', ';')).encode(),
    'spaces': lambda text: ('  ' + text.replace(',', ' , ')).encode(),
    'empty rows': lambda text: (text.replace('\n', '\n\n') + ',,\n').encode(),
    'quoted': lambda text: '\n'.join(
        ','.join(f'"{field}"' for field in line.split(',')) for line in text.splitlines()
    ).encode(),
}


def recoded(text, kind):
    return KINDS[kind](text)


@pytest.mark.parametrize('kind', KINDS)
def test_every_way_to_write_a_table_gives_the_same_rows(kind):
    table = parse_table(
        recoded('Image Name,Category,Score\na.JPEG,hen,0.5\nb.JPEG,cock,1\n', kind), ['Image Name', 'Score'], 'x'
    )
    assert table.rows == [{'Image Name': 'a.JPEG', 'Score': '0.5'}, {'Image Name': 'b.JPEG', 'Score': '1'}]


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('task', ['cls', 'det'])
def test_labels_and_splits_are_read_from_each(tmp_path, task, kind):
    root = write_database(tmp_path / 'db', task, sources=3)
    expected = open_index(write_database(tmp_path / 'plain', task, sources=3), task, 'train')
    for path in [*(root / 'splits').iterdir(), *(root / f'miqa_{task}' / 'labels').iterdir()]:
        path.write_bytes(recoded(path.read_text().replace('"hen, chicken"', 'hen'), kind))
    index = open_index(root, task, 'train')
    assert index.sources == expected.sources == read_split(root, task, 'train')
    assert np.array_equal(index.labels('composite'), expected.labels('composite'))


def test_numbers_with_a_comma_are_read_where_semicolons_divide_fields(tmp_path):
    root = write_database(tmp_path / 'db', 'cls', sources=3)
    expected = open_index(write_database(tmp_path / 'plain', 'cls', sources=3), 'cls', 'train').labels('composite')
    for path in (root / 'miqa_cls' / 'labels').iterdir():
        lines = [line.split(',') for line in path.read_text().splitlines()]
        path.write_text('\n'.join(';'.join([f[0], *(x.replace('.', ',') for x in f[1:])]) for f in lines))
    assert np.array_equal(open_index(root, 'cls', 'train').labels('composite'), expected)


def test_an_id_that_a_spreadsheet_has_shortened_is_a_sentence_and_one_with_a_point_is_understood(tmp_path):
    root = write_database(tmp_path, 'det', sources=3)
    path = root / 'splits' / 'miqa_det_train.csv'
    sources = read_split(root, 'det', 'train')
    path.write_text('Image Index\n' + ''.join(f'{int(source)}.0\n' for source in sources))
    assert read_split(root, 'det', 'train') == sources
    for text in ('1.7E+18', '1,7E+18', '1E5', '1.39e+02'):
        path.write_text(f'Image Index\n"{text}"\n')
        refused(ValueError, r'row 1 of .*a spreadsheet has shortened the number', read_split, root, 'det', 'train')
    assert id_of('000139', 'x') == '000139' and id_of('139,00', 'x') == '139' and id_of('a1E5', 'x') == 'a1E5'


@pytest.mark.parametrize('kind', KINDS)
def test_classes_and_lists_of_names_are_read_from_each(tmp_path, kind):
    (tmp_path / 'truth.csv').write_bytes(recoded('filename,class_index\na/x.JPEG,3\ny.JPEG,0\n', kind))
    assert read_classes(tmp_path / 'truth.csv') == {'x': 3, 'y': 0}
    (tmp_path / 'names.csv').write_bytes(recoded('Image Name,Category\nx.JPEG,a\ny.JPEG,b\n', kind))
    assert read_names(tmp_path / 'names.csv') == ['x.JPEG', 'y.JPEG']


@pytest.mark.parametrize(('data', 'message'), [
    (b'', "no column 'a'. Its columns: none"),
    (b'b,c\n1,2\n', "no column 'a'. Its columns: b, c"),
    (b'a,a\n1,2\n', "more than one column 'a'"),
    (b'a,b\n1,2,3\n', 'row 1 has 3 fields; its header has 2'),
    (b'a,b\n1\n', 'row 1 has 1 fields; its header has 2'),
    (b'a\n\xff\n', 'not UTF-8 text'),
    (b'a\n\x00\n', 'line 2: there is a NUL byte'),
    ('a,b\n1,2\n'.encode('utf-16-le'), 'UTF-16 without a byte order mark'),
    (b'a\n"' + b'x' * 200_000, ''),
])  # fmt: skip
def test_a_file_that_is_not_a_table_is_refused(data, message):
    try:
        rows = parse_table(data, ['a'], 'The file x').rows
    except TableError as error:
        assert message in str(error) and 'The file x' in str(error)
    else:
        assert message == '' and len(rows) == 1


@pytest.mark.parametrize(('text', 'value'), [('0.5', 0.5), (' 1e-3 ', 0.001), ('', None), ('N/A', None)])
def test_numbers_and_missing_ones_are_distinguished(text, value):
    assert np.isnan(number_of(text)) if value is None else number_of(text) == value
    for wrong in ('x', '1_000', '1,5'):
        refused(ValueError, '', number_of, wrong)


def test_the_authors_flat_folder_of_images_is_read(tmp_path):
    root = write_database(tmp_path / 'db', 'cls', sources=3)
    nested = open_index(write_database(tmp_path / 'nested', 'cls', sources=3), 'cls', 'train')
    images = root / 'miqa_cls' / 'images'
    for folder in list(images.iterdir()):
        for path in folder.iterdir():
            shutil.move(path, images / path.name)
        folder.rmdir()
    index = open_index(root, 'cls', 'train')
    assert len(index) == len(nested) and np.array_equal(index.labels('accuracy'), nested.labels('accuracy'))
    for row in range(len(index)):
        assert '/' not in index.image(row)
        Image.open(images / index.image(row)).close()
    (images / index.image(0)).unlink()
    for file in root.rglob('*.arrow'):
        file.unlink()
    refused((DatabaseError, FileNotFoundError), '1 of .* images are missing', open_index, root, 'cls', 'train')


def own_pictures(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (40, 30), (9, 9, 9)).save(folder / name)
    return folder


@pytest.mark.parametrize('kind', KINDS)
def test_tables_of_ones_own_pictures_are_read_from_each(tmp_path, kind):
    shots = own_pictures(tmp_path / 'in', ['a/x.png', 'b/y.png'])
    pictures = [Picture(shots / name, name, (40, 30)) for name in ('a/x.png', 'b/y.png')]
    path = tmp_path / 'table.csv'
    path.write_bytes(recoded('Image,Label,x1,y1,x2,y2\na\\x.png,hen,1,2,3,4\ny.png,cock,5,6,7,8\n', kind))
    boxes, classes = read_boxes_csv(path, pictures)
    assert classes == ['cock', 'hen']
    assert {name: instances[0].box for name, instances in boxes.items()} == {
        'a/x.png': (1, 2, 3, 4),
        'b/y.png': (5, 6, 7, 8),
    }
    path.write_bytes(recoded('Image,Index\nx.png,3\nb/y.png,0\n', kind))
    assert read_class_table(path, ['a/x.png', 'b/y.png'], None) == {'a/x.png': 3, 'b/y.png': 0}
    path.write_bytes(recoded('clean,degraded\na/x.png,b/y.png\n', kind))
    assert read_pairs(path, shots) == {'a/x.png': ['b/y.png']}


@pytest.mark.parametrize(('text', 'message'), [
    ('filename,class,xmin,ymin,xmax,ymax\nx.png,hen,nan,2,3,4\n', r'line 2: the box .* is not made of numbers'),
    ('filename,class,xmin,ymin,xmax,ymax\nx.png,hen,1,2,inf,4\n', r'line 2: the box .* is not made of numbers'),
    ('filename,class,xmin,ymin,xmax,ymax\n1.7E+18,hen,1,2,3,4\n', 'a spreadsheet has shortened the number'),
    ('filename,class,xmin,ymin,xmax,ymax\nx.png,hen,1,2,3,4\n', "'x.png' may be a/x.png or b/x.png"),
    ('filename,image,class,xmin,ymin,xmax,ymax\n', "more than one column 'filename'"),
    ('filename,class,xmin,ymin,xmax,ymax\n\n\n"a/x.png",,1,2,3,4\n', 'line 4 names no class'),
])  # fmt: skip
def test_boxes_that_cannot_be_are_a_sentence_with_their_line(tmp_path, text, message):
    names = ['a/x.png', 'b/x.png'] if 'b/x.png' in message else ['a/x.png']
    path = tmp_path / 'boxes.csv'
    path.write_text(text)
    refused(ValueError, message, read_boxes_csv, path, [Picture(tmp_path / name, name, (40, 30)) for name in names])


def test_two_pictures_of_one_name_have_each_their_line(tmp_path):
    path = tmp_path / 'classes.csv'
    path.write_text('file,index\na/x.png,2\nb/x.png,1\n')
    assert read_class_table(path, ['a/x.png', 'b/x.png'], None) == {'a/x.png': 2, 'b/x.png': 1}
    path.write_text('file,index\nin/a/x.jpg,1\nb/x.png,2.0\n')
    assert read_class_table(path, ['a/x.png', 'b/x.png'], None) == {'a/x.png': 1, 'b/x.png': 2}


@pytest.mark.parametrize('kind', KINDS)
def test_calibration_of_gates_is_read_from_each(tmp_path, kind):
    path = tmp_path / 'calibration.csv'
    path.write_bytes(recoded('score,outcome,group\n0.5,1,7\n,1,7\n0.25,0,8\n', kind))
    scores, outcomes, groups, model, skipped = read_calibration(path, 'score', 'outcome', None)
    assert (scores.tolist(), outcomes.tolist(), groups.tolist()) == ([0.5, 0.25], [1, 0], ['7', '8'])
    assert model is None and skipped == 1


@pytest.mark.parametrize(('text', 'message'), [
    ('score,outcome\n0.1,1,7\n', 'row 1 has 3 fields; its header has 2'),
    ('score,outcome\n0.1\n', 'row 1 has 1 fields'),
    ('score,score,outcome\n1,2,3\n', "more than one column 'score'"),
    ('score,outcome,group\n0.1,1,1.7E+18\n', 'line 2: group is .* a spreadsheet has shortened'),
    ('score,outcome\n1_0,1\n', "line 2: score is '1_0', which is not a number"),
])  # fmt: skip
def test_calibration_that_may_mean_several_things_is_a_sentence(tmp_path, text, message):
    path = tmp_path / 'calibration.csv'
    path.write_text(text)
    refused(ValueError, message, read_calibration, path, 'score', 'outcome', None)
    # A comma at the end of each line is no column.
    path.write_text('score,outcome\n0.1,1,\n')
    assert read_calibration(path, 'score', 'outcome', None)[0].tolist() == [0.1]
