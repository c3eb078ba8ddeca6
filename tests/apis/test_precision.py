"""`precision='auto'` takes the faster format only where scores stay, and decides once for a machine."""

import json
import multiprocessing
import os

import numpy as np
import pytest
import torch

from machine_iqa import MIQAModel
from miqa.apis import opening
from miqa.apis.runtimes import Device, Runtime, probes
from miqa.apis.runtimes import precision as module
from miqa.apis.runtimes.precision import choose_runtime, default_precision
from miqa.apis.runtimes.probes import pixels_to_try, probe_pixels
from miqa.apis.runtimes.torch_runtime import settings_of
from miqa.pictures.package_photos import list_photos, missing_packages
from miqa.running import processor


class Fake(Runtime):
    """Scores the mean; a reduced format is off by ``off`` of it and takes ``seconds`` of a clock that the test sets."""

    name, device = 'Fake', Device('cpu')

    def __init__(self, precision, clock, seconds, off):
        self.precision, self.clock, self.seconds, self.off = precision, clock, seconds, off

    def __call__(self, pixels):
        self.clock[0] += self.seconds
        means = pixels.mean(axis=(1, 2, 3)) / 255
        return means + (self.off(means) if callable(self.off) else self.off)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    (tmp_path / 'weights').write_bytes(b'weights')
    return str(tmp_path / 'weights')


@pytest.fixture
def attempt(weights, monkeypatch):
    clock, opened = [0.0], []
    monkeypatch.setattr(module.time, 'process_time', lambda: clock[0])

    def run(seconds, off, about=('fake',)):
        opened.clear()

        def open_in(name):
            opened.append(name)
            return Fake(name, clock, 1.0 if name == 'fp32' else seconds, 0.0 if name == 'fp32' else off)

        return choose_runtime(open_in, ('bf16',), 32, weights, about).precision

    run.opened = opened
    return run


@pytest.mark.parametrize(
    ('seconds', 'off', 'expected'),
    [(0.5, 0.004, 'bf16'), (0.5, 0.006, 'fp32'), (0.5, np.nan, 'fp32'), (0.95, 0.001, 'fp32'), (2.0, 0.001, 'fp32')],
)
def test_the_faster_format_is_taken_where_scores_stay_within_five_thousandths_in_the_mean(
    attempt, seconds, off, expected, capsys
):
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


def test_an_argument_overrides_the_environment_and_that_auto(monkeypatch):
    monkeypatch.delenv('MIQA_PRECISION', raising=False)
    assert default_precision(None) == 'auto' and default_precision('bf16') == 'bf16'
    monkeypatch.setenv('MIQA_PRECISION', 'fp32')
    assert default_precision(None) == 'fp32' and default_precision('auto') == 'auto'
    monkeypatch.setenv('MIQA_PRECISION', 'bf61')
    with pytest.raises(ValueError, match="Unknown value of MIQA_PRECISION 'bf61'. Did you mean 'bf16'"):
        MIQAModel()


