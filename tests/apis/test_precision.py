"""`precision='auto'` takes the faster format only where scores stay, and remembers."""

import json

import numpy as np
import pytest
from helpers_apis import write_run

from machine_iqa import MIQAModel
from miqa.apis.runtimes import Device, Runtime, probes
from miqa.apis.runtimes import precision as module
from miqa.apis.runtimes.precision import choose_runtime, default_precision
from miqa.apis.runtimes.probes import pixels_to_try, probe_pixels
from miqa.running import processor


class Fake(Runtime):
    """Scores the mean; a reduced format is off by ``off`` and takes ``seconds`` of a clock that the test sets."""

    name, device = 'Fake', Device('cpu')

    def __init__(self, precision, clock, seconds, off):
        self.precision, self.clock, self.seconds, self.off = precision, clock, seconds, off

    def __call__(self, pixels):
        self.clock[0] += self.seconds
        return pixels.mean(axis=(1, 2, 3)) / 255 + self.off


@pytest.fixture
def attempt(tmp_path, monkeypatch):
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    (tmp_path / 'weights').write_bytes(b'weights')
    clock, opened = [0.0], []
    monkeypatch.setattr(module.time, 'perf_counter', lambda: clock[0])

    def run(seconds, off, about=('fake',)):
        opened.clear()

        def open_in(name):
            opened.append(name)
            return Fake(name, clock, 1.0 if name == 'fp32' else seconds, 0.0 if name == 'fp32' else off)

        return choose_runtime(open_in, ('bf16',), 32, str(tmp_path / 'weights'), about).precision

    run.opened = opened
    return run


@pytest.mark.parametrize(
    ('seconds', 'off', 'expected'),
    [(0.5, 0.004, 'bf16'), (0.5, 0.006, 'fp32'), (0.5, np.nan, 'fp32'), (0.95, 0.001, 'fp32'), (2.0, 0.001, 'fp32')],
)
def test_the_faster_format_is_taken_where_scores_stay_within_five_thousandths(attempt, seconds, off, expected, capsys):
    assert attempt(seconds, off) == expected
    assert f'precision=auto: {expected} with Fake' in capsys.readouterr().err


def test_a_choice_is_kept_printed_once_and_made_anew_for_other_weights_or_software(attempt, tmp_path, capsys):
    assert attempt(0.5, 0.001) == 'bf16'
    capsys.readouterr()
    assert attempt(2.0, 0.5) == 'bf16' and capsys.readouterr().err == ''
    assert attempt(2.0, 0.5, about=('fake', 'newer')) == 'fp32'
    (tmp_path / 'weights').write_bytes(b'others')
    assert attempt(2.0, 0.5) == 'fp32'


def test_a_damaged_file_of_choices_is_measured_again(attempt, tmp_path):
    for text in ('{', '[1]', '{"x": 3}', '[' * 10_000):
        (tmp_path / 'home').mkdir(exist_ok=True)
        (tmp_path / 'home' / 'precision.json').write_text(text)
        assert attempt(0.5, 0.001) == 'bf16'
    assert list(json.loads((tmp_path / 'home' / 'precision.json').read_text()).values()) == ['bf16']


def test_what_is_said_counts_more_than_the_environment_and_that_more_than_auto(monkeypatch):
    monkeypatch.delenv('MIQA_PRECISION', raising=False)
    assert default_precision(None) == 'auto' and default_precision('bf16') == 'bf16'
    monkeypatch.setenv('MIQA_PRECISION', 'fp32')
    assert default_precision(None) == 'fp32' and default_precision('auto') == 'auto'


def test_auto_on_a_processor_without_bfloat16_is_float32_unmeasured(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(processor, 'processor', lambda: ('an older one', frozenset(('avx2',))))
    write_run(tmp_path / 'best.pth')
    assert MIQAModel(tmp_path / 'best.pth', device='cpu', precision='auto').precision == 'fp32'
    assert capsys.readouterr().err == '' and not (tmp_path / 'home').exists()


def test_flags_of_the_processor_decide_and_emulation_does_not(monkeypatch):
    for flags, expected in ((('amx_bf16',), True), (('avx512_bf16',), True), (('avx512f', 'avx2'), False)):
        monkeypatch.setattr(processor, 'processor', lambda flags=flags: ('any', frozenset(flags)))
        assert processor.has_bfloat16() is expected


def test_pictures_to_try_are_the_same_everywhere_and_unlike_each_other():
    pixels = probe_pixels(64)
    assert pixels.shape == (16, 3, 64, 64) and pixels.dtype == np.uint8
    assert np.array_equal(pixels, probe_pixels(64))
    means, spreads = pixels.mean(axis=(1, 2, 3)), pixels.std(axis=(1, 2, 3))
    assert np.ptp(means) > 50 and spreads.min() < 15 and spreads.max() > 40


def test_photographs_of_the_demos_test_set_are_tried_where_they_are_installed(monkeypatch):
    pytest.importorskip('foolbox', reason="no photographs (pip install 'miqa[demo]')")
    pixels, what = pixels_to_try(48)
    assert what == "photographs of the demo's test set" and pixels.shape == (32, 3, 48, 48)
    assert len(np.unique(pixels.reshape(32, -1), axis=0)) == 32

    def missing():
        raise ImportError('not installed')

    monkeypatch.setattr(probes, 'installed_photos', missing)
    made, what = pixels_to_try(48)
    assert what == 'made pictures' and np.array_equal(made, probe_pixels(48, 32))


@pytest.mark.parametrize(('swapped', 'expected'), [(1, 'bf16'), (12, 'fp32')])
def test_a_format_that_changes_the_order_of_scores_is_not_taken(attempt, monkeypatch, swapped, expected, capsys):
    # Scores lie close together: each within five thousandths of any other.
    scores = np.linspace(0.5, 0.504, 32)

    def score(self, pixels):
        self.clock[0] += self.seconds
        found = scores[: len(pixels)].copy()
        if self.precision != 'fp32' and len(pixels) == 32:
            for first in range(0, 2 * swapped, 2):
                found[[first, first + 1]] = found[[first + 1, first]]
        return found

    monkeypatch.setattr(Fake, '__call__', score)
    assert attempt(0.5, 0.0) == expected
    assert ('changes the order' in capsys.readouterr().err) == (expected == 'fp32')


def test_the_order_is_measured_as_scipy_measures_it():
    stats = pytest.importorskip('scipy.stats')
    rng = np.random.default_rng(0)
    for _ in range(20):
        one, other = rng.integers(0, 9, (2, 30)) / 10
        assert module.order_kept(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
    assert module.order_kept(np.ones(4), np.ones(4)) == 1 and module.order_kept(np.ones(4), np.arange(4)) == 0
