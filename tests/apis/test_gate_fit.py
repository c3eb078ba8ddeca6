"""A gate with a promise: how often it is broken, what it keeps, its file and its command."""

import json

import numpy as np
import pytest
from helpers_apis import status_of
from helpers_fuzz import DEPTH
from helpers_refusals import refused
from scipy.stats import binom, binomtest

from miqa.apis import Gate, fit_gate
from miqa.apis.gate_fit import NoGate
from miqa.cli.main import main
from miqa.evaluation.risk_control import p_value, weigh

#: Simulated calibration sets, and how many of them may break a promise of 95 %: 8.2 % of 500 are by chance.
SETS = 250 * DEPTH
BROKEN = min(0.082 * SETS, binom.ppf(0.999, SETS, 0.05))


def world(rng, sources, versions, soft=False):
    """Scores, outcomes and sources of pictures: damage and the source's own difficulty decide the outcome."""
    source = np.repeat(np.arange(sources), versions)
    difficulty = rng.normal(0, 0.8 if versions > 1 else 0, sources)[source]
    damage = rng.uniform(-3, 4, len(source))
    chance = 1 / (1 + np.exp(-1.5 * (1.2 * damage + difficulty + 1.2)))
    scores = 1 / (1 + np.exp(-(0.9 * damage + rng.normal(0, 0.5, len(source)))))
    outcomes = np.clip(chance + rng.normal(0, 0.05, len(source)), 0, 1) if soft else rng.random(len(source)) < chance
    return scores, outcomes.astype(float), source


def truth(sources, versions, soft):
    scores, outcomes, _ = world(np.random.default_rng(10**6), sources, versions, soft)
    order = np.argsort(-scores)
    return scores[order], np.cumsum(outcomes[order]) / np.arange(1, len(order) + 1)


