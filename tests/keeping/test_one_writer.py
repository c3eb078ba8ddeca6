"""One writer for each folder and file, and one way to end: nothing runs on, nothing half-written stays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from helpers_apis import write_photos, write_run
from helpers_refusals import refused
from helpers_videos import write_video

from miqa.apis.results import ResultFile, read_rows, try_out
from miqa.apis.video import report
from miqa.cli.main import main
from miqa.distortions.build import build_versions
from miqa.distortions.sources import list_images, plan_sources
from miqa.keeping import InUse, atomic_write, only_writer, sweep
from miqa.machines.responses import only_shard

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, 'PYTHONPATH': f'{ROOT}{os.pathsep}{ROOT / "tests"}', 'OMP_NUM_THREADS': '1'}


def start(code, *arguments, **options):
    """Start a Python program that prints a line once it is where the test wants it."""
    command = [sys.executable, '-c', code, *map(str, arguments)]
    process = subprocess.Popen(command, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, **options)
    assert process.stdout.readline(), 'the program ended early'
    return process


HOLDER = """
import sys, time
from miqa.keeping import only_writer
with only_writer(sys.argv[1], 'name another'):
    print('holds it', flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    process = start(HOLDER, tmp_path)
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def enter(context) -> None:
    with context:
        pass


def test_the_second_writer_gets_the_name_of_the_first(other, tmp_path):
    message = str(refused(InUse, 'name another', enter, only_writer(tmp_path, 'name another')))
    assert f'pid {other.pid} on {os.uname().nodename}' in message and str(tmp_path) in message


def test_a_killed_writer_lets_go_and_what_it_left_is_swept(other, tmp_path):
    other.kill()
    other.wait()
    left = tmp_path / '.labels.abcd1234.part.csv'
    left.write_text('half a')
    with only_writer(tmp_path, ''):
        assert not left.exists()


def test_the_temporary_file_of_a_living_writer_is_never_swept(tmp_path):
    with atomic_write(tmp_path / 'a.csv') as temporary:
        temporary.write_text('whole')
        assert sweep(tmp_path) == 0 and temporary.exists()
    assert (tmp_path / 'a.csv').read_text() == 'whole'
    for name in ('mine.part', '.hidden.csv', '.a.b.part.csv'):
        (tmp_path / name).touch()
    assert sweep(tmp_path) == 0


def test_whoever_writes_into_a_folder_removes_what_a_killed_writer_left(tmp_path):
    left = tmp_path / '.gate.abcd1234.part.json'
    left.touch()
    with atomic_write(tmp_path / 'other.json') as temporary:
        temporary.write_text('{}')
    assert [path.name for path in tmp_path.iterdir()] == ['other.json']


def test_shards_of_one_division_share_a_folder_and_others_do_not(tmp_path):
    with only_shard(tmp_path, (1, 4)):
        enter(only_shard(tmp_path, (2, 4)))
        refused(InUse, '', enter, only_shard(tmp_path, (1, 4)))
        refused(InUse, 'another number of shards', enter, only_shard(tmp_path, (1, 1)))


def test_two_processes_with_one_result_file(tmp_path):
    first = ResultFile(tmp_path / 'scores.jsonl', 'm')
    with pytest.raises(InUse, match=f'scores.jsonl is in use by another process: pid {os.getpid()}'):
        ResultFile(tmp_path / 'scores.jsonl', 'm')
    first.add('a.png', 0.5, 'high', None)
    first.close()
    ResultFile(tmp_path / 'scores.jsonl', 'm').finish()
    assert [row['image'] for row in read_rows(tmp_path / 'scores.jsonl')] == ['a.png']


@pytest.mark.parametrize('tail', [b'\0' * 4096, b'{"image": "c.p' + b'\0' * 100, b'{"image": "c.png", "sco', b'{'])
def test_a_journal_with_a_tail_of_a_power_cut_is_cut_and_goes_on(tail, tmp_path):
    path = tmp_path / 'scores.jsonl'
    results = ResultFile(path, 'm')
    for name in ('a.png', 'b.png'):
        results.add(name, 0.5, 'high', None)
    results.close()
    whole = path.read_bytes()
    for cut, left in ((whole + tail, whole), (b'\0' * 5000, b'')):
        path.write_bytes(cut)
        ResultFile(path, 'm').close()
        assert path.read_bytes() == left


def test_the_result_file_is_tried_before_anything_is_scored(tmp_path):
    (tmp_path / 'file').touch()
    refused(OSError, 'scores.csv cannot be written: .*Name another place', try_out, tmp_path / 'file' / 'scores.csv')
    (tmp_path / 'folder.csv').mkdir()
    refused(IsADirectoryError, 'folder.csv is a folder', try_out, tmp_path / 'folder.csv')
    try_out(tmp_path / 'new' / 'scores.csv')
    assert list((tmp_path / 'new').iterdir()) == []


def test_output_that_nobody_reads_any_more_ends_quietly():
    code = (
        'from miqa.running.command_line import run_command\n'
        'def main():\n    for i in range(100000):\n        print(i)\nrun_command(main)\n'
    )
    done = subprocess.run(
        ['bash', '-c', f'"{sys.executable}" -c "$0" | head -1; echo ${{PIPESTATUS[0]}}', code],
        env=ENVIRONMENT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.split() == ['0', '141'] and done.stderr == ''


def finished(sources, folder):
    """Make all versions, or those that are missing; return their contents without records, which name packages."""
    settings = {'distortions': ['snow', 'fog'], 'measures': (), 'progress': False}
    build_versions(plan_sources(list_images(sources), 'cls'), folder, 'cls', **settings)
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob('*.png'))}


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    """Photographs, and what an undisturbed run makes of them."""
    root = tmp_path_factory.mktemp('undisturbed')
    write_photos(root / 'photos', 4)
    return root / 'photos', finished(root / 'photos', root / 'out')


