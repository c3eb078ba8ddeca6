"""``miqa label``: from a folder and a machine to a labelled database, with any annotations, and after any stop."""

import contextlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from helpers_machines import save, square
from helpers_refusals import refused as error_of
from PIL import Image

from miqa.cli.main import build_parser, main
from miqa.datasets import MIQDDataset
from miqa.distortions.masks import MaskRecipe
from miqa.distortions.sources import Source
from miqa.labelling import ScoreOptions, label_job
from miqa.labelling.label_job import LabelJob, make_database
from miqa.labelling.plan import cut_large
from miqa.labelling.user_pictures import read_pairs
from miqa.labelling.verify import verify_database
from miqa.machines import CallableMachine, load_machine_configs, torchvision_models
from miqa.machines.configs import machine_configs_of
from miqa.machines.library_names import check_machine_names
from miqa.outside.walking import SkippedFiles
from miqa.registry import MACHINES

SIZE = (64, 48)
BOXES = {'shots/a.png': (10, 6, 40, 30), 'shots/b.png': (20, 10, 60, 40), 'c.png': (5, 5, 25, 45)}
#: Fast, and each has its effect on the bright square.
DISTORTIONS = ('darkness', 'gaussian_noise')
QUICK = ['--distortions', *DISTORTIONS, '--patterns', 'uniform', '--jobs', '1', '--quiet']


@pytest.fixture
def shots(tmp_path):
    """Pictures of bright squares, annotations of these in every format, and a config of the machine that sees them."""
    return write_shots(tmp_path)


@pytest.fixture(scope='module')
def wanted(tmp_path_factory):
    """The pictures, masks, labels and split files that a run without a stop makes."""
    shots = write_shots(tmp_path_factory.mktemp('whole'))
    make_database(order_for(shots, 'whole'), False)
    return made_in(shots / 'whole')


def write_shots(tmp_path):
    folder, names, cvat = tmp_path / 'in', {}, []
    # The numbers that pictures get by their names, so that noise, which depends on these, is the same.
    for number, (name, box) in enumerate(sorted(BOXES.items()), 1):
        save(folder / name, square(box, SIZE, 230))
        left, top, right, bottom = box
        middle = ((left + right) / 2 / SIZE[0], (top + bottom) / 2 / SIZE[1])
        sides = ((right - left) / SIZE[0], (bottom - top) / SIZE[1])
        stem = Path(name).stem
        write(tmp_path / 'yolo/labels' / f'{stem}.txt', f'0 {middle[0]} {middle[1]} {sides[0]} {sides[1]}\n')
        voc = VOC.format(width=SIZE[0], height=SIZE[1], box=box, left=left + 1, top=top + 1)
        write(tmp_path / 'voc' / f'{stem}.xml', voc)
        shape = {'label': 'square', 'shape_type': 'rectangle', 'points': [[left, top], [right, bottom]]}
        write(tmp_path / 'labelme' / f'{stem}.json', json.dumps({'shapes': [shape]}))
        sides = f'xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}"'
        cvat.append(f'<image name="{name}"><box label="square" {sides}/></image>')
        names[name] = number
    write(tmp_path / 'cvat.xml', f'<annotations>{"".join(cvat)}</annotations>')
    write(tmp_path / 'yolo/data.yaml', 'names: [square]\n')
    lines = ['filename;class;xmin;ymin;xmax;ymax', *(f'{n};square;{";".join(map(str, b))}' for n, b in BOXES.items())]
    write(tmp_path / 'boxes.csv', '\ufeff' + '\n'.join(lines))
    write(tmp_path / 'coco.json', json.dumps({
        'images': [{'id': i, 'file_name': n, 'width': SIZE[0], 'height': SIZE[1]} for n, i in names.items()],
        'annotations': [
            {'id': i, 'image_id': i, 'category_id': 3, 'bbox': [x, y, right - x, bottom - y]}
            for i, (x, y, right, bottom) in ((i, BOXES[n]) for n, i in names.items())
        ],
        'categories': [{'id': 3, 'name': 'square'}],
    }))  # fmt: skip
    write(tmp_path / 'mine.py', machine_of('square'))
    return tmp_path


def machine_of(*classes: str, task='det', function='bright_squares') -> str:
    return (
        f"machines = [dict(type='CallableMachine', function='helpers_machines:{function}', task={task!r}, "
        f"name='eyes', classes={list(classes)})]"
    )


