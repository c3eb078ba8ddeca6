"""Pairs of good and bad pictures: matching, labels, the table, and the command."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from helpers_machines import save
from helpers_onnx import export
from helpers_refusals import refused
from scipy.stats import spearmanr
from skimage import data

from miqa.benchmark.pairs import CONFIDENCE, LIMIT, LOST, PairScores, consistency, find_pairs, score_pairs, summarise
from miqa.cli.main import main
from miqa.distortions import apply_distortion
from miqa.machines import Machine
from miqa.machines.base import ClassPrediction, DetectionPrediction
from miqa.pictures.finding import SkippedFiles

GREY = np.full((8, 8, 3), 90, np.uint8)


def test_pictures_are_matched_by_name_whatever_their_endings_and_the_rest_is_counted(tmp_path):
    for name in ('a.png', 'night/b.png', 'night/c.png'):
        save(tmp_path / 'good' / name, GREY)
    for name in ('a.jpg', 'night/b.png', 'night/d.png'):
        save(tmp_path / 'bad' / name, GREY)
    skipped = SkippedFiles()
    pairs = find_pairs(str(tmp_path / 'good'), str(tmp_path / 'bad'), skipped)
    assert [(pair.group, pair.scene) for pair in pairs] == [('good', 'a'), ('night', 'b')]
    assert skipped.count == 2


def test_a_star_stands_for_the_set(tmp_path):
    for group in ('dark', 'fog'):
        save(tmp_path / group / 'good' / '1.png', GREY)
        save(tmp_path / group / 'bad' / '1.png', GREY)
    save(tmp_path / 'rain' / 'good' / '1.png', GREY)
    save(tmp_path / 'snow' / 'bad' / '1.png', GREY)
    skipped = SkippedFiles()
    pairs = find_pairs(str(tmp_path / '*' / 'good'), str(tmp_path / '*' / 'bad'), skipped)
    assert [pair.group for pair in pairs] == ['dark', 'fog']
    assert skipped.count == 2 and f'{tmp_path}/rain/good has no partner {tmp_path}/rain/bad.' in skipped.lines()[0]
    refused(ValueError, 'both patterns', find_pairs, str(tmp_path / '*' / 'good'), str(tmp_path / 'dark' / 'bad'))
    refused(FileNotFoundError, 'not a folder', find_pairs, str(tmp_path / 'nothing'), str(tmp_path / 'dark' / 'bad'))


def test_consistency_is_the_overlap_of_probabilities_or_the_precision_of_boxes():
    first, second = np.array([0.7, 0.2, 0.1], np.float32), np.array([0.1, 0.2, 0.7], np.float32)
    assert consistency(ClassPrediction(first), ClassPrediction(second)) == pytest.approx(0.4)
    box = DetectionPrediction(np.array([[0, 0, 9, 9]], np.float32), np.array([0.9], np.float32), np.array([1]))
    none = DetectionPrediction(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert consistency(box, box) == pytest.approx(1)
    assert consistency(none, box) == 0
    assert np.isnan(consistency(box, none))


def table(rng, scenes=12):
    rows = []
    for group in ('dark', 'fog'):
        for scene in range(scenes):
            label = rng.random()
            rows.append({'set': group, 'scene': str(scene), 'label': label, 'right (good)': 1.0, 'right (bad)': label,
                         f'{CONFIDENCE} (good)': 0.5, f'{CONFIDENCE} (bad)': rng.random(),
                         f'{LIMIT} (good)': 1.0, f'{LIMIT} (bad)': label**2 + 0.2 * rng.random()})  # fmt: skip
    return pd.DataFrame(rows)


def test_the_summary_gives_the_correlations_of_scipy_and_intervals_around_them():
    scores = PairScores(table(np.random.default_rng(3)), [LIMIT, CONFIDENCE, 'right'])
    scores.table.loc[[1, 7], f'{LIMIT} (bad)'] = np.nan  # the probe finds nothing in the good picture
    summary = summarise(scores, resamples=300)
    assert summary['scenes'].tolist() == [len(scores.table) - 2, *[len(scores.table)] * 2]
    groups = [part for _, part in scores.table.groupby('set')]
    for name in scores.methods:
        within = np.mean([srcc(part[f'{name} (bad)'], part['label']) for part in groups])
        pooled = srcc(scores.table[f'{name} (bad)'], scores.table['label'])
        assert summary.loc[name, 'within'] == pytest.approx(within)
        assert summary.loc[name, 'pooled'] == pytest.approx(pooled)
        assert summary.loc[name, 'within_low'] <= within <= summary.loc[name, 'within_high']
    assert summary.loc['right', ['within', 'pooled', 'below']].tolist() == pytest.approx([1, 1, 1])
    assert summary.loc[CONFIDENCE, 'gain'] == 0
    assert summary.loc['right', 'gain_low'] > 0.3
    # A pair whose bad picture scores higher counts against a method, but only where machines lose something.
    lost = scores.table['label'] < LOST
    assert 0 < lost.sum() < len(lost)
    below = (scores.table[f'{CONFIDENCE} (bad)'] < 0.5)[lost].mean()
    assert summary.loc[CONFIDENCE, 'below'] == pytest.approx(below)


def srcc(first, second) -> float:
    return spearmanr(first, second, nan_policy='omit').statistic


class Brightness(Machine):
    """Says how bright a picture is in two classes."""

    def __init__(self, name):
        super().__init__(name, 'cls')

    def fingerprint(self):
        return self.name

    def predict_prepared(self, batch):
        shares = [float(image.mean()) / 255 for image in batch]
        return [ClassPrediction(np.array([share, 1 - share], np.float32)) for share in shares]


def test_one_unreadable_scene_is_left_out_with_its_reason_and_the_others_are_scored(tmp_path):
    for scene, value in enumerate((200, 100, 50)):
        save(tmp_path / 'good' / f'{scene}.png', np.full((8, 8, 3), 250, np.uint8))
        save(tmp_path / 'bad' / f'{scene}.png', np.full((8, 8, 3), value, np.uint8))
    (tmp_path / 'bad' / '1.png').write_bytes(b'no picture')
    pairs = find_pairs(str(tmp_path / 'good'), str(tmp_path / 'bad'))
    scores = score_pairs(pairs, [Brightness('a')], Brightness('b'), {}, {'mean': lambda image: float(image.mean())})
    assert scores.table['scene'].tolist() == ['0', '2']
    assert scores.table['label'].tolist() == pytest.approx([1 - 50 / 255, 1 - 200 / 255], abs=1e-5)
    assert scores.table['mean (bad)'].tolist() == [200, 50]
    assert len(scores.skipped) == 1 and '1.png' in scores.skipped[0]


def test_the_command_takes_network_files_writes_its_tables_and_chooses_a_half(tmp_path, capsys):
    def brightness(x):
        return torch.stack([x.mean((1, 2, 3)) / 300, -x.mean((1, 2, 3)) / 300], 1).softmax(1)

    machines = [str(export(brightness, torch.rand(1, 3, 40, 40), tmp_path / f'{name}.onnx')) for name in 'ab']
    photograph = np.ascontiguousarray(data.coffee()[::8, ::8])
    for scene in range(12):
        part = np.ascontiguousarray(np.roll(photograph, 5 * scene, axis=1)[:40, :40])
        save(tmp_path / 'night' / 'good' / f'={scene:03d}.png', part)
        dark = apply_distortion(part, 'underexposure', 1 + scene / 3, seed=scene)
        save(tmp_path / 'night' / 'bad' / f'={scene:03d}.png', dark)
    out = tmp_path / 'out'
    main(['benchmark-pairs', str(tmp_path / '*' / 'good'), str(tmp_path / '*' / 'bad'), '--half', 'even', '--machine',
          machines[0], '--probe', machines[1], '--out', str(out), '--resamples', '100', '--quiet'])  # fmt: skip
    assert '6 pairs in 1 set;' in capsys.readouterr().out
    content = json.loads((out / 'summary.json').read_text(encoding='utf-8'))
    assert content['pairs'] == 6 and content['methods'][LIMIT]['within'] == pytest.approx(1)
    assert 'miqa-lite' in content['methods']  # the model in the package, where none is named
    scenes = pd.read_csv(out / 'pairs.csv', dtype={'scene': str})['scene'].tolist()
    assert scenes == [f"'={n:03d}" for n in range(0, 12, 2)]  # no formulas for a spreadsheet
    made = {'pairs.csv', 'summary.csv', 'summary.json', 'pairs.png', 'report.html'}
    assert {path.name for path in out.iterdir()} == made
