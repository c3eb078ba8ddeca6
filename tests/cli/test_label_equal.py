"""The same folder labelled here, on Ray, on Dask and after kills: equal labels; in shards: ``test_label.py``."""

import shutil
import signal
import time
from pathlib import Path

import pytest
from helpers_machines import save, square
from helpers_tools import load_tool

HELPERS = Path(__file__).parents[1] / 'helpers'
QUICK = ['--distortions', 'darkness', 'gaussian_noise', '--patterns', 'uniform']
TWO = ('--jobs', '2')
MACHINE = """\
machines = [dict(type='CallableMachine', function='helpers_machines:bright_squares', task='det', name='eyes',
                 classes=['square'])]
"""
#: What a run makes one after the other; a kill when one appears falls into the stage that makes the next.
STAGES = ('miqa_det/images/*/*', 'miqa_det/responses/eyes/*.parquet', 'miqa_det/scores/eyes/*', 'splits/*', None)


@pytest.fixture
def shots(tmp_path, warm):
    for number in range(6):
        save(tmp_path / f'in/{number}.png', square((5 + number, 6, 40 + number, 30), (96, 64), 230))
    boxes = [f'{n}.png,square,{5 + n},6,{40 + n},30' for n in range(6)]
    (tmp_path / 'boxes.csv').write_text('\n'.join(['filename,class,xmin,ymin,xmax,ymax', *boxes]))
    (tmp_path / 'mine.py').write_text(MACHINE)
    shutil.copy(HELPERS / 'helpers_machines.py', tmp_path)  # on the path of the command
    return tmp_path


def command(shots: Path, out: str, *more: str, cold: bool = False):
    """Start the command; it is a copy of a process that has imported everything, unless ``cold``."""
    words = [
        '-m', 'miqa', 'label', str(shots / 'in'), '--out', str(shots / out), '--task', 'det', '--machine',
        str(shots / 'mine.py'), '--annotations', str(shots / 'boxes.csv'), *QUICK, *more,
    ]  # fmt: skip
    return load_tool('tests/reliability/reliability_commands.py').Command(words, shots, cold)


def run(shots: Path, out: str, *more: str, cold: bool = False) -> None:
    status, said = command(shots, out, *more, cold=cold).finish(600)
    assert status == 0, said[-3000:]


def made(root: Path) -> dict[str, bytes]:
    """Every picture, mask, label and split file; records of answers hold times and versions."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob('*'))
        if path.suffix in ('.png', '.csv') and path.is_file()
    }


def stop_when(shots: Path, out: str, pattern: str | None, number: int) -> bool:
    """Begin the command and send a signal to it and its workers as soon as files of ``pattern`` are there.

    Returns:
        False where it was done before.
    """
    running = command(shots, out, '--quiet', *TWO)
    ended = None
    while not ended:
        if pattern is None or any((shots / out).glob(pattern)):
            ended = running.kill(number)
            break
        ended = running.finish(0)
        time.sleep(0.002)
    status, said = ended
    if number == signal.SIGINT and status:
        assert 'Traceback' not in said, said[-2000:]
    return status != 0


@pytest.mark.slow
def test_every_way_to_share_out_the_work_gives_the_same_bytes(shots):
    pytest.importorskip('ray', reason="ray is missing: pip install -e '.[cluster]'")
    pytest.importorskip('distributed', reason="dask is missing: pip install -e '.[cluster]'")
    run(shots, 'loky', *TWO)
    expected = made(shots / 'loky')
    assert sum('/labels/' in name for name in expected) == 12 and sum('/images/' in name for name in expected) == 60
    for backend in ('ray', 'dask'):
        run(shots, backend, '--backend', backend, *TWO, cold=True)
        assert made(shots / backend) == expected, backend
    stopped = 0
    for number, pattern in enumerate(STAGES):
        sign = (signal.SIGKILL, signal.SIGINT)[number % 2]
        out = f'stopped_{number}_{sign.name}'
        stopped += stop_when(shots, out, pattern, sign)
        run(shots, out, '--jobs', '1')
        assert made(shots / out) == expected, out
    assert stopped >= 3