def test_auto_on_a_processor_without_bfloat16_is_float32_unmeasured(vit_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(processor, 'processor', lambda: ('an older one', frozenset(('avx2',))))
    assert MIQAModel(vit_file, device='cpu', precision='auto').precision == 'fp32'
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


def test_photographs_of_installed_packages_are_tried_and_made_pictures_where_there_are_too_few(monkeypatch):
    if missing := missing_packages(list_photos()):
        pytest.skip(f"no photographs of {', '.join(missing)} (pip install 'miqa[demo]')")
    pixels, what = pixels_to_try(48)
    assert what == 'photographs' and pixels.shape == (48, 3, 48, 48)
    assert len(np.unique(pixels.reshape(48, -1), axis=0)) == 48
    monkeypatch.setattr(probes, 'list_photos', lambda: list_photos()[:3])
    few, what = pixels_to_try(48)
    assert what == 'made pictures' and np.array_equal(few, probe_pixels(48, 48))


@pytest.mark.parametrize(('change', 'expected'), [
    # One picture of 48 changes most; the mean stays far below five thousandths.
    (lambda means: 0.019 * (means == means.max()), 'bf16'),
    (lambda means: 0.021 * (means == means.max()), 'fp32'),
    # All change by less than the largest that one may.
    (lambda means: 0.006, 'fp32'),
])  # fmt: skip
def test_no_score_changes_by_more_than_two_hundredths(attempt, monkeypatch, change, expected):
    pixels = np.arange(48, dtype=np.uint8)[:, None, None, None] * np.full((1, 3, 4, 4), 5, np.uint8)
    monkeypatch.setattr(module, 'pixels_to_try', lambda size: (pixels, 'pictures'))
    assert attempt(0.5, change) == expected


@pytest.mark.parametrize(('strength', 'expected'), [(1e-7, 'bf16'), (0.002, 'fp32')])
def test_a_format_that_changes_the_order_of_scores_is_not_taken(attempt, monkeypatch, strength, expected, capsys):
    # Scores lie close together: each within five thousandths of any other.
    def score(self, pixels):
        self.clock[0] += self.seconds
        means = pixels.mean(axis=(1, 2, 3)) / 255
        return 0.5 + 0.004 * means + (0 if self.precision == 'fp32' else strength * np.sin(1e6 * means))

    monkeypatch.setattr(Fake, '__call__', score)
    assert attempt(0.5, 0.0) == expected
    assert ('beyond 0.005, 0.02 or 0.999' in capsys.readouterr().err) == (expected == 'fp32')


def test_a_way_that_fails_is_named_and_not_tried_again(attempt, monkeypatch, capsys):
    def fail(self, pixels):
        if self.precision != 'fp32':
            raise RuntimeError('no such operator\nin a file of others')
        return pixels.mean(axis=(1, 2, 3)) / 255

    monkeypatch.setattr(Fake, '__call__', fail)
    assert attempt(0.5, 0.0) == 'fp32'
    assert 'bf16 cannot be used here: no such operator)' in capsys.readouterr().err
    assert attempt(0.5, 0.0) == 'fp32' and attempt.opened == ['fp32'] and not capsys.readouterr().err


def test_the_order_is_measured_as_scipy_measures_it():
    stats = pytest.importorskip('scipy.stats')
    rng = np.random.default_rng(0)
    for _ in range(20):
        one, other = rng.integers(0, 9, (2, 30)) / 10
        assert module.order_kept(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
    assert module.order_kept(np.ones(4), np.ones(4)) == 1 and module.order_kept(np.ones(4), np.arange(4)) == 0


class Steady(Runtime):
    """Scores the mean in any format."""

    name, device = 'Steady', Device('cpu')

    def __init__(self, precision):
        self.precision = precision

    def __call__(self, pixels):
        return pixels.mean(axis=(1, 2, 3)) / 255


def _choose(source, ratio, barrier, queue):
    # As if the machine were busy in another way for each process.
    module._seconds = lambda runtimes, pixels: [ratio, 1.0]
    barrier.wait()
    queue.put(choose_runtime(Steady, ('bf16',), 32, source, ('same',)).precision)


def test_processes_that_start_together_and_measure_differently_use_one_format(weights):
    context = multiprocessing.get_context('fork')
    barrier, queue = context.Barrier(6), context.Queue()
    workers = [
        context.Process(target=_choose, args=(weights, ratio, barrier, queue)) for ratio in (0.5, 2.0, 0.5, 2.0, 1.2, 1)
    ]
    for worker in workers:
        worker.start()
    result = {queue.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join()
    assert len(result) == 1


@pytest.mark.parametrize('ratio', [0.5, 2.0])
def test_where_nothing_can_be_kept_the_format_is_float32_and_the_remedy_is_named(
    weights, monkeypatch, capsys, tmp_path, ratio
):
    (tmp_path / 'file').write_bytes(b'')
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'file' / 'home'))
    monkeypatch.setattr(module, '_seconds', lambda runtimes, pixels: [ratio, 1.0])
    assert choose_runtime(Steady, ('bf16',), 32, weights, ()).precision == 'fp32'
    output = capsys.readouterr().err
    assert 'MIQA_HOME' in output and 'precision=bf16' in output


def test_weights_without_a_file_are_known_by_their_digest(weights, monkeypatch):
    ratios = iter([2.0, 0.5, 0.5])
    monkeypatch.setattr(module, '_seconds', lambda runtimes, pixels: [next(ratios), 1.0])

    def chosen(digest):
        return choose_runtime(Steady, ('bf16',), 32, 'user/model', (), digest=lambda: digest).precision

    assert [chosen('a'), chosen('a'), chosen('b'), chosen('a')] == ['bf16', 'bf16', 'fp32', 'bf16']


def test_the_number_of_threads_does_not_change_the_choice(tmp_path, monkeypatch):
    before, threads = settings_of(torch.device('cpu')), torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert settings_of(torch.device('cpu')) == before
    finally:
        torch.set_num_threads(threads)


def test_a_model_opened_again_computes_in_the_format_of_the_first_time(vit_file, tmp_path, monkeypatch):
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    monkeypatch.delenv('MIQA_PRECISION', raising=False)
    monkeypatch.setattr('miqa.apis.runtimes.torch_runtime.faster_precisions', lambda device: ('bf16',))
    monkeypatch.setattr(module, 'MEAN_DIFFERENCE', np.inf)
    monkeypatch.setattr(module, 'LARGEST_DIFFERENCE', np.inf)
    monkeypatch.setattr(module, 'LARGEST_LOSS_OF_ORDER', np.inf)
    results = []
    for ratio in (2.0, 0.5, 0.5):
        monkeypatch.setattr(module, '_seconds', lambda runtimes, pixels, ratio=ratio: [ratio, 1.0])
        results.append(opening.open_model(vit_file, precision='auto', device='cpu')[1].precision)
    assert results == ['bf16'] * 3
    assert os.listdir(tmp_path / 'home')  # noqa: PTH208
