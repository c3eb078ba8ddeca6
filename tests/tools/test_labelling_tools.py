"""The commands, as a user runs them: run, interrupt, resume, share out, label, verify, plan."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers_database import write_split
from helpers_machines import save, write_cls_database, write_det_database

from miqa.distortions.build import build_versions
from miqa.distortions.sources import plan_sources
from miqa.labelling.plan import VERSIONS, ImageCosts, MachineCosts, extrapolate, measure_images, sample_images
from miqa.labelling.verify import verify_database

ROOT = Path(__file__).parents[2]
CONFIG = (
    "machines = [dict(type='CallableMachine', function='helpers_machines:brightness_classes', "
    "task='cls', name='brightness', weight=2.0)]\n"
)


@pytest.fixture(scope='module')
def tool(warm):
    """A function that runs a script of tools/data, which ends well."""

    def tool(name, *arguments, call=warm.must, **environment):
        return call('python', ROOT / 'tools/data' / name, *arguments, **environment)

    return tool


@pytest.fixture(scope='module')
def labelled(tool, tmp_path_factory):
    """A cls database made by the commands: two shards as torchrun would run them, then labels."""
    root = write_cls_database(tmp_path_factory.mktemp('db'))
    (root / 'machines.py').write_text(CONFIG)
    for rank in (0, 1):
        run = tool(
            'run_machines.py', root, '--task', 'cls', '--machines', root / 'machines.py', '--workers', 0,
            RANK=str(rank), WORLD_SIZE='2',
        )  # fmt: skip
        assert f'shard {rank + 1}/2' in run.stdout
    labels = tool('make_labels.py', root, '--task', 'cls', '--jobs', 1)
    assert '9 images of 3 sources, 1 machines' in labels.stdout
    return root


def test_the_commands_make_labels_and_verify_finds_them_well(tool, labelled):
    done = tool('verify.py', labelled, '--task', 'cls', '--decode', '--checksums')
    assert 'all is well' in done.stdout and 'responses of brightness: 12 images, 0 of them unreadable' in done.stdout


def test_a_user_error_is_one_sentence(tool, warm, tmp_path):
    done = tool('make_labels.py', tmp_path, '--task', 'cls', call=warm.call)
    assert done.returncode == 1 and 'run_machines.py' in done.stderr and 'Traceback' not in done.stderr


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil_label(path, column, value):
    table = pd.read_csv(path)
    table[column] = table[column].astype(object)
    table.loc[1, column] = value
    table.to_csv(path, index=False)


VERSION, ANSWERS = 'miqa_cls/images/s0/s0_darkness_1.png', 'miqa_cls/responses/brightness/*.parquet'


@pytest.mark.parametrize(('damage', 'sentence'), [
    (lambda r: cut(r / VERSION), 's0_darkness_1.png is damaged'),
    (lambda r: (r / VERSION).unlink(), 'holds 2 versions; most sources have 3'),
    (lambda r: (r / 'miqa_cls/labels/s1_mmos.csv').unlink(), 's1_mmos.csv is missing'),
    (lambda r: spoil_label(r / 'miqa_cls/labels/s1_mmos.csv', 'weighted_accuracy', 1.2), 'not a number from 0'),
    (lambda r: spoil_label(r / 'miqa_cls/labels/s1_mmos.csv', 'weighted_accuracy', 'x'), 'not a number from 0'),
    (lambda r: spoil_label(r / 'miqa_cls/labels/s1_mmos.csv', 'dist_images', 's1/a.png'), 'lacks 1 versions'),
    (lambda r: save(r / VERSION, np.full((30, 40, 3), 9)), 'changed after the machines saw it'),
    (lambda r: save(r / 'miqa_cls/images/s0/s0_snow_1.png', np.zeros((3, 3, 3))), 'no response to s0_snow_1.png'),
    (lambda r: cut(next(r.glob(ANSWERS))), 'other contents than its checksum'),
    (lambda r: next(r.glob(ANSWERS)).unlink(), 'listed but missing'),
    (lambda r: [write_split(r, 'cls', split, ['s0']) for split in ('train', 'val')], 's0 is in both splits'),
])  # fmt: skip
def test_verify_notices(labelled, tmp_path, damage, sentence):
    root = shutil.copytree(labelled, tmp_path / 'db')
    assert verify_database(root, 'cls', decode=True, checksums=True, progress=False).problems == []
    damage(root)
    problems = verify_database(root, 'cls', decode=True, checksums=True, progress=False).problems
    assert any(sentence in problem for problem in problems), problems


def test_a_plan_is_the_sample_times_the_number_of_sources():
    costs = ImageCosts(0.2, distort_seconds=9, measure_seconds=90, decode_seconds=1.8, bytes=6e7, sampled=2)
    machines = [MachineCosts('a', 0.036, 'cpu', 100), MachineCosts('b', 0.072, 'cpu', 300)]
    plan = extrapolate(costs, machines, 10000)
    assert plan.images == 10000 * (VERSIONS + 1) == 2510000
    assert (plan.distort_hours, plan.measure_hours, plan.decode_hours) == (25, 250, 5)
    assert plan.machine_hours == pytest.approx({'a': 25.1, 'b': 50.2})
    assert plan.image_bytes == 6e11 and plan.response_bytes == 400 * 2510000
    assert plan.gpu_hours is None
    assert extrapolate(costs, machines, 10000, 100).gpu_hours == pytest.approx(2 * 2510000 / 100 / 3600)
    on_gpu = [MachineCosts('a', 0.001, 'cuda', 100)]
    assert extrapolate(costs, on_gpu, 10000).gpu_hours == pytest.approx(2510 / 3600)


def test_a_sample_is_spread_over_the_folder(tmp_path):
    for number in range(10):
        save(tmp_path / f'{number}.png', np.zeros((2, 2, 3)))
    assert [path.stem for path in sample_images(tmp_path, 3)] == ['0', '4', '9']
    assert len(sample_images(tmp_path, 50)) == 10


def test_some_pairs_of_levels_stand_for_all_of_them(tmp_path):
    save(tmp_path / 'a.png', np.random.default_rng(0).integers(0, 256, (170, 180, 3)))
    names = ('contrast', 'brightness')
    costs = measure_images([tmp_path / 'a.png'], tmp_path / 'plan', 'cls', distortions=names)
    sources = plan_sources([tmp_path / 'a.png'], 'cls')
    built = build_versions(sources, tmp_path / 'whole', 'cls', distortions=names, measures=(), progress=False)
    assert costs.versions == 50 and costs.bytes == pytest.approx(built.bytes, rel=0.1)
    made = [path for path in (tmp_path / 'plan').rglob('*.png') if 'contrast' in path.name]
    assert 0 < len(made) < 10


def test_the_plan_measures_a_sample_and_says_what_it_does_not_know(tool, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(2):
        save(tmp_path / f'photos/{number}.png', rng.integers(0, 256, (170, 180, 3)))
    (tmp_path / 'machines.py').write_text(CONFIG)
    done = tool(
        'plan.py', tmp_path / 'photos', '--task', 'cls', '--machines', tmp_path / 'machines.py', '--sample', 1,
        '--machine-images', 4, '--sources', 1000, '--device', 'cpu',
    )  # fmt: skip
    assert '1000 sources, 251000 images' in done.stdout and 'GPU time        not known' in done.stdout


def test_det_labels_come_from_the_commands_too(tool, warm, tmp_path):
    root = write_det_database(tmp_path)
    (root / 'machines.py').write_text(
        "machines = [dict(type='CallableMachine', function='helpers_machines:bright_squares', task='det', "
        "name='squares', classes=['square'])]\n"
    )
    words = ['run_machines.py', root, '--machines', root / 'machines.py', '--workers', 0, '--task']
    tool(*words, 'det')
    tool('make_labels.py', root, '--task', 'det', '--jobs', 1)
    table = pd.read_csv(root / 'miqa_det/labels/000000000001_accuracy.csv')
    np.testing.assert_allclose(table['AP_weighted_avg'], [1, 0.6, 0], atol=1e-6)
    wrong = tool(*words, 'ins', call=warm.call)
    assert wrong.returncode == 1 and 'squares is a machine for det, not for ins' in wrong.stderr
