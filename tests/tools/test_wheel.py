"""What is installed without a checkout has all that the commands need."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers_apis import write_photos, write_run
from helpers_database import write_database
from helpers_videos import write_video
from helpers_warm import WarmShell

import miqa
from machine_iqa import MIQAModel
from miqa.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]


def copy_sources(folder: Path) -> Path:
    """Copy what a package is built from, so that building leaves nothing in the checkout."""
    folder.mkdir(parents=True)
    for name in ('setup.py', 'pyproject.toml', 'README.md', 'machine_iqa.py', 'MANIFEST.in'):
        shutil.copy(ROOT / name, folder)
    for name in ('miqa', 'configs'):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns('__pycache__'))
    return folder


def installed_here() -> list[str]:
    """What this environment has of our package."""
    return sorted(str(path) for path in Path(sysconfig.get_path('purelib')).glob('*miqa*'))


def pip(*words: str, cwd: Path) -> None:
    command = [sys.executable, '-m', 'pip', *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope='session')
def unpacked(tmp_path_factory):
    """The files of a wheel made from an sdist, in a folder that may stand on the path."""
    folder = tmp_path_factory.mktemp('wheel')
    source = copy_sources(folder / 'source')
    subprocess.run([sys.executable, 'setup.py', '-q', 'sdist', '-d', str(folder)], cwd=source, check=True)
    (sdist,) = folder.glob('miqa-*.tar.gz')
    pip('wheel', '--no-deps', '--no-build-isolation', '-q', '-w', str(folder), str(sdist), cwd=folder)
    (wheel,) = folder.glob('miqa-*.whl')
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / 'site')
    return folder / 'site'


@pytest.fixture(scope='session')
def installed(unpacked):
    """A shell whose ``miqa`` and ``python`` have imported the wheel's files."""
    shell = WarmShell(PYTHONPATH=str(unpacked))
    yield shell
    shell.close()


def files_below(folder: Path, *suffixes: str) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob('*') if path.suffix in suffixes}


def test_a_wheel_carries_every_config_table_and_template(unpacked):
    assert files_below(ROOT / 'configs', '.py') == files_below(unpacked / 'miqa' / 'configs', '.py')
    assert 'ra_miqa_det.py' in files_below(unpacked / 'miqa' / 'configs', '.py')
    kinds = ('.csv', '.json', '.html')
    assert files_below(ROOT / 'miqa', *kinds) <= files_below(unpacked / 'miqa', *kinds)


def test_the_published_networks_are_known_without_a_checkout(installed, unpacked, tmp_path):
    code = (
        'import miqa; from miqa.apis.methods import METHODS; from miqa.outside.configs import config_folder\n'
        "print(miqa.__file__, config_folder(), METHODS['ra_miqa'].views['region']['size'])"
    )
    done = installed.call('python', '-c', code, cwd=tmp_path)
    assert done.stdout.split() == [str(unpacked / 'miqa' / '__init__.py'), str(unpacked / 'miqa' / 'configs'), '288'], (
        done.stderr
    )