@pytest.mark.parametrize(('number', 'status'), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_ending_make_distortions_ends_its_workers_and_leaves_no_temporary_file(number, status, undisturbed, tmp_path):
    sources, expected = undisturbed
    command = [sys.executable, str(ROOT / 'tools' / 'data' / 'make_distortions.py'), str(sources), '--out']
    options = ['--distortions', 'snow', 'fog', '--measures', 'none', '--jobs', '2']
    process = subprocess.Popen(
        [*command, str(tmp_path / 'out'), *options], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    out = tmp_path / 'out' / 'miqa_cls'
    deadline = time.monotonic() + 120
    while not list(out.glob('images/*/*.png')):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    _, output = process.communicate(timeout=30)
    assert process.returncode == status
    assert 'the same command goes on from there' in output and 'Traceback' not in output
    assert not psutil.wait_procs(children, timeout=5)[1] and not list(out.rglob('*.part*'))
    # The same command goes on, and the pictures are those of an undisturbed run.
    assert finished(sources, tmp_path / 'out') == expected


def test_a_video_report_that_a_kill_cut_is_written_whole_and_others_are_kept(tmp_path, monkeypatch):
    frames = [{'timestamp': 0.1 * number, 'score': 0.5 + 0.01 * number} for number in range(5)]
    result = {
        'video_name': 'a.avi', 'model': {}, 'mean_score': 0.5, 'frame_results': frames, 'worst_segments': [],
        'per_second_results': [{'second': 0, 'score': 0.5, 'min_score': 0.4, 'max_score': 0.6}],
        'overall_statistics': {'min': 0.5, 'max': 0.6}, 'metadata': {'duration': 0.5},
    }  # fmt: skip

    with monkeypatch.context() as patch:
        patch.setattr(report, 'write_json', lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        refused(KeyboardInterrupt, '', report.write_report, result, tmp_path, kinds=())
    assert (tmp_path / 'a.avi_frames.csv').is_file()
    report.write_report(result, tmp_path, kinds=())
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.avi.json', 'a.avi_frames.csv', 'a.avi_seconds.csv']
    refused(FileExistsError, 'exist already', report.write_report, result, tmp_path, kinds=())
    (tmp_path / 'a.avi.json').unlink()
    # Tables of somebody's own.
    refused(FileExistsError, 'exist already', report.write_report, result, tmp_path, kinds=())


@pytest.mark.parametrize(
    'options', [('--out', 'reports'), ('--annotate', 'marked'), ('--out', 'one', '--annotate', 'one')]
)
def test_a_second_process_with_one_video_and_folder_gets_the_name_of_the_first(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    write_run(tmp_path / 'best.pth')
    for name in ('a.avi', 'b.avi'):
        write_video(tmp_path / name, [0.2, 0.8] * 3)
    command = ['video', 'a.avi', 'b.avi', *options, '--quiet', '--model', 'best.pth']
    with only_writer(tmp_path / options[1], 'wait', part='a.avi'), pytest.raises(SystemExit) as end:
        main(command)
    output = capsys.readouterr().err
    assert end.value.code == 3 and '(a.avi) is in use by another process' in output and '1 of 2 videos' in output
    main(command)
    left = [path.name for path in (tmp_path / options[1]).iterdir() if path.name.startswith('.')]
    # What annotated videos were made of stays beside them.
    assert set(left) <= {'.a_quality.mp4.source.json', '.b_quality.mp4.source.json'}
    assert 'in use' not in capsys.readouterr().err
