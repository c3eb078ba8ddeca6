"""Semantic segmentation goes the way of the other tasks: labels, training, tables, filter curve."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers_config import write_tiny_config
from PIL import Image

from miqa.labelling.label_job import LabelJob, make_database
from miqa.reports.filter_benefit import machine_results

ROOT = Path(__file__).parents[2]


def see_three(images):
    """A segmenter of three shades."""
    return [np.digitize(image.mean(2), [80, 160]).astype(np.uint8) for image in images]


@pytest.fixture
def database(tmp_path):
    for number in range(8):
        random = np.random.default_rng(number)
        shades = np.kron(random.integers(0, 3, (4, 5)), np.ones((14, 14), int)).astype(np.uint8)
        noisy = np.stack([shades * 80 + 40] * 3, 2) + random.integers(-20, 20, (*shades.shape, 1))
        for folder, pixels in (('maps', shades), ('in', noisy.clip(0, 255).astype(np.uint8))):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f'p{number}.png')
    machine = {'type': 'CallableMachine', 'function': see_three, 'task': 'seg', 'name': 'shades'}
    job = LabelJob(
        tmp_path / 'in', tmp_path / 'data', 'seg', [machine], tmp_path / 'maps', jobs=1, val_share=0.4,
        distortions=('darkness', 'gaussian_noise', 'motion_blur'), level_pairs=[(1, 1), (3, 3), (5, 5)],
    )  # fmt: skip
    assert make_database(job, False).problems == []
    return tmp_path / 'data'


@pytest.mark.slow
def test_a_database_of_maps_trains_and_is_compared_and_filtered(database, warm, tmp_path):
    def tool(name, *arguments):
        done = warm.must('python', ROOT / 'tools' / name, *arguments, cwd=tmp_path)
        return done.stdout + done.stderr

    config = write_tiny_config(tmp_path / 'tiny_seg.py', database, 'seg')
    tool('train.py', config, '--label', 'accuracy', '--work-dir', 'run', '--epochs', 1)
    tool('test.py', config, 'run/best.pth', '--label', 'accuracy', '--out', 'test')
    output = tool(
        'analysis/compare.py', database, '--task', 'seg', '--label', 'accuracy', '--out', 'curve',
        '--jobs', 1, '--methods', 'gate=test/predictions.csv', 'PSNR', 'tta:resnet50',
    )  # fmt: skip
    assert 'PSNR' in output and 'gate' in output and 'seg: tta:resnet50 is not defined for this task' in output
    assert (tmp_path / 'curve/filter_curve.png').is_file()
    tool('analysis/benchmark.py', database, '--methods', 'PSNR', '--out', 'bench', '--jobs', 1, '--plots')
    assert list((tmp_path / 'bench').glob('filter_seg*.png'))


def test_what_a_segmenter_gets_right_is_its_mean_iou(database):
    names = sorted(path.name for path in (database / 'miqa_seg/images').rglob('p1_*.png'))
    results = machine_results(database, 'seg', pd.DataFrame({'filename': names}))
    assert results.shape == (9, 1) and results.shades.between(0, 1).all() and results.shades.nunique() > 2