@contextlib.contextmanager
def changed_annotations(shots):
    """Give the content of the COCO file to be changed."""
    content = json.loads((shots / 'coco.json').read_text())
    yield content
    write(shots / 'coco.json', json.dumps(content))


def refused(capsys, shots, *more, **options) -> str:
    """Return what the command says where it ends with an error."""
    return str(error_of((SystemExit, ValueError), '', label, shots, 'out', *more, **options)) + capsys.readouterr().err


VOC = """<annotation><size><width>{width}</width><height>{height}</height></size><object><name>square</name>
<bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object></annotation>"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')
    return path


def label(shots, out, *more, annotations: str | None = 'coco.json', task='det', folder='in', machine='mine.py'):
    given = ['--annotations', str(shots / annotations)] if annotations else []
    words = [str(shots / folder), '--out', str(shots / out), '--task', task, '--machine', str(shots / machine)]
    main(['label', *words, *given, *QUICK, *more])
    return shots / out


def labels_in(root, task='det') -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / f'miqa_{task}/labels').glob('*.csv'))}


def made_in(root) -> dict[str, bytes]:
    return {path.relative_to(root): path.read_bytes() for kind in ('png', 'csv') for path in root.rglob(f'*.{kind}')}


def order_for(shots, out, **more) -> LabelJob:
    return LabelJob(
        shots / 'in', shots / out, 'det', load_machine_configs(shots / 'mine.py'), shots / 'coco.json',
        distortions=DISTORTIONS, level_pairs=[(i, i) for i in range(1, 6)], jobs=1, options=ScoreOptions(), **more,
    )  # fmt: skip


def test_a_folder_and_a_detector_become_a_database_that_trains(shots, capsys):
    root = label(shots, 'out')
    output = capsys.readouterr().out
    assert '30 labelled pictures; 3 sources in all' in output and 'PROBLEM' not in output
    assert f'miqa train ra_miqa_det --data-root {root}' in output
    assert verify_database(root, 'det', decode=True, progress=False).problems == []
    data = MIQDDataset(root, 'det', 'composite', 'train')
    assert len(data) == 20 and np.isfinite(data.labels).all()


def test_every_kind_of_annotations_gives_the_same_labels(shots):
    expected = labels_in(label(shots, 'coco'))
    assert len(expected) == 6
    for number, kind in enumerate(('yolo/labels', 'yolo/data.yaml', 'voc', 'boxes.csv', 'labelme', 'cvat.xml')):
        assert labels_in(label(shots, f'out{number}', annotations=kind)) == expected, kind


def test_without_annotations_there_is_consistency_alone(shots):
    root = label(shots, 'out', annotations=None)
    assert {name.rpartition('_')[2] for name in labels_in(root)} == {'consistency.csv'}
    assert len(MIQDDataset(root, 'det', 'consistency', 'val')) == 10
    error_of(ValueError, 'hold only consistency: --label consistency', MIQDDataset, root, 'det', 'composite', 'train')
    assert verify_database(root, 'det', progress=False).problems == []


def test_pairs_of_a_clean_and_a_degraded_picture_take_the_place_of_distortions(shots):
    rows = ['clean,degraded']
    first, second, third = (12, 6, 40, 30), (10, 6, 40, 30), (5, 5, 20, 45)
    made = ('shots/a', 'a1', first, 210), ('shots/a', 'a2', second, 100), ('c', 'c1', third, 220)
    for clean, name, box, value in made:
        save(shots / f'in/dark/{name}.png', square(box, SIZE, value))
        rows.append(f'{clean}.png,dark/{name}.png')
    root = label(shots, 'out', '--pairs', str(write(shots / 'pairs.csv', '\n'.join(rows))))
    text = (root / 'miqa_det/labels/000000000002_accuracy.csv').read_text().splitlines()
    assert [line.split(',')[:2] for line in text[1:]] == [
        ['000000000002_captured_1.png', '0.900000'], ['000000000002_captured_2.png', '0.000000']
    ]  # fmt: skip
    assert len(labels_in(root)) == 4
    assert verify_database(root, 'det', progress=False).problems == []


def test_a_removed_picture_keeps_its_labels_and_is_reported(shots, capsys):
    root = label(shots, 'out')
    expected = labels_in(root)
    min((shots / 'in').glob('*.png')).unlink()
    capsys.readouterr()
    label(shots, 'out')
    assert f'1 source of {root} is not in {shots / "in"} any more' in capsys.readouterr().out
    assert labels_in(root) == expected


def test_another_picture_of_the_same_size_does_not_keep_the_copy_of_the_former(shots, capsys):
    for name, value in (('a1', 210), ('a2', 100)):
        Image.fromarray(square((12, 6, 40, 30), SIZE, value)).save(shots / f'in/{name}.bmp')
    for name in ('a1', 'a2'):
        write(shots / 'pairs.csv', f'clean,degraded\nc.png,{name}.bmp\n')
        # One source is not enough for a split.
        said = refused(capsys, shots, '--pairs', str(shots / 'pairs.csv'))
    assert 'captured_1.bmp was copied from another file than' in said


def test_a_pair_of_two_sizes_is_refused_where_pixels_are_compared(shots):
    for name in ('clean', 'same'):
        save(shots / f'pairs/{name}.png', square((10, 6, 40, 30), SIZE, 230))
    Image.open(shots / 'pairs/clean.png').resize((32, 24)).save(shots / 'pairs/small.png')
    (shots / 'pairs/broken.png').write_bytes(b'none')
    lines = ['clean,degraded', 'clean.png,same.png', 'clean.png,broken.png', 'clean.png,small.png']
    table = write(shots / 'pairs.csv', '\n'.join(lines))
    expected = r'line 4: clean\.png has 64x48 pixels, small\.png has 32x24 \(1 such'
    error_of(ValueError, expected, read_pairs, table, shots / 'pairs', one_size=True)
    assert read_pairs(table, shots / 'pairs') == {'clean.png': ['same.png', 'broken.png', 'small.png']}


def test_single_pictures_with_annotations_give_accuracy_alone(shots):
    root = label(shots, 'out', '--unpaired')
    result = labels_in(root)
    assert len(result) == 3 and all(name.endswith('_accuracy.csv') for name in result)
    assert len(MIQDDataset(root, 'det', 'accuracy', 'train')) == 2


class Stop(Exception):
    """In the place of a kill."""


@pytest.mark.parametrize(
    'stage', ['build_versions', 'run_machine', 'label_database', 'renew_splits', 'verify_database']
)
@pytest.mark.parametrize('when', ['before', 'after'])
def test_a_run_that_was_stopped_goes_on_to_the_same_labels(shots, wanted, monkeypatch, stage, when):
    real = getattr(label_job, stage)

    def stopped(*args, **options):
        if when == 'after':
            real(*args, **options)
        raise Stop

    monkeypatch.setattr(label_job, stage, stopped)
    error_of(Stop, '', make_database, order_for(shots, 'out'), False)
    monkeypatch.setattr(label_job, stage, real)
    database = make_database(order_for(shots, 'out'), False)
    assert made_in(shots / 'out') == wanted and database.problems == []


def test_two_shards_and_a_last_run_give_the_same_labels(shots, wanted):
    for number in (2, 1):
        database = make_database(order_for(shots, 'out', shard=(number, 2)), False)
        assert database.manifest is None and not labels_in(shots / 'out')
    make_database(order_for(shots, 'out'), False)
    assert made_in(shots / 'out') == wanted


def test_a_plan_says_what_it_will_cost_and_makes_nothing(shots, capsys):
    label(shots, 'out', '--plan')
    output = capsys.readouterr().out
    assert '3 pictures in' in output and '33 images:' in output and 'eyes' in output and 'GB images' in output
    assert 'quality' not in output  # they are not asked for
    assert not (shots / 'out').exists()


def test_classes_come_from_folders_or_a_table(shots):
    for name, value in (('dark/1.png', 30), ('bright/1.png', 220)):
        save(shots / 'classes' / name, np.full((30, 40, 3), value))
    write(shots / 'cls.py', machine_of('dark', 'medium', 'bright', task='cls', function='brightness_classes'))
    write(shots / 'classes.csv', 'image,class_index\ndark/1.png,0\nbright/1.png,2\n')
    results = []
    for out, truth in (('cls0', 'classes'), ('cls1', 'classes.csv')):
        root = label(shots, out, annotations=truth, task='cls', folder='classes', machine='cls.py')
        results.append(labels_in(root, 'cls'))
    assert results[0] == results[1] and sorted(results[0]) == ['bright_1_mmos.csv', 'dark_1_mmos.csv']
    assert (root / 'miqa_cls/ground_truth.csv').read_text() == 'filename,class_index\nbright_1.png,2\ndark_1.png,0\n'


def see_halves(images):
    """A segmenter of two classes: bright or not."""
    return [(image.mean(2) > 128).astype(np.uint8) for image in images]


def test_a_semantic_segmenter_gives_mean_iou(shots):
    for name in BOXES:
        bright = np.asarray(Image.open(shots / 'in' / name)).mean(2) > 128
        save(shots / 'maps' / f'{Path(name).stem}.png', bright)
    write(shots / 'maps/classes.txt', 'dark\nlight\n')
    assert MACHINES.get('CallableMachine') is CallableMachine
    machine = dict(type=CallableMachine, function=see_halves, task='seg', name='eyes', classes=['dark', 'light'])
    job = LabelJob(
        shots / 'in', shots / 'out', 'seg', [machine], shots / 'maps', distortions=DISTORTIONS,
        level_pairs=[(1, 1), (5, 5)], jobs=1,
    )  # fmt: skip
    database = make_database(job, False)
    assert database.problems == [] and database.manifest['images'] == 12
    text = (shots / 'out/miqa_seg/labels/a_accuracy.csv').read_text().splitlines()
    assert text[0] == 'filename,mIoU_weighted_avg,mIoU_mean,mIoU_std'
    data = MIQDDataset(shots / 'out', 'seg', 'composite', 'train')
    assert len(data) == 8 and data.labels.min() < 1


@pytest.mark.parametrize(('change', 'annotations', 'message'), [
    (('yolo/labels/a.txt', '0 0.5 0.5 0.2\n'), 'yolo/labels', r'a\.txt, line 1 has 3 values'),
    (('yolo/labels/a.txt', '0 0.5 0.5 1.5 0.2\n'), 'yolo/labels', r'a\.txt, line 1: 1\.5 is not a share'),
    (('yolo/labels/a.txt', '4 0.5 0.5 0.2 0.2\n'), 'yolo/labels', r'class is 4; there are 1 classes'),
    (('yolo/labels/a.txt', '0 0.5 0.5 -0.2 0.2\n'), 'yolo/labels', r'line 1: -0\.2 is not a share'),
    (('yolo/labels/a.txt', '0 nan 0.5 0.2 0.2\n'), 'yolo/labels', 'line 1: .* something other than finite numbers'),
    (('yolo/data.yaml', f'names: {"[" * 3000}'), 'yolo/data.yaml', r'data\.yaml is not YAML'),
    (('yolo/data.yaml', 'nc: 1\n'), 'yolo/data.yaml', '"names"'),
    (('voc/a.xml', '<annotation><object>'), 'voc', r'a\.xml is not XML'),
    (('voc/a.xml', '<!DOCTYPE a [<!ENTITY b "c">]><annotation/>'), 'voc', 'declares entities'),
    (('voc/a.xml', VOC.format(width=9, height=9, box=(1, 1, 2, 2), left=1, top=1)), 'voc', '9x9 pixels'),
    (('boxes.csv', 'filename,class,xmin,ymin,xmax\na.png,x,1,2,3'), 'boxes.csv', "no column 'ymax'"),
    (('boxes.csv', 'filename,class,xmin,ymin,xmax,ymax\nz.png,x,1,2,3,4'), 'boxes.csv', "no picture 'z.png'"),
    (('boxes.csv', 'filename,class,xmin,ymin,xmax,ymax\nc.png,x,1,2,300,4'), 'boxes.csv', 'not inside the picture'),
    (('notes.md', ''), 'notes.md', 'none that is known. For det they may be'),
])  # fmt: skip
def test_wrong_annotations_are_reported_before_anything_is_made(shots, capsys, change, annotations, message):
    write(shots / change[0], change[1])
    said = refused(capsys, shots, annotations=annotations)
    assert re.search(message, said), said
    assert not (shots / 'out/miqa_det/images').exists()


def test_images_without_a_class_known_to_the_machine_are_excluded(shots):
    write(shots / 'mine.py', machine_of('circle', 'square'))
    with changed_annotations(shots) as content:
        content['categories'].append({'id': 9, 'name': 'star'})
        content['annotations'][0]['category_id'] = 9
    root = label(shots, 'out')
    manifest = json.loads((root / 'miqa_det/labels/manifest.json').read_text())
    assert manifest['excluded_images'] == 10
    assert set(manifest['excluded'].values()) == {'no machine has a class that is annotated in the image'}


@pytest.mark.parametrize(('task', 'known', 'annotations', 'message'), [
    ('det', 'circle', 'coco.json', 'No class of eyes .* written alike'),
    ('det', '', 'boxes.csv', r"eyes names no classes, .* Write classes=\['square'\]"),
    ('ins', 'square', 'coco.json', 'no segmentation, which ins needs'),
])  # fmt: skip
def test_incomparable_annotations_are_reported_before_any_machine_runs(
    shots, capsys, task, known, annotations, message
):
    write(shots / 'mine.py', machine_of(known, task=task).replace("['']", 'None'))
    assert re.search(message, refused(capsys, shots, task=task, annotations=annotations))
    assert not (shots / 'out/miqa_det/images').exists() and not list((shots / 'out').rglob('*.parquet'))
    # The mistake is mended in the annotations, which are no other ground truth then.
    if known == 'circle':
        with changed_annotations(shots) as content:
            content['categories'][0]['name'] = 'circle'
        assert labels_in(label(shots, 'out'))


def test_a_set_without_one_label_says_why(shots, capsys):
    with changed_annotations(shots) as content:
        del content['annotations'][1:]
    said = refused(capsys, shots, '--confidence', '0.999')
    assert 'None of 30 pictures has a label: 20 because image has no objects in the ground truth; 10 because' in said
    assert 'from a score of 0.999 on' in said and '--confidence' in said


def test_classes_that_a_machine_does_not_know_are_named(shots):
    with changed_annotations(shots) as content:
        content['categories'] += [{'id': 8, 'name': 'Star'}, {'id': 9, 'name': 'moon'}]
    write(shots / 'mine.py', machine_of('star', 'square'))
    order = order_for(shots, 'out')
    notes = '\n'.join(label_job.prepare(order, label_job.build_machines(order), SkippedFiles()).notes)
    assert re.search(r'eyes does not know 2 of the 3 .*: Star, moon \(Star is called star there', notes)


def test_other_ground_truth_never_replaces_what_labels_were_made_with(shots, capsys):
    label(shots, 'out')
    with changed_annotations(shots) as content:
        content['annotations'][0]['bbox'] = [0, 0, 5, 5]
    assert 'other ground truth' in refused(capsys, shots)


def test_every_model_of_torchvision_and_timm_is_a_name(tmp_path, monkeypatch):
    timm = pytest.importorskip('timm')
    for task in ('cls', 'det', 'ins', 'seg'):
        check_machine_names([name for name, of in torchvision_models().items() if of == task], task)
    check_machine_names(timm.list_models(pretrained=True), 'cls')
    for function in (machine_configs_of, check_machine_names):
        error_of(ValueError, r'is not a machine for ins.*\(maskrcnn', function, ['nothing_of_the_kind'], 'ins')
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'weights').mkdir()
    (tmp_path / 'm.py').mkdir()
    (tmp_path / 'weights/a.jpg').touch()
    os.mkfifo('pipe')
    for name, message in (
        ('weights', 'folder without a config.json'), ('weights/a.jpg', 'is not a machine file'), ('pipe', 'named pipe'),
        ('m.py', 'm.py is a folder, not a config of machines'),
    ):  # fmt: skip
        error_of(ValueError, message, machine_configs_of, [name], 'cls')


def test_a_large_picture_is_planned_by_its_middle(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (600, 1000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / 'a.png')
    source = Source('a', str(tmp_path / 'a.png'), MaskRecipe('saliency'))
    cut, times = cut_large(source, tmp_path / 'cut')
    with Image.open(cut.path) as image:
        assert times == pytest.approx(600_000 / (image.width * image.height)) and times == pytest.approx(4, rel=0.02)
        assert np.array_equal(np.asarray(image)[0, 0], noise[150, 250])
    Image.fromarray(noise[:100]).save(tmp_path / 'a.png')
    assert cut_large(source, tmp_path / 'cut') == (source, 1.0)


@pytest.mark.parametrize(('words', 'hint'), [
    (['label', '--versiom'], 'unrecognized arguments: --versiom'),
    (['label', 'f', '--out', 'o', '--task', 'det', '--machine', 'm', '--anotations', 'a'], "'--annotations'"),
    (['--versions'], "'--version'"),
])  # fmt: skip
def test_options_are_suggested_of_the_command_that_was_named(words, hint, capsys):
    error_of(SystemExit, '2', build_parser(words[0]).parse_args, words)
    text = capsys.readouterr().err
    assert hint in text and (words[0] != 'label' or "'--version'" not in text)
