"""What a newcomer meets: a short screen, checks before work, advice that works when it is pasted."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from helpers_config import write_tiny_config
from helpers_database import write_database
from helpers_refusals import refused
from helpers_tools import load_tool, parsed

from miqa import test as testing
from miqa import train as training
from miqa.datasets import MIQDDataset
from miqa.datasets.packing import Packing
from miqa.engine import load_config
from miqa.engine.provenance import Provenance
from miqa.layout import image_root
from miqa.outside.hub import hub_or_cache
from miqa.reports.score_summary import Summary

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder with a small database and a config."""
    folder = tmp_path_factory.mktemp('first minutes')
    write_tiny_config(folder / 'tiny_det.py', write_database(folder / 'my data', 'det', sources=6))
    return folder


def test_the_screen_shows_what_a_person_wants_and_the_printed_command_tests(place, warm):
    words = [ROOT / 'tools' / 'train.py', 'tiny_det.py', '--data-root', 'my data', '--epochs', '1', '--work-dir', 'run']
    done = warm.must('python', *words, cwd=place)
    output = done.stdout + done.stderr
    assert len(output.splitlines()) < 25
    for expected in ('Training RAMIQA', '50 images of 5 photographs', 'eta:', 'SRCC', 'Done. Best SRCC'):
        assert expected in output
    log = next((place / 'run').glob('*/*.log')).read_text()
    for dump in ('System environment', 'Config:', 'Hooks will be executed'):
        assert dump not in output and dump in log
    assert 'Training RAMIQA' in log
    second = warm.must(*shlex.split(re.search('Test it: (python .*)', done.stdout)[1]), cwd=place)
    assert len(second.stderr.splitlines()) < 10
    assert (place / 'run' / 'test' / 'metrics.json').is_file()


def test_two_checkpoints_do_not_share_a_folder_of_results(tmp_path):
    known = Provenance(task='det', label='composite', config=None)
    place = [testing.folder_beside(tmp_path / name, known, 'composite').name for name in ('best.pth', 'latest.pth')]
    assert place == ['test', 'test_latest']
    released = tmp_path / 'miqa_ra_miqa_cls_composite_metric.pth.tar'
    assert testing.folder_beside(released, known, 'composite').name == 'test_miqa_ra_miqa_cls_composite_metric'
    assert testing.folder_beside(tmp_path / 'best.pth', known, 'accuracy').name == 'test_accuracy'


@pytest.mark.parametrize(('program', 'script', 'message', 'sentence'), [
    ('python', 'train.py', ['--data-root', 'nowhere'], 'There is no data root'),
    ('bash', 'dist_train.sh', [2, '--data-root', 'nowhere'], 'There is no data root'),
    ('python', 'train.py', ['--data-root', 'my data', '--resume', 'nowhere.pth'], 'no checkpoint file nowhere.pth'),
])  # fmt: skip
def test_a_wrong_path_is_reported_once_and_leaves_nothing(place, warm, program, script, message, sentence):
    done = warm.call(program, ROOT / 'tools' / script, 'tiny_det.py', *message, '--work-dir', 'never', cwd=place)
    assert done.returncode == 1 and (done.stdout + done.stderr).count(sentence) == 1
    assert 'Traceback' not in done.stderr and len(done.stderr.splitlines()) <= 3, done.stderr
    assert not (place / 'never').exists()


def understood(sentence: str) -> training.argparse.Namespace:
    words = shlex.split(re.search('Go on with: (.*)', sentence)[1])
    if words[:2] == ['miqa', 'train']:
        return training.parse_arguments(words[2:])
    if words[0] == 'python':
        return training.parse_arguments(words[words.index('-m') + 2 :] if '-m' in words else words[2:])
    assert (ROOT / words[1]).is_file()
    # CONFIG GPUS OPTIONS, or PARTITION JOB_NAME CONFIG OPTIONS
    return training.parse_arguments(words[2:3] + words[4:] if 'dist' in words[1] else words[4:])


@pytest.mark.parametrize('environment', [{}, {'WORLD_SIZE': '8'}, {'WORLD_SIZE': '8', 'SLURM_PROCID': '0'}], ids=str)
def test_the_command_after_an_interruption_is_the_users_own_with_resume(environment, monkeypatch):
    for name in ('WORLD_SIZE', 'SLURM_PROCID'):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    given = ['ra_miqa_det', '--data-root', 'my data', '--cfg-options', 'a.b=1', 'c.d=2', '--launcher', 'pytorch']
    for program in ('tools/train.py', '/site-packages/miqa/train.py'):
        args = understood(training.resume_command([program, *given]))
        assert args.resume == 'auto' and args.data_root == 'my data' and args.launcher == 'none'
        assert args.cfg_options == {'a.b': 1, 'c.d': 2}
        resumed = training.resume_command([program, *given, '--resume', 'latest.pth'])
        assert understood(resumed).resume == 'latest.pth'