@pytest.mark.parametrize(
    ('sources', 'versions', 'soft', 'target'),
    [(1000, 1, False, 0.9), (1000, 1, False, 0.95), (1000, 1, True, 0.9), (150, 12, False, 0.9), (150, 12, True, 0.9)],
)
def test_the_promise_holds_as_often_as_stated_and_most_of_what_is_possible_is_kept(sources, versions, soft, target):
    all_scores, means = truth(300_000 // versions, versions, soft)
    possible = (np.flatnonzero(means >= target)[-1] + 1) / len(means)
    broken, kept = 0, []
    for number in range(SETS):
        scores, outcomes, source = world(np.random.default_rng(number), sources, versions, soft)
        gate = fit_gate(scores, outcomes, target=target, groups=source if versions > 1 else None)
        passing = np.searchsorted(-all_scores, -gate.threshold, side='right')
        broken += means[passing - 1] < target
        kept.append(passing / len(means))
    assert broken <= BROKEN
    assert np.mean(kept) >= 0.8 * possible


@pytest.mark.parametrize('versions', [1, 20])
def test_an_uninformative_score_hardly_ever_gets_a_false_promise(versions):
    false_promises = 0
    for number in range(SETS):
        rng = np.random.default_rng(number)
        source = np.repeat(np.arange(400), versions)
        # Every version of a source has the same outcome: 20 times as many pictures know nothing more.
        outcomes = (rng.random(400) < 0.949).astype(float)[source]
        false_promises += fits(rng.random(len(source)), outcomes, target=0.95, groups=source)
    assert false_promises <= BROKEN


def test_single_pictures_of_outcome_0_and_1_get_the_exact_binomial_p_value():
    for hits, n in ((95, 100), (100, 100), (480, 500), (30, 60)):
        outcomes = np.r_[np.ones(hits), np.zeros(n - hits)]
        expected = binomtest(hits, n, 0.9, alternative='greater').pvalue if hits / n > 0.9 else 1.0
        assert p_value(weigh(outcomes, None, 0.05), 0.9) == pytest.approx(expected, abs=1e-12)


def test_copies_of_a_picture_are_worth_no_more_than_the_picture():
    rng = np.random.default_rng(0)
    once = (rng.random(200) < 0.97).astype(float)
    source = np.arange(200)
    alone = p_value(weigh(once, None, 0.05), 0.95)
    assert p_value(weigh(np.repeat(once, 30), np.repeat(source, 30), 0.05), 0.95) >= alone * 0.9
    assert p_value(weigh(np.repeat(once, 30), None, 0.05), 0.95) < alone / 10


def test_too_few_pictures_get_a_sentence_with_how_many_would_do():
    scores, outcomes, _ = world(np.random.default_rng(1), 120, 1)
    with pytest.raises(NoGate, match=r'from 120 calibration pictures. About \d+ more like them') as caught:
        fit_gate(scores, outcomes, target=0.97)
    needed = caught.value.needed
    enough = [world(np.random.default_rng(number), 2 * needed, 1)[:2] for number in range(20)]
    assert sum(fits(*sample, target=0.97) for sample in enough) >= 15
    with pytest.raises(NoGate, match='More pictures would hardly help'):
        fit_gate(np.arange(500) / 500, np.tile([0.0, 1.0], 250), target=0.95)


def fits(scores, outcomes, **options):
    try:
        fit_gate(scores, outcomes, **options)
    except NoGate:
        return False
    return True


def test_false_alarms_are_limited_as_promised():
    all_scores, all_outcomes, _ = world(np.random.default_rng(10**6), 300_000, 1)
    good = np.sort(all_scores[all_outcomes == 1])
    broken = 0
    for number in range(SETS):
        scores, outcomes, _ = world(np.random.default_rng(number), 400, 1)
        gate = fit_gate(scores, outcomes, target=None, max_false_alarms=0.05)
        broken += np.searchsorted(good, gate.threshold) / len(good) > 0.05
        assert gate.false_alarms <= 0.05
    assert 0 < broken <= BROKEN


def test_both_promises_hold_together_or_are_refused_together():
    scores, outcomes, _ = world(np.random.default_rng(2), 5000, 1)
    gate = fit_gate(scores, outcomes, target=0.8, max_false_alarms=0.2)
    assert gate.mean_outcome >= 0.8 and gate.false_alarms <= 0.2
    refused(NoGate, 'cannot promise both', fit_gate, scores, outcomes, target=0.99, max_false_alarms=0.01)


@pytest.mark.parametrize(('change', 'message'), [
    ({'scores': [0.1, np.nan]}, 'finite'),
    ({'outcomes': [0.5, 1.5]}, 'from 0 to 1'),
    ({'outcomes': [0.5]}, '2 and 1'),
    ({'target': 1.0}, 'between 0 and 1, not 1.0'),
    ({'groups': ['a']}, '2 scores but 1 groups'),
    ({'target': None}, 'what to promise'),
])  # fmt: skip
def test_numbers_that_cannot_be_are_refused(change, message):
    options = {'scores': [0.1, 0.2], 'outcomes': [0.0, 1.0], **change}
    refused(ValueError, message, fit_gate, options.pop('scores'), options.pop('outcomes'), **options)


@pytest.fixture
def gate_file(tmp_path):
    scores, outcomes, source = world(np.random.default_rng(3), 100, 12)
    return fit_gate(scores, outcomes, target=0.9, groups=source, model='m@1').save(tmp_path / 'gate.json')


def test_a_gate_comes_back_from_its_file_and_passes_from_its_threshold_on(gate_file):
    gate = Gate.load(gate_file)
    assert gate.groups == 100 and gate.pictures == 1200 and gate.model == 'm@1'
    assert gate.passes([gate.threshold, np.nextafter(gate.threshold, 0)]).tolist() == [True, False]
    gate.check_model('m@1')
    refused(ValueError, 'scores of the model m@1, and these are of m@2', gate.check_model, 'm@2')


@pytest.mark.parametrize(('edit', 'message'), [
    (lambda data: data['gate'].update(threshold=0.1), 'damaged or edited'),
    (lambda data: data['gate'].update(threshold='0.1'), "threshold is '0.1'"),
    (lambda data: data['gate'].update(kept=7), 'kept is 7'),
    (lambda data: data['gate'].update(more=1), 'keys are not those of a gate'),
    (lambda data: data.update(format=99), 'not a gate file of format'),
    (lambda data: data.update(gate=[1]), 'keys are not those of a gate'),
])  # fmt: skip
def test_a_changed_gate_file_is_refused(gate_file, edit, message):
    data = json.loads(gate_file.read_text())
    edit(data)
    gate_file.write_text(json.dumps(data))
    refused(ValueError, message, Gate.load, gate_file)


@pytest.mark.parametrize('content', [b'', b'\x00\xff', b'[' * 100_000, b'{"format": NaN}', b'null'])
def test_a_file_that_is_not_a_gate_is_refused_in_a_sentence(tmp_path, content):
    (tmp_path / 'x.json').write_bytes(content)
    refused(ValueError, 'gate file', Gate.load, tmp_path / 'x.json')


def fit(folder, text, *options):
    """Fit a gate to a table by the command; return its status."""
    (folder / 'c.csv').write_text(text)
    return status_of('gate', 'fit', folder / 'c.csv', '--out', folder / 'gate.json', *options)


def write_csv(path, separator=',', begin=''):
    scores, outcomes, source = world(np.random.default_rng(4), 100, 12)
    rows = [separator.join(map(str, row)) for row in zip(scores, outcomes, source, strict=True)]
    head = separator.join(['score', ' outcome', 'group'])
    path.write_text(begin + '\n'.join([head, *rows, separator.join(['', '1', '3'])]) + '\n', encoding='utf-8')


@pytest.mark.parametrize(('separator', 'begin'), [(',', ''), (';', '\ufeff')])
def test_the_command_fits_and_shows_a_gate(tmp_path, capsys, separator, begin):
    write_csv(tmp_path / 'c.csv', separator, begin)
    model = ['--model-identity', 'demo/det/accuracy@12']
    main(['gate', 'fit', str(tmp_path / 'c.csv'), '--target', '0.9', '--out', str(tmp_path / 'gate.json'), *model])
    output = capsys.readouterr()
    assert 'miqa filter FOLDER --gate ' in output.err and '--model demo --task det --label accuracy' in output.err
    assert 'Skipped, without a score or an outcome: 1 row.' in output.err
    assert 'With 95 % confidence, the mean outcome of what passes is at least 0.9.' in output.out
    main(['gate', 'show', str(tmp_path / 'gate.json')])
    assert capsys.readouterr().out == output.out
    assert status_of('gate', 'fit', tmp_path / 'c.csv', '--out', tmp_path / 'gate.json') == 1
    assert 'is there already' in capsys.readouterr().err


@pytest.mark.parametrize('sign', [1, -1])
def test_a_gate_that_keeps_its_promise_with_falling_scores_is_called_worse_than_nothing(tmp_path, capsys, sign):
    # All outcomes are above the target, the best at the lowest scores.
    rows = [f'{0.5 + sign * step / 500},{0.9 + step / 2500},m' for step in range(200)]
    assert fit(tmp_path, '\n'.join(['score,outcome,model', *rows]), '--target', '0.8') == 0
    assert ('This gate is worse than nothing: SRCC -1.000' in capsys.readouterr().err) == (sign < 0)


def test_a_promise_that_nothing_can_keep_exits_with_3_and_leaves_no_file(tmp_path, capsys):
    assert fit(tmp_path, 'score,outcome,model\n' + '0.5,1,m\n0.4,0,m\n' * 5) == 3
    assert not (tmp_path / 'gate.json').exists()
    output = capsys.readouterr()
    assert output.err.startswith('Error: No threshold can promise') and not output.out


@pytest.mark.parametrize(('text', 'message'), [
    ('score,outcome\n0.5,good\n', "line 2: outcome is 'good', which is not a number"),
    ('quality,outcome\n0.5,1\n', 'has no column score or prediction'),
    ('', 'is empty'),
    ('score,outcome\n', 'has no rows below its header'),
    ('score,outcome,model\n,1,m\n0.5,,m\n', 'has no row with both a score and an outcome'),
    ('score,outcome,model\n0.5,1,m\n0.6,1,\n', '2 models: m, a model without a name'),
    ('score,outcome,group\n0.5,1,\n', 'line 2: group is empty'),
    ('score,outcome,model\n0.5,1,\n', 'its column model is missing or empty'),
])  # fmt: skip
def test_the_command_says_what_is_wrong_with_a_file(tmp_path, capsys, text, message):
    assert fit(tmp_path, text) == 1 and message in capsys.readouterr().err


def test_the_command_requires_a_model_identity_and_every_model_refuses_a_gate_without_one(tmp_path, capsys):
    scores, outcomes, _ = world(np.random.default_rng(1), 500, 1)
    rows = '\n'.join(f'{score},{outcome}' for score, outcome in zip(scores, outcomes, strict=True))
    assert fit(tmp_path, f'score,outcome\n{rows}\n') == 1
    assert '--model-identity' in capsys.readouterr().err and not (tmp_path / 'gate.json').exists()
    with pytest.raises(ValueError, match='does not say which model'):
        fit_gate(scores, outcomes, target=0.8).check_model('demo/cls/composite@1')


def test_the_columns_of_a_tests_predictions_need_no_names(tmp_path, capsys):
    scores, outcomes, source = world(np.random.default_rng(1), 60, 10)
    rows = '\n'.join(f's{s},{o},{p},m/det/accuracy@1' for s, o, p in zip(source, outcomes, scores, strict=True))
    (tmp_path / 'predictions.csv').write_text(f'source,ground_truth,prediction,model\n{rows}\n')
    main(['gate', 'fit', str(tmp_path / 'predictions.csv'), '--target', '0.8', '--out', str(tmp_path / 'gate.json')])
    gate = Gate.load(tmp_path / 'gate.json')
    assert (gate.model, gate.groups, gate.pictures) == ('m/det/accuracy@1', 60, 600)
    # Its model has no published name; beside what `miqa test` writes, the advice has the file that was tested.
    assert '--to GOOD --model FILE\n' in capsys.readouterr().err
    (tmp_path / 'metrics.json').write_text(json.dumps({'checkpoint': str(tmp_path / 'c.pth')}))
    (tmp_path / 'c.pth').touch()
    assert status_of('gate', 'fit', tmp_path / 'predictions.csv', '--target', '0.8', '--out', tmp_path / 'g.json') == 0
    assert f'--model {tmp_path / "c.pth"}\n' in capsys.readouterr().err
    # A table that lists each picture twice says no more than one that lists it once.
    rows = '\n'.join(f'{i}.png,{o},{p},m' for i, (o, p) in enumerate(zip(outcomes, scores, strict=True)))
    assert fit(tmp_path, f'image,outcome,score,model\n{rows}\n{rows}\n', '--target', '0.8', '--overwrite') == 0
    assert (Gate.load(tmp_path / 'gate.json').groups, Gate.load(tmp_path / 'gate.json').pictures) == (600, 1200)
    assert fit(tmp_path, f'image,outcome,score,model\n{rows}\n', '--score-column', 'outcome', '--overwrite') == 1
    assert 'cannot be both the score and the outcome' in capsys.readouterr().err
