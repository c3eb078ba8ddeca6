"""A student learns a teacher's scores on unlabelled pictures; the quickstart's camera model is found by name."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers_apis import MEAN, STD, VIT, photo, write_photos, write_run
from helpers_database import write_database
from helpers_refusals import refused

from miqa.apis import MIQAModel, RealTimeIQA, register_demo, register_demo_fast
from miqa.apis.zoo.catalogue import demo_path
from miqa.datasets import UnlabelledPictures, read_split
from miqa.datasets.batching import stack_samples
from miqa.datasets.division import divide_sources
from miqa.distillation import TEACHER_VIEW, DistortAtRandom, PackStudentAndTeacher, TeacherScores
from miqa.errors import CheckpointError, WeightsUnavailable
from miqa.models import read_checkpoint
from miqa.running import generator_for
from miqa.structures import QualitySample, labels_of
from miqa.taxonomy import LABELS

ROOT = Path(__file__).parents[2]
PROBED = {
    'type': 'ResponseRegressor', 'heads': ['consistency', 'accuracy'], 'members': 2, 'components': 2, 'hidden': 4,
    'probe': {'type': 'ClassifierProbe', 'model_name': 'test_resnet.r160_in1k', 'pretrained': False},
}  # fmt: skip


def results_of(seed: int, picture=None) -> dict:
    return {'picture': photo() if picture is None else picture, 'rng': generator_for(seed), 'path': 'shot.png'}


def test_every_picture_comes_in_several_versions_and_parts_share_no_name(tmp_path):
    write_photos(tmp_path / 'a', 5)
    write_photos(tmp_path / 'b', 6)
    whole = UnlabelledPictures(tmp_path, 'cls', pictures='.', versions=3)
    assert len(whole) == 11 * 3
    images = [whole.get_data_info(i)['image'] for i in (0, 2, 3, -1)]
    assert images == ['a/000.png', 'a/000.png', 'a/001.png', 'b/005.png']
    parts = [UnlabelledPictures(tmp_path, 'cls', pictures='.', part=part, selection=0.4) for part in ('fit', 'select')]
    names = [{info['source'] for info in map(part.get_data_info, range(len(part)))} for part in parts]
    assert names[0].isdisjoint(names[1]) and sum(len(part.paths) for part in parts) == 11


def test_without_a_folder_the_training_sources_of_a_database_are_taken_as_its_own_parts_take_them(tmp_path):
    root = write_database(tmp_path, 'cls', sources=6, val_sources=3)
    fit = UnlabelledPictures(root, 'cls', part='fit', selection=0.3, versions=1)
    sources = {fit.get_data_info(i)['source'] for i in range(len(fit))}
    assert sources == divide_sources(read_split(root, 'cls', 'train'), 'fit', 0.3)
    assert sources.isdisjoint(read_split(root, 'cls', 'val'))


def test_a_path_that_is_not_a_folder_of_pictures_is_reported(tmp_path):
    refused(FileNotFoundError, 'no folder', UnlabelledPictures, tmp_path, 'cls', pictures='missing')
    refused(FileNotFoundError, 'no picture', UnlabelledPictures, tmp_path, 'cls', pictures='.')
    write_photos(tmp_path, 2)
    refused(ValueError, 'at least 1', UnlabelledPictures, tmp_path, 'cls', pictures='.', versions=0)
    refused(ValueError, "must be 'train'", UnlabelledPictures, tmp_path, 'cls', pictures='.', split='val')


def test_damage_follows_the_seed_and_leaves_the_requested_share_alone():
    damage = DistortAtRandom(clean=0.5)
    pictures = [damage(results_of(seed))['picture'] for seed in range(60)]
    second = [damage(results_of(seed))['picture'] for seed in range(60)]
    assert all(np.array_equal(a, b) for a, b in zip(pictures, second, strict=True))
    untouched = sum(np.array_equal(picture, photo()) for picture in pictures)
    assert 15 <= untouched <= 45  # 30 expected, three binomial deviations of 3.9 and more
    refused(ValueError, 'gaussian_blur', DistortAtRandom, distortions=['gausian_blur'])
    refused(ValueError, 'shares', DistortAtRandom, fused=2)


def test_student_and_teacher_see_what_they_would_see_at_inference(tmp_path):
    write_run(tmp_path / 'teacher.pth', views=None, short_side=72)
    pack = PackStudentAndTeacher({'short_side': 50, 'size': 40}, {'short_side': 72, 'size': 64})
    inputs = pack(results_of(0))['inputs']
    assert inputs['image'].shape == (3, 40, 40)
    prepared = MIQAModel(tmp_path / 'teacher.pth').prepare(photo()[..., ::-1].copy())
    assert np.array_equal(inputs[TEACHER_VIEW].numpy(), prepared)
    refused(ValueError, 'short_side', PackStudentAndTeacher, {'size': 40}, {'short_side': 72, 'size': 64})


def batch_of(count: int, size: int = 64) -> dict:
    pack = PackStudentAndTeacher({'short_side': 50, 'size': 40}, {'short_side': size, 'size': size})
    inputs = [pack(results_of(0, photo(seed=seed)))['inputs'] for seed in range(count)]
    samples = [QualitySample(metainfo={'label': 'composite'}) for _ in inputs]
    return stack_samples([dict(inputs=i, data_sample=s) for i, s in zip(inputs, samples, strict=True)])


@pytest.mark.parametrize('network', [VIT, PROBED], ids=['one label', 'all labels'])
def test_a_batch_gets_the_teachers_own_scores(tmp_path, network):
    write_run(tmp_path / 'teacher.pth', network, label='composite')
    batch = batch_of(3)
    TeacherScores(str(tmp_path / 'teacher.pth')).mark(batch)
    assert set(batch['inputs']) == {'image'}
    labels = ('composite',) if network is VIT else LABELS
    views = np.stack([np.asarray(view) for view in batch_of(3)['inputs'][TEACHER_VIEW]])
    for label in labels:
        expected = MIQAModel(tmp_path / 'teacher.pth', label=label).score_pixels(views)
        result = labels_of(batch['data_sample'], 'gt_scores')[:, LABELS.index(label)].tolist()
        assert result == pytest.approx(expected.tolist(), abs=1e-5)
    sample = batch['data_sample'][1]
    assert sample.gt_score == sample.gt_scores[LABELS.index('composite')]


def test_a_view_that_is_not_the_teachers_is_refused_and_a_labelled_batch_stays(vit_file):
    teacher = TeacherScores(str(vit_file))
    refused(ValueError, 'takes 64 pixels of a short side of 72; the pipeline packs 60', teacher.mark, batch_of(2, 60))
    batch = batch_of(1)
    del batch['inputs'][TEACHER_VIEW]
    teacher.mark(batch)
    assert labels_of(batch['data_sample'], 'gt_score') is None


def test_a_student_trains_on_pictures_alone_and_is_a_model_like_every_other(warm, tmp_path):
    write_run(tmp_path / 'teacher.pth', task='cls', label='composite')
    write_photos(tmp_path / 'data' / 'pictures', 8)
    config = tmp_path / 'student.py'
    config.write_text(
        f"""
