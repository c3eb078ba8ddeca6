"""The model that ships: its file, its card, what it says of a picture, and what other files of its kind must be."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from machine_iqa import MIQAModel
from miqa.apis.diagnosis import DiagnosisWords
from miqa.apis.methods import LITE_SHA256
from miqa.apis.runtimes import onnx_runtime
from miqa.apis.zoo.packaged import model_card, packaged_model

pytest.importorskip('onnxruntime')

ROOT = Path(__file__).parents[2]
WORDS = DiagnosisWords(('none', 'noise'), ('whole', 'object'), 0.5, 0.6)


@pytest.fixture(scope='module')
def model():
    return MIQAModel()


@pytest.fixture(scope='module')
def photograph():
    return Image.fromarray(pytest.importorskip('skimage.data').astronaut())


def test_the_file_is_small_and_the_default(model):
    assert packaged_model().stat().st_size <= 12e6
    assert model.source == str(packaged_model())
    assert (model.spec.task, model.spec.label, model.spec.fit) == ('cls', 'composite', 'stretch')


def test_one_file_scores_every_label_and_composite_is_their_mean(model, photograph):
    scores = {name: MIQAModel('miqa-lite', label=name).assess(photograph) for name in ('consistency', 'accuracy')}
    assert model.assess(photograph) == pytest.approx(sum(scores.values()) / 2, abs=1e-5)


@pytest.mark.parametrize(('cores', 'pictures'), [(1, 2), (2, 4), (16, 8)])
def test_a_batch_holds_two_pictures_for_each_core_and_never_changes_a_score(
    model, photograph, monkeypatch, cores, pictures
):
    monkeypatch.setattr(onnx_runtime, 'usable_cores', lambda: cores)
    batched = MIQAModel(model)
    assert batched.batch_size == pictures
    several = [photograph.rotate(30 * turn) for turn in range(5)]
    assert batched.assess(several) == pytest.approx([model.assess(picture) for picture in several], abs=1e-6)


def test_blur_of_a_third_lowers_the_score_on_average(model, photograph):
    width, height = photograph.size
    clean, changes = model.assess(photograph), []
    for left in (0, width // 3, 2 * width // 3):
        part = (left, 0, left + width // 3, height)
        damaged = photograph.copy()
        damaged.paste(photograph.crop(part).filter(ImageFilter.GaussianBlur(12)), part)
        changes.append(model.assess(damaged) - clean)
    assert np.mean(changes) < -0.02


def test_darkness_and_noise_are_named_or_unknown(model, photograph):
    pixels = np.asarray(photograph)
    dark = Image.fromarray((pixels * 0.15).astype(np.uint8))
    noise = np.random.default_rng(0).normal(0, 60, pixels.shape)
    noisy = Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
    result = model.assess([dark, noisy], diagnose=True)
    assert [one.damage.likeliest for one in result] == ['darkness', 'noise']
    assert all(one.damage.strength > 1 for one in result)


def test_the_card_names_what_the_file_says(model):
    card = model_card()
    assert card['kinds'] == list(model.runtime.words.kinds)
    assert card['authors'] and card['results']['photographs_never_seen']['composite']['gain'][0] > 0


def test_one_file_scores_for_every_task_and_several_at_once(model, photograph):
    alone = {task: MIQAModel(task=task) for task in ('cls', 'det', 'ins')}
    scores = {task: one.assess(photograph) for task, one in alone.items()}
    assert scores['cls'] == model.assess(photograph) != scores['det'] == scores['ins']
    assert MIQAModel(task=('cls', 'det', 'ins')).assess(photograph) == pytest.approx(scores, abs=1e-6)
    outputs = alone['det'].pixel_outputs(alone['det'].prepare(photograph)[None])
    assert outputs['score'] == outputs['composite'] == pytest.approx((outputs['consistency'] + outputs['accuracy']) / 2)
    assert len({one.identity for one in alone.values()}) == 3


def test_detectors_lose_by_blur_noise_and_darkness(photograph):
    pixels = np.asarray(photograph)
    noise = np.random.default_rng(0).normal(0, 70, pixels.shape)
    noisy = Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
    damaged = [photograph.filter(ImageFilter.GaussianBlur(9)), noisy, Image.fromarray((pixels * 0.06).astype(np.uint8))]
    clean, *scores = MIQAModel(task='det').assess([photograph, *damaged])
    assert max(scores) < clean - 0.1


@pytest.mark.parametrize(('damage', 'place', 'kind', 'where'), [
    ([0.9, 0.1], [1.0, 0.0], 'none', 'unknown'),
    ([0.1, 0.9], [1.0, 0.0], 'noise', 'whole'),
    ([0.4, 0.6], [0.5, 0.5], 'noise', 'unknown'),
    ([0.45, 0.4], [1.0, 0.0], 'unknown', 'whole'),
])  # fmt: skip
def test_a_guess_is_called_unknown(damage, place, kind, where):
    diagnosis = WORDS.diagnosis(np.array(damage), 3.0, np.array(place))
    assert (diagnosis.kind, diagnosis.place) == (kind, where)


@pytest.mark.parametrize('change', [{'kinds': 'noise'}, {'least_kind': 2}, {'places': ['Whole Picture']}, {'more': 1}])
def test_words_of_a_file_are_checked(change):
    with pytest.raises(ValueError, match='diagnosis'):
        DiagnosisWords.from_dict({**json.loads(json.dumps(WORDS.to_dict())), **change}, 'x.onnx: diagnosis')


def test_convolutions_pad_by_themselves_so_that_the_runtime_keeps_its_fast_layout():
    onnx = pytest.importorskip('onnx')
    kinds = {node.op_type for node in onnx.load(str(packaged_model())).graph.node}
    assert 'Conv' in kinds and 'Pad' not in kinds


def test_dark_pictures_which_are_seen_twice_change_no_other_score_of_their_batch():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 224, 224), np.uint8)
    pixels[1] //= 8
    model = MIQAModel()
    both, alone = model.pixel_outputs(pixels), [model.pixel_outputs(pixels[n : n + 1]) for n in range(3)]
    for name, values in both.items():
        assert np.allclose(values, np.concatenate([one[name] for one in alone]), atol=1e-5), name


@pytest.mark.parametrize('level', [0, 1, 3, 10])
def test_a_picture_that_is_black_all_over_scores_low_although_brightening_changes_nothing_in_it(level):
    assert MIQAModel().pixel_outputs(np.full((1, 3, 224, 224), level, np.uint8))['composite'][0] < 0.2


def test_the_packaged_file_is_the_one_that_needs_no_look_through_and_so_no_onnx():
    assert hashlib.sha256(packaged_model().read_bytes()).hexdigest() == LITE_SHA256
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('onnx', 'torch', 'cv2')))\n"
        'import numpy as np; from machine_iqa import MIQAModel\n'
        'print(MIQAModel().assess(np.full((64, 64, 3), 128, np.uint8)))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and 0 <= float(done.stdout) <= 1, done.stderr