@pytest.mark.parametrize('message', [
    ['-m', 'miqa', '--help'], *(['-m', 'miqa', command, '--help'] for command in COMMANDS),
    ['-m', 'miqa.train', '--help'], ['-m', 'miqa.test', '--help'],
], ids=' '.join)  # fmt: skip
def test_every_command_explains_itself_without_a_checkout(installed, tmp_path, message):
    done = installed.call('python', *message, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith('usage: '), done.stderr
    assert not list(tmp_path.iterdir())


def test_the_script_miqa_is_the_command(unpacked):
    (entry,) = unpacked.glob('miqa-*.dist-info/entry_points.txt')
    assert 'miqa = miqa.__main__:main' in entry.read_text()
    assert f'miqa-{miqa.__version__}.dist-info' == entry.parent.name


def test_a_config_is_found_by_its_name_without_a_checkout(installed, tmp_path):
    for name in ('ra_miqa_det', 'miqa::ra_miqa_det', 'configs/ra_miqa_det.py'):
        done = installed.call('python', '-m', 'miqa.train', name, '--data-root', 'nowhere', cwd=tmp_path)
        assert done.returncode == 1 and 'There is no data root' in done.stderr, done.stderr
    done = installed.call('python', '-m', 'miqa.train', 'ra_miqa_dett', cwd=tmp_path)
    assert "no config file ra_miqa_dett. Did you mean 'ra_miqa_det'?" in done.stderr


WORK = """
python where.py
miqa models --register-demo best.pth
miqa models --json
miqa image photos/ --model demo --out scores.csv
miqa filter photos/ --model demo --keep 0.5 --to good/
miqa video drive.mp4 --model demo --out reports/
miqa camera drive.mp4 --every-frame --no-window --model demo --log frames.csv
miqa gate fit calibration.csv --model-identity demo --target 0.5 --out gate.json
miqa gate show gate.json
miqa export m.onnx --model demo
miqa image photos/ --model m.onnx --json --quiet
miqa label photos/ --out data/mine --task det --machine mine.py --annotations boxes.csv \\
    --distortions darkness --patterns uniform --measures none --val-share 0.5 --jobs 1 --quiet
miqa train miqa::mini/plain_cnn_det --data-root data/other --epochs 1 --batch-size 8 --selection test
miqa test work_dirs/plain_cnn_det_composite/best.pth --data-root data/other
"""
MACHINE = """
import numpy as np

def look(images):
    box = np.array([[2.0, 2.0, 60.0, 40.0]])
    return [dict(boxes=box, scores=np.array([image.mean() / 255]), labels=np.array([0])) for image in images]
"""


def test_the_commands_do_their_work_without_a_checkout(installed, unpacked, tmp_path):
    place = tmp_path / 'elsewhere'
    (place / 'photos').mkdir(parents=True)
    write_photos(place / 'photos', 4)
    write_run(place / 'best.pth')
    write_video(place / 'drive.mp4', np.linspace(0.1, 0.9, 12), fourcc='mp4v')
    scores = np.random.default_rng(0).random(500)
    pd.DataFrame({'score': scores, 'outcome': scores}).to_csv(place / 'calibration.csv', index=False)
    write_database(place / 'data' / 'other', 'det', sources=6)
    (place / 'my_machine.py').write_text(MACHINE)
    (place / 'mine.py').write_text(
        "machines = [dict(type='CallableMachine', function='my_machine:look', task='det', name='m', classes=['thing'])]"
    )
    names = sorted(path.name for path in (place / 'photos').iterdir())
    rows = [f'{name},thing,2,2,60,40' for name in names]
    (place / 'boxes.csv').write_text('\n'.join(['filename,class,xmin,ymin,xmax,ymax', *rows]))
    (place / 'where.py').write_text('import miqa; print(miqa.__file__)')
    done = installed.run(WORK, place, MIQA_HOME=str(tmp_path / 'home'), PYTHONPATH=f'{unpacked}:{place}')
    assert done.returncode == 0 and 'Traceback' not in done.stdout, done.stdout[-3000:]
    assert done.stdout.startswith(str(unpacked / 'miqa' / '__init__.py'))
    assert len(pd.read_csv(place / 'scores.csv')) == 4 and len(list((place / 'good').iterdir())) == 2
    for made in ('reports', 'frames.csv', 'gate.json', 'm.onnx', 'data/mine/splits/miqa_det_train.csv'):
        assert (place / made).exists(), made
    assert (place / 'work_dirs' / 'plain_cnn_det_composite' / 'test' / 'metrics.json').is_file()


@pytest.mark.parametrize('message', [['serve'], ['serve', '--api']], ids=' '.join)
def test_the_page_and_the_endpoint_open_without_a_checkout(installed, tmp_path, message):
    pytest.importorskip('fastapi', reason="fastapi is missing: pip install -e '.[serve]'")
    write_run(tmp_path / 'best.pth')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    command = [installed.folder / 'miqa', *message, '--model', 'best.pth', '--port', str(port)]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=installed.environment(PYTHONUNBUFFERED='1'), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        messages = []
        while line := process.stdout.readline():
            messages.append(line)
            if f'http://127.0.0.1:{port}' in line:
                break
        assert f'http://127.0.0.1:{port}' in messages[-1], ''.join(messages)
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 143 and 'Traceback' not in rest, rest


def test_an_editable_install_works_beside_a_clone_called_miqa(tmp_path):
    clone = copy_sources(tmp_path / 'parent' / 'miqa')
    options = ['--no-deps', '--no-build-isolation', '--config-settings', 'editable_mode=compat']
    # Without --ignore-installed pip would remove the installation that runs this test, whatever the prefix.
    options += ['--ignore-installed', '--prefix', str(tmp_path / 'prefix')]
    before = installed_here()
    pip('install', '-q', *options, '--editable', str(clone), cwd=tmp_path)
    assert installed_here() == before
    (site,) = (tmp_path / 'prefix').glob('lib*/python*/site-packages')
    code = f'import site; site.addsitedir({str(site)!r}); import miqa; print(miqa.__file__)'
    # -S: nothing that is installed in this environment takes part.
    command = [sys.executable, '-S', '-c', code]
    done = subprocess.run(command, cwd=clone.parent, env={}, capture_output=True, text=True)
    assert done.stdout.strip() == str(clone / 'miqa' / '__init__.py'), done.stderr


@pytest.fixture(scope='session')
def core_environment(unpacked, tmp_path_factory):
    """An environment made from nothing but the wheel and what pip fetches for it."""
    folder = tmp_path_factory.mktemp('core')
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', str(folder / 'env')], check=True)
    (wheel,) = unpacked.parent.glob('miqa-*.whl')
    command = [sys.executable, '-m', 'pip', '--python', str(folder / 'env'), 'install', '-q', '--retries', '0']
    done = subprocess.run([*command, '--timeout', '20', str(wheel)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f'pip cannot fetch the packages of the core: {done.stderr.strip().splitlines()[-1]}')
    return folder / 'env'


@pytest.mark.slow
def test_an_environment_made_from_the_wheel_alone_scores_within_300_mb_and_without_pytorch(core_environment, tmp_path):
    size = sum(path.lstat().st_size for path in core_environment.rglob('*') if not path.is_symlink())
    assert size < 285e6  # without the 15 MB of pip and its bytecode, which comes with most environments
    write_run(tmp_path / 'best.pth')
    MIQAModel(tmp_path / 'best.pth', precision='fp32').export(tmp_path / 'm.onnx')
    (path,) = write_photos(tmp_path, 1)
    miqa_command = [str(core_environment / 'bin' / 'miqa')]
    environment = {'PATH': os.environ['PATH'], 'MIQA_HOME': str(tmp_path / 'home')}
    words = [*miqa_command, 'image', str(path), '--model', str(tmp_path / 'm.onnx'), '--json', '--quiet']
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    score = json.loads(done.stdout)['score']
    assert score == pytest.approx(MIQAModel(tmp_path / 'best.pth', precision='fp32').assess(path), abs=1e-3)
    (tmp_path / 'drive.mp4').write_bytes(b'\0\0\0\x18ftypmp42' + bytes(1000))
    for words, line in (
        (['train', 'ra_miqa_cls'], "pip install 'miqa[train]'"),
        (['image', str(path), '--model', str(tmp_path / 'best.pth')], "pip install 'miqa[train]'"),
        (['video', 'drive.mp4', '--model', str(tmp_path / 'm.onnx')], "pip install 'miqa[video]'"),
    ):
        done = subprocess.run([*miqa_command, *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 1 and line in done.stderr.splitlines()[0], done.stderr