@pytest.mark.parametrize('name', ['dist_train', 'dist_test', 'slurm_train', 'slurm_test', 'srun', 'torchrun'])
def test_shell_scripts_explain_themselves(name, tmp_path):
    script = ROOT / 'tools' / f'{name}.sh'
    for words, status in (([], 2), (['--help'], 0), (['-h', 'more', 'and', 'more', 'words'], 0)):
        done = subprocess.run(['bash', script, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == status and f'{name}.sh' in done.stdout + done.stderr
        assert 'unbound' not in done.stderr


def test_pictures_packed_for_another_size_are_a_sentence_when_the_dataset_is_opened(place):
    dataset = MIQDDataset(place / 'my data', 'det')
    Packing(dataset.index, image_root(place / 'my data', 'det'), place / 'packed', short_side=40).run(1)

    def opened(*steps):
        return MIQDDataset(place / 'my data', 'det', packed=place / 'packed', pipeline=steps)

    opened({'type': 'LoadImage'}, {'type': 'ResizeShortSide', 'size': 40})
    other = {'type': 'LoadImage'}, {'type': 'ResizeShortSide', 'size': 32}
    refused(ValueError, r'short side of 40 pixels .*, but the config resizes to 32 .*\. Pack them', opened, *other)
    refused(ValueError, 'RandomRotation turns the original', opened, {'type': 'RandomRotation'})


def test_a_hub_that_cannot_be_reached_is_asked_once_and_what_is_cached_is_used(monkeypatch):
    import huggingface_hub
    from huggingface_hub import constants

    for name in ('https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    monkeypatch.setattr(constants, 'ENDPOINT', 'http://127.0.0.1:1')
    with hub_or_cache():
        assert constants.HF_HUB_OFFLINE
    with pytest.raises(ConnectionError, match=r'http://127.0.0.1:1 cannot be reached \(.*refused'), hub_or_cache():
        huggingface_hub.HfApi(endpoint='http://127.0.0.1:1').create_repo('you/x')
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize(('name', 'keys'), [
    ('vit_small_det', ['model.network.pretrained=False']),
    ('ra_miqa_cls', ['model.network.base.pretrained=False', 'model.network.region_encoder.weights=None']),
])  # fmt: skip
def test_the_keys_for_random_weights_are_those_of_the_config(name, keys):
    assert list(training.random_weights(load_config(name).model)) == keys
    options = training.parse_arguments([name, '--cfg-options', *keys]).cfg_options
    assert not list(training.random_weights(load_config(name, options).model))


def test_one_score_needs_no_summary_and_a_few_no_histogram():
    summary = Summary()
    texts = []
    for count, score in ((1, 0.5), (5, 0.6), (20, 0.7)):
        for _ in range(count):
            summary.add(score, 'medium')
        texts.append(summary.text())
    assert texts[0] == '' and len(texts[1].splitlines()) == 2 and '0.7 - 0.8' in texts[2]


TOOLS_OF_A_DATABASE = (
    'tools/data/make_splits.py', 'tools/data/verify.py', 'tools/data/make_labels.py', 'tools/data/run_machines.py',
    'tools/data/pack.py', 'tools/data/download_splits.py', 'tools/data/download_miqd.py',
    'tools/analysis/benchmark.py', 'tools/analysis/compare.py', 'tools/analysis/accuracy_by_level.py',
)  # fmt: skip


@pytest.mark.parametrize('tool', TOOLS_OF_A_DATABASE)
@pytest.mark.parametrize('option', ['--data-root', '--data_root', '--data-root='])
def test_the_database_can_be_named_in_one_way_everywhere(tool, option):
    more = {
        'pack.py': ['--split', 'train', '--out', 'o'], 'run_machines.py': ['--machines', 'm.py'],
        'benchmark.py': ['--methods', 'SSIM'], 'compare.py': ['--methods', 'SSIM'],
    }.get(Path(tool).name, [])  # fmt: skip
    named = ['--data-root=my data'] if option.endswith('=') else [option, 'my data']
    assert str(parsed(['python', tool, '--task', 'cls', *more, *named]).data_root) == 'my data'


def test_interrupted_measurements_are_shown_and_kept(monkeypatch, tmp_path, capsys):
    tool = load_tool('tools/analysis/benchmark.py')

    def run(args):
        yield 'Runtimes', [{'runtime': 'PyTorch fp32', 'batch': 1, 'ratio': 1.0}]
        raise KeyboardInterrupt

    monkeypatch.setattr(load_tool('tools/analysis/cases/inference.py'), 'run', run)
    refused(KeyboardInterrupt, '', tool.run_case, 'inference', ['--out', str(tmp_path / 'o.json')])
    assert 'PyTorch fp32' in capsys.readouterr().out and (tmp_path / 'o.json').is_file()
