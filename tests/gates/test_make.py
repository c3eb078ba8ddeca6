"""``miqa gate make``: from a folder and a machine to a gate that filters, in one command that can be stopped."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
from helpers_apis import status_of
from helpers_machines import save, square
from helpers_refusals import refused
from helpers_serving import ask, running
from helpers_videos import write_video
from onnx import TensorProto, helper
from scipy.stats import spearmanr

from miqa.apis import MIQAModel, RealTimeIQA
from miqa.apis.gate_model import AFTER, GateFolder, assess_answers
from miqa.apis.gate_threshold import BEFORE
from miqa.apis.inputs import to_rgb
from miqa.apis.picture_features import PictureFeatures
from miqa.cli.main import main
from miqa.errors import CheckpointError
from miqa.gates.heads import Columns, cross_validate
from miqa.gates.report import _groups
from miqa.gates.samples import _numbers_of
from miqa.gates.worth import Interval
from miqa.integrations.frames import FrameFilter
from miqa.keeping import sha256_of_file
from miqa.machines import build_machine, load_machine_configs
from miqa.machines.base import DetectionPrediction
from miqa.machines.image_list import SourceImages
from miqa.networks.onnx_session import open_onnx
from miqa.running.progress import OneLine, open_bar

SIZE = (96, 64)
SOURCES = 8
DISTORTIONS = ('darkness', 'gaussian_noise')


def write_network(path, size=16):
    """A network with the interface of the packaged one: uint8 squares to mean and energy as features, two scores."""
    nodes = [
        helper.make_node('Cast', ['pixels'], ['real'], to=TensorProto.FLOAT),
        helper.make_node('ReduceMean', ['real'], ['mean'], axes=[1, 2, 3], keepdims=0),
        helper.make_node('ReduceL2', ['real'], ['energy'], axes=[1, 2, 3], keepdims=0),
        helper.make_node('Unsqueeze', ['mean', 'one'], ['a']),
        helper.make_node('Unsqueeze', ['energy', 'one'], ['b']),
        helper.make_node('Concat', ['a', 'b'], ['features'], axis=1),
        helper.make_node('Div', ['mean', 'white'], ['det_accuracy']),
        helper.make_node('Identity', ['det_accuracy'], ['det_consistency']),
    ]
    pixels = helper.make_tensor_value_info('pixels', TensorProto.UINT8, ['batch', 3, size, size])
    features = helper.make_tensor_value_info('features', TensorProto.FLOAT, ['batch', 2])
    names = ('det_consistency', 'det_accuracy')
    outputs = [features, *(helper.make_tensor_value_info(name, TensorProto.FLOAT, ['batch']) for name in names)]
    constants = {'one': np.array([1], np.int64), 'white': np.float32(255)}
    constants = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return save_graph(path, helper.make_graph(nodes, 'network', [pixels], outputs, constants))


def save_graph(path, graph, **opsets):
    versions = [helper.make_opsetid('', 17), *(helper.make_opsetid(*item) for item in opsets.items())]
    onnx.save(helper.make_model(graph, opset_imports=versions, ir_version=8), path)
    return path


@pytest.fixture(scope='module')
def shots(tmp_path_factory):
    """Bright squares on grey, their boxes, and a detector that sees dark ones less surely and at last not at all."""
    root = tmp_path_factory.mktemp('gate')
    images, boxes = [], []
    rng = np.random.default_rng(0)
    for number in range(1, SOURCES + 1):
        left, top = int(rng.integers(2, 40)), int(rng.integers(2, 20))
        box = (left, top, left + int(rng.integers(16, 50)), top + int(rng.integers(16, 40)))
        save(root / f'in/{number}.png', square(box, SIZE, 235) + rng.integers(0, 20, (SIZE[1], SIZE[0], 3)))
        images.append({'id': number, 'file_name': f'{number}.png', 'width': SIZE[0], 'height': SIZE[1]})
        sides = [left, top, box[2] - left, box[3] - top]
        boxes.append({'id': number, 'image_id': number, 'category_id': 3, 'bbox': sides})
    coco = {'images': images, 'annotations': boxes, 'categories': [{'id': 3, 'name': 'square'}]}
    (root / 'coco.json').write_text(json.dumps(coco))
    (root / 'mine.py').write_text(
        "machines = [dict(type='CallableMachine', function='helpers_machines:unsure_squares', task='det', name='eyes', "
        "classes=['square'])]"
    )
    write_network(root / 'network.onnx')
    return root


def command(shots, *more):
    return [
        'gate', 'make', str(shots / 'in'), '--task', 'det', '--machine', str(shots / 'mine.py'), '--annotations',
        str(shots / 'coco.json'), '--out', str(shots / 'mygate'), '--distortions', *DISTORTIONS, '--versions', '6',
        '--network', str(shots / 'network.onnx'), '--jobs', '1', '--quiet', *more,
    ]  # fmt: skip


@pytest.fixture(scope='module')
def gate(shots):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('sys.argv', ['miqa'])
        assert main(command(shots)) is None
    return shots / 'mygate'


def machine(shots):
    return build_machine(load_machine_configs(shots / 'mine.py')[0])


def test_one_command_leaves_a_gate_whose_scores_follow_the_machine(gate, shots, capsys):
    folder = GateFolder.open(gate)
    assert (folder.task, folder.label, folder.machine.name) == ('det', 'accuracy', 'eyes')
    code = 'import sys; sys.modules.update(cv2=None, torch=None); from miqa.cli.main import main; main(sys.argv[1:])'
    shown = subprocess.run([sys.executable, '-c', code, 'gate', 'show', gate], capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, '') and 'after: Pictures with a score' in shown.stdout
    assert folder.made['pictures'] == 6 * SOURCES and folder.made['sources'] == SOURCES
    pictures = sorted(map(str, (gate / 'data/miqa_det/images').glob('*/*.png')))
    answers = machine(shots).predict([to_rgb(path) for path in pictures])
    sure = [answer.scores.max(initial=0) for answer in answers]
    assert spearmanr(assess_answers(folder, pictures, answers), sure).statistic > 0.6
    assert spearmanr(folder.model().assess(pictures), sure).statistic > 0.4


def test_the_report_stands_alone_and_says_what_each_score_is_worth(gate):
    page = (gate / 'report.html').read_text()
    scores = ('before', 'after', 'own confidence', 'packaged model', 'Laplacian variance')
    assert all(f'<th scope="row">{name}</th>' in page for name in scores)
    assert 'Of 100 pictures like yours' in page and 'own confidence' in page
    assert not re.search(r'(src|href)="(https?:|//)', page)
    assert page.count('data:image/jpeg;base64,') == 10
    assert len(re.findall(r'<figure style="width:2\d\dpx">', page)) == 10  # as wide as its picture
    for word in ('best', 'worst'):  # five photographs, not five versions of one
        shown = re.findall(r'alt="(\d+)_', page.partition(f'five {word} photographs')[2])[:5]
        assert len(set(shown)) == 5


@pytest.mark.parametrize(('task', 'scores'), [('det', ['score_det_consistency', 'score_det_accuracy']), ('cls', [])])
def test_the_scores_of_the_network_for_the_task_are_read_as_logits_of_the_whole_picture(shots, task, scores):
    features = PictureFeatures(task, shots / 'network.onnx')
    picture = np.full((40, 60, 3), 200, np.uint8)
    numbers = dict(zip(features.names, features([features.view_of(picture)])[0], strict=True))
    assert [name for name in numbers if name.startswith('score_')] == scores
    assert [numbers[name] for name in scores] == pytest.approx([np.log(200 / 55)] * len(scores))


def test_every_kind_of_damage_is_in_the_table_rare_ones_together():
    kinds = ['contrast'] * 10 + ['fog', 'snow'] * 5 + ['h264'] * 3 + ['darkness'] * 4
    assert _groups(kinds) == [['contrast'], ['fog', 'snow'], ['darkness', 'h264']]


def test_the_same_command_again_makes_nothing_twice_and_gives_the_same_gate(gate, shots):
    before = (gate / 'gate.json').read_bytes()
    times = {path: path.stat().st_mtime_ns for path in (gate / 'data').rglob('*.png')}
    times |= {path: path.stat().st_mtime_ns for path in (gate / 'features').iterdir()}
    main(command(shots))
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert (gate / 'gate.json').read_bytes() == before


@pytest.mark.parametrize('name', ['before.onnx', 'gate.json', 'report.html', 'holiday.jpg'])
def test_a_file_of_another_program_is_not_replaced(shots, tmp_path, capsys, name):
    (tmp_path / name).write_text('{"mine": 1}')
    assert status_of(*command(shots), '--out', str(tmp_path))
    assert f'{name} is not of `miqa gate make`' in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, '{"mine": 1}')]


def test_an_interval_that_cannot_be_estimated_is_not_a_pair_of_nan():
    assert str(Interval(-0.6, float('nan'), float('nan'))) == '-0.600 [no interval]'


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize(('sources', 'versions'), [(2, 3), (3, 1), (5, 1)])
def test_few_photographs_are_cross_validated_on_errors_that_are_numbers(sources, versions):
    rng = np.random.default_rng(0)
    kinds = Columns(np.array([True, False]), np.ones(2))
    names = np.repeat(np.arange(sources), versions)
    assert np.isfinite(cross_validate(rng.random((len(names), 2)), rng.random(len(names)), names, kinds)).all()


def test_numbers_are_kept_for_a_picture_and_not_for_its_name(gate, tmp_path):
    first, second = sorted((gate / 'data/miqa_det/images').glob('*/*.png'))[:2]
    picture, cache = tmp_path / 'pictures/a.png', tmp_path / 'cache'
    picture.parent.mkdir()
    cache.mkdir()
    source = SourceImages('a', picture, picture.parent, (picture.name,))
    features = PictureFeatures('det', gate / 'picture.onnx')

    def numbers(content):
        picture.write_bytes(content)
        return _numbers_of(source, {picture.name: 1.0}, features, cache, 'x', lambda count: None)[0][picture.name]

    expected = {path: features([features.view(path)])[0] for path in (str(first), str(second))}
    for path in (first, second, second):
        np.testing.assert_array_equal(numbers(path.read_bytes()), expected[str(path)])
    (kept,) = cache.iterdir()
    position = kept.read_bytes().index(expected[str(second)].astype('<f8').tobytes())
    damaged = bytearray(kept.read_bytes())
    damaged[position] ^= 1
    kept.write_bytes(damaged)
    np.testing.assert_array_equal(numbers(second.read_bytes()), expected[str(second)])


@pytest.mark.parametrize('after', [False, True])
def test_the_filter_takes_the_folder_and_keeps_what_reaches_its_threshold(gate, shots, tmp_path, after):
    options = ['--machine', str(shots / 'mine.py')] if after else []
    pictures = gate / 'data/miqa_det/images'
    main(['filter', str(pictures), '--gate', str(gate), '--to', str(tmp_path / 'good'), '-q', *options])
    folder = GateFolder.open(gate)
    model = folder.model(machine(shots) if after else None)
    pictures = sorted(pictures.glob('*/*.png'))
    kept = {path.name for path, score in zip(pictures, model.assess(list(map(str, pictures))), strict=True)
            if score >= folder.thresholds[AFTER if after else BEFORE].threshold}  # fmt: skip
    assert {path.name for path in (tmp_path / 'good').rglob('*.png')} == kept and 0 < len(kept) < len(pictures)


def test_the_server_says_whether_a_picture_passes_the_folder(gate):
    pytest.importorskip('fastapi', reason="no FastAPI (pip install 'miqa[serve]')")
    from miqa.serving.application import build_app

    folder = GateFolder.open(gate)
    model = folder.model()
    pictures = sorted((gate / 'data/miqa_det/images').glob('*/*.png'))[:12]
    with running(build_app(model, gate=folder.threshold())) as url:
        answers = [ask(f'{url}/score', path.read_bytes(), {'Content-Type': 'image/png'}) for path in pictures]
        assert ask(f'{url}/heatmap', pictures[0].read_bytes())[0] == 422
    rows = [answer['results'][0] for _, answer in answers]
    np.testing.assert_allclose([row['score'] for row in rows], model.assess(list(map(str, pictures))), atol=1e-5)
    assert [row['passed'] for row in rows] == [row['score'] >= folder.threshold().threshold for row in rows]
    assert [row['quality'] for row in rows] == ['high' if row['passed'] else 'low' for row in rows]  # no other words


def test_frames_of_a_camera_pass_or_not_by_the_folder_alone(gate):
    live, results = RealTimeIQA(gate=gate), []
    frames = [np.full((64, 96, 3), 3, np.uint8)] * 2
    live.run(frames, display='none', every_frame=True, on_result=results.append)
    assert [result.passed for result in results] == [bool(result.score >= live.gate.threshold) for result in results]
    assert len(results) == 2


def test_the_camera_command_takes_the_folder_and_its_model(gate, tmp_path, capsys):
    write_video(tmp_path / 'v.avi', [0.1, 0.8])
    main(['camera', str(tmp_path / 'v.avi'), '--gate', str(gate), '--no-window', '--every-frame'])
    assert 'the gate passed' in capsys.readouterr().err


def test_an_answer_of_another_machine_is_refused(gate, shots, tmp_path):
    folder = GateFolder.open(gate)
    picture = np.zeros((64, 96, 3), np.uint8)
    other = DetectionPrediction(np.zeros((1, 4), np.float32), np.ones(1, np.float32), np.array([7]))
    refused(ValueError, 'with 1 classes; this one has class 7', assess_answers, folder, [picture], [other])
    config = {**load_machine_configs(shots / 'mine.py')[0], 'classes': ['circle']}
    refused(ValueError, 'the first different one is number 0', folder.model, build_machine(config))


@pytest.mark.parametrize(
    ('count', 'said'), [(None, 'are not compared'), (1, 'by their number alone'), (2, 'eyes, which tells 1 classes')]
)
def test_a_machine_without_names_of_classes_is_compared_by_their_number(gate, shots, caplog, count, said):
    config = {**load_machine_configs(shots / 'mine.py')[0], 'classes': None, 'version': '2'}
    other = build_machine(config)
    other.class_count = count
    if count == 2:
        refused(ValueError, said, GateFolder.open(gate).model, other)
    else:
        GateFolder.open(gate).model(other)
        assert said in caplog.text


@pytest.mark.parametrize('place', ['mygate', 'mygate/gate.json', 'fit', 'fit/gate.json'])
def test_a_gate_is_shown_by_its_folder_and_by_its_file(gate, shots, capsys, place):
    GateFolder.open(gate).thresholds[BEFORE].save(shots / 'fit' / 'gate.json')
    main(['gate', 'show', str(shots / place)])
    out = capsys.readouterr().out
    assert out.startswith('A gate for eyes' if 'mygate' in place else 'Pictures with a score')
    model = None if 'mygate' in place else GateFolder.open(gate).model()
    assert FrameFilter(model, gate=shots / place).threshold == GateFolder.open(gate).thresholds[BEFORE].threshold


def test_the_file_of_a_gate_without_its_heads_is_not_one_of_gate_fit(gate, tmp_path, capsys):
    (tmp_path / 'copy.json').write_bytes((gate / 'gate.json').read_bytes())
    refused(SystemExit, '1', main, ['gate', 'show', str(tmp_path / 'copy.json')])
    assert 'name the folder' in capsys.readouterr().err
    for place in (gate, gate / 'gate.json'):
        refused(ValueError, f'is a gate, not a model.* --gate {gate} --to', MIQAModel, str(place))


def test_a_plan_counts_what_is_measured_of_every_picture(shots, tmp_path, capsys):
    main(command(shots, '--out', str(tmp_path / 'new'), '--plan'))
    assert capsys.readouterr().out.count('features of the picture') == 2  # for an image, and in all


@pytest.mark.parametrize('more', [['--plan'], [], ['--pairs', 'pairs.csv']])
def test_too_few_photographs_are_known_before_the_machine_runs(shots, tmp_path, capsys, monkeypatch, more):
    (tmp_path / 'in').mkdir()
    for number in range(1, 5 if '--pairs' in more else 2):
        (tmp_path / f'in/{number}.png').write_bytes((shots / f'in/{number}.png').read_bytes())
    (tmp_path / 'pairs.csv').write_text('clean,degraded\n1.png,2.png\n3.png,4.png\n')
    more = [str(tmp_path / word) if word == 'pairs.csv' else word for word in more]
    monkeypatch.setattr('helpers_machines.unsure_squares', lambda images: 1 / 0)
    words = ['gate', 'make', str(tmp_path / 'in'), *command(shots)[3:], '--out', str(tmp_path / 'new'), *more]
    refused(SystemExit, '1', main, words)
    assert f'{2 if "--pairs" in more else 1} photograph' in capsys.readouterr().err


def test_a_machine_that_the_gate_never_saw_is_scored_and_the_guarantee_is_not_extended_to_it(
    gate, shots, tmp_path, caplog
):
    text = (shots / 'mine.py').read_text()
    (tmp_path / 'other.py').write_text(text.replace("name='eyes'", "name='others', version='2'"))
    notes = {}
    for name, config in (('eyes', shots / 'mine.py'), ('others', tmp_path / 'other.py')):
        main(['filter', str(shots / 'in'), '--gate', str(gate), '--machine', str(config), '-q',
              '--to', str(tmp_path / name)])  # fmt: skip
        notes[name] = caplog.text
        caplog.clear()
    assert 'its guarantee holds for eyes alone' in notes['others'] and 'guarantee' not in notes['eyes']
    kept = {name: sorted(path.name for path in (tmp_path / name).rglob('*.png')) for name in notes}
    assert kept['others'] == kept['eyes'] != []  # the same function under another name has the same scores


def test_a_gate_without_its_database_still_knows_how_the_file_of_its_machine_is_used(gate, tmp_path, capsys):
    copy = shutil.copytree(gate, tmp_path / 'copy', ignore=shutil.ignore_patterns('data', 'features'))
    net = tmp_path / 'net.onnx'
    net.write_bytes(b'x')
    words = ['filter', str(gate / 'data'), '--gate', str(copy), '--machine', str(net), '--to', str(tmp_path / 'good')]
    refused(SystemExit, '1', main, words)
    assert f'miqa label PICTURES --task det --machine {net} ' in capsys.readouterr().err
    (copy / 'miqa_det/machines').mkdir(parents=True)
    record = {'sha256': sha256_of_file(net), 'task': 'det', 'classes': ['square'], 'options': {'border': 1}}
    record['config'] = {'type': 'OnnxMachine', 'task': 'det', 'layout': 'yolo', 'classes': ['square']}
    (copy / 'miqa_det/machines/net.json').write_text(json.dumps(record))
    refused(SystemExit, '1', main, words)
    captured = capsys.readouterr()
    assert 'is used as detected before' in captured.out and 'not a whole ONNX' in captured.err


def test_a_stage_shows_no_counts_of_the_one_before(capsys):
    line = OneLine(2)
    line.stage('count')
    with open_bar(line, 4) as bar:
        bar.update(4)
    line.stage('think')
    line.close()
    assert '/4' not in capsys.readouterr().err.rpartition('think')[2]


@pytest.mark.parametrize('name', ['gate.json', 'before.onnx', 'picture.onnx'])
def test_a_changed_file_of_a_gate_is_named(gate, tmp_path, name):
    copy = shutil.copytree(gate, tmp_path / 'copy', ignore=shutil.ignore_patterns('data', 'features'))
    text = (copy / name).read_bytes()
    (copy / name).write_bytes(text.replace(b'"det"', b'"ins"') if name.endswith('json') else text[:-1] + b'x')
    refused(ValueError, name, GateFolder.open, copy)


@pytest.mark.parametrize(('child', 'whole'), [(1, True), (0, False)], ids=['ends', 'leads back'])
def test_trees_of_a_gate_are_run_only_where_every_branch_ends(child, whole, tmp_path):
    node = helper.make_node(
        'TreeEnsembleRegressor', ['x'], ['y'], domain='ai.onnx.ml', nodes_treeids=[0] * 3, nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0] * 3, nodes_values=[0.5, 0.0, 0.0], nodes_modes=['BRANCH_LEQ', 'LEAF', 'LEAF'],
        nodes_truenodeids=[child, 0, 0], nodes_falsenodeids=[2, 0, 0], target_treeids=[0, 0], target_nodeids=[1, 2],
        target_ids=[0, 0], target_weights=[1.0, 2.0], n_targets=1,
    )  # fmt: skip
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ['n', 1]) for name in 'xy']
    graph = helper.make_graph([node], 'trees', ends[:1], ends[1:])
    path = save_graph(tmp_path / 'head.onnx', graph, **{'ai.onnx.ml': 3})
    if whole:
        session, _ = open_onnx(path, 'cpu', limited=True)
        assert session.run(None, {'x': np.array([[0.0], [1.0]], np.float32)})[0].ravel().tolist() == [1.0, 2.0]
    else:
        refused(CheckpointError, 'lead back', open_onnx, path, 'cpu', limited=True)