_base_ = {str(ROOT / 'configs' / 'distill' / 'lite0.py')!r}
batch_size = 4
selection = 0.25
_pipeline = [
    dict(type='LoadImage'),
    dict(type='DistortAtRandom'),
    dict(type='PackStudentAndTeacher', student=dict(short_side=40, size=32), teacher=dict(short_side=72, size=64)),
]
train_dataloader = dict(num_workers=0, dataset=dict(versions=2, pipeline=_pipeline))
val_dataloader = dict(num_workers=0, dataset=dict(versions=2, pipeline=_pipeline))
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImage'), dict(type='ResizeShortSide', size=40), dict(type='PackViews', image=32),
]))
model = dict(
    data_preprocessor=dict(views=dict(image=dict(size=32, mean={MEAN}, std={STD}))),
    network=dict(_delete_=True, type='TimmRegressor', model_name='test_resnet.r160_in1k', pretrained=False),
)
schedule = dict(epochs=2)
custom_hooks = [dict(type='SeedEveryStep'), dict(type='TeacherScores', teacher={str(tmp_path / 'teacher.pth')!r})]
"""
    )
    words = ['tools/train.py', config, '--data-root', tmp_path / 'data', '--work-dir', tmp_path / 'run']
    warm.must('python', *words, cwd=ROOT)
    student = MIQAModel(tmp_path / 'run' / 'best.pth')
    assert student.spec.view_size == 32 and student.spec.task == 'cls' and np.isfinite(student.assess(photo()))
    # The teacher's tensors are not in the student's file.
    state = read_checkpoint(tmp_path / 'run' / 'best.pth')['state_dict']
    assert all(name.startswith(('network.backbone.', 'data_preprocessor.')) for name in state)


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    pytest.importorskip('onnxscript', reason="needs the extra 'export'")
    folder = tmp_path_factory.mktemp('exported')
    write_run(folder / 'best.pth', task='cls', label='composite')
    return MIQAModel(folder / 'best.pth').export(folder / 'student.onnx')


def test_the_camera_model_is_found_by_name_and_scores_without_torch(exported, tmp_path, monkeypatch):
    monkeypatch.setenv('MIQA_HOME', str(tmp_path))
    refused(WeightsUnavailable, r'bash tools/quickstart\.sh', MIQAModel, 'demo-fast')
    register_demo_fast(exported)
    expected = MIQAModel(exported).assess(photo())
    assert MIQAModel('demo-fast').assess(photo()) == expected
    assert RealTimeIQA('demo-fast').assess_frame(photo()) is not None
    (picture,) = write_photos(tmp_path / 'shots', 1)
    code = (
        'import json, sys; from machine_iqa import MIQAModel\n'
        "score = MIQAModel('demo-fast').assess(sys.argv[1]); print(json.dumps([score, 'torch' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, '-c', code, picture], cwd=ROOT, capture_output=True, text=True, check=True)
    score, has_torch = json.loads(done.stdout)
    assert score == pytest.approx(MIQAModel(exported).assess(picture), abs=1e-6) and not has_torch


def test_only_an_exported_file_becomes_the_camera_model(tmp_path, vit_file):
    refused(CheckpointError, 'miqa export', register_demo_fast, vit_file)
    (tmp_path / 'other.onnx').write_bytes(b'nothing')
    refused(CheckpointError, '', register_demo_fast, tmp_path / 'other.onnx')


def test_the_demo_of_each_task_has_a_place_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    for task in ('det', 'cls'):
        write_run(tmp_path / f'{task}.pth', task=task)
        assert register_demo(tmp_path / f'{task}.pth') == demo_path('demo', task)
    assert MIQAModel('demo').spec.task == 'cls' and MIQAModel('demo', task='det').spec.task == 'det'
    refused(WeightsUnavailable, r'MIQA_TASK=ins bash tools/quickstart\.sh', MIQAModel, 'demo', task='ins')
