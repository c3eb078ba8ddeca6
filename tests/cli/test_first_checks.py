"""What is wrong with a command line is known before a model is loaded, and every advice works."""

import io
import json
import os
import subprocess
import sys

import pytest
from helpers_refusals import refused
from PIL import Image

import miqa
from miqa import train
from miqa.apis.gate import try_delivery
from miqa.cli.main import main
from miqa.labelling.user_pictures import read_pairs
from miqa.outside.regular_files import NotText
from miqa.pictures.finding import find_images
from miqa.running.command_line import SAME_AGAIN, run_command
from miqa.taxonomy import did_you_mean


def write_place(folder):
    (folder / 'shots').mkdir()
    Image.new('RGB', (40, 30), 'grey').save(folder / 'shots/a.png')
    (folder / 'films').mkdir()
    for name in ('drive.mp4', 'films/drive.mp4'):
        (folder / name).write_bytes(b'x')
    (folder / 'net.onnx').touch()
    (folder / 'file').touch()
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(write_place(tmp_path))

    def never(*arguments, **options):
        raise AssertionError('a model is loaded')

    for verb in ('image', 'filter', 'video', 'camera', 'export'):
        monkeypatch.setattr(f'miqa.cli.{verb}.load_model', never)
    monkeypatch.setattr('miqa.labelling.recognised_machines.complete_configs', never)


def test_a_missing_program_is_reported_before_a_video_is_scored(monkeypatch, capsys):
    monkeypatch.setenv('MIQA_FFMPEG', 'no/ffmpeg')
    refused(SystemExit, '1', main, ['video', 'drive.mp4', '--annotate', 'marked'])
    assert 'MIQA_FFMPEG names no/ffmpeg, which is not a program' in capsys.readouterr().err


@pytest.mark.parametrize(('command', 'message'), [
    ('image gone.png', 'There is no image file gone.png'),
    ('image gone.png lost.png', 'nor any other of the 2'),
    ('image empty*', 'No file matches'),
    ('image shots --out x.xls', 'The result file x.xls does not end in one of: .csv'),
    ('image shots scores.csv', '--out scores.csv'),
    ('image shots --model shots/a.png', 'shots/a.png is a picture, not a model'),
    ('image shots/a.png --model gone.onnx', 'no weights file gone.onnx'),
    ('image shots/a.png --model ra-miqua', "Did you mean 'ra_miqa'"),
    ('image drive.mp4', 'miqa video drive.mp4'),
    ('video shots/a.png', 'miqa image shots/a.png'),
    ('image films', 'For its videos run: miqa video films'),
    ('video shots', 'For its images run: miqa image shots'),
    ('video gone.mp4', 'There is no video file gone.mp4'),
    ('image shots --out file/x.csv', 'cannot be written'),
    ('image shots --heatmaps file', 'is not a folder'),
    ('filter shots --keep 0.5 --to file', 'is not a folder'),
    ('filter shots/a.png --keep 0.5', 'is not a folder'),
    ('filter shots --keep 1.5', 'at most 1, not 1.5'),
    ('filter shots --threshold nan', 'must be a number, not nan'),
    ('benchmark-pairs shots shots --machine gone.py', 'no machine file gone.py'),
    ('filter shots --keep 0.5 --to file/good', 'file/good cannot be written'),
    ('filter shots --keep 0.5 --scores shots', 'shots is a folder: name a file in it, such as shots/scores.csv'),
    ('video drive.mp4 --out file', 'is not a folder'),
    ('video drive.mp4 --out v.csv', 'v.csv would be a folder, in which files are written'),
    ('camera gone.mp4', 'There is no video file gone.mp4'),
    ('camera drive.mp4 --log file/x.csv', 'cannot be written'),
    ('export file/x.onnx', 'cannot be written'),
    ('benchmark-pairs shots shots --out file', 'is not a folder'),
    ('benchmark-pairs shots shots --model gone.onnx', 'no weights file gone.onnx'),
    ('compare shots --methods PSNR --out file', 'is not a folder'),
    ('gate make shots --out g --machine net.onnx --versions 0', 'from 1 to 925 (37 distortions at 25 pairs of'),
    ('gate make shots --out g --machine net.onnx --target 3', 'between 0 and 1, not 3'),
    ('gate make shots --out g --machine net.onnx --label accuracy', '--annotations PATH'),
    ('gate make shots --out g --machine net.onnx --network gone.onnx', 'no network file gone.onnx'),
    ('label shots --out g --task det --machine net.onnx --unpaired', '--annotations PATH'),
    ('label shots --out file --task det --machine fasterrcnn_resnet50_fpn', 'is not a folder'),
    ('gate make shots --out file --machine fasterrcnn_resnet50_fpn', 'is not a folder'),
])  # fmt: skip
def test_mistakes_are_reported_before_a_model_is_loaded(command, message, capsys):
    refused(SystemExit, '1', main, command.split())
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(('command', 'message'), [
    ('drive.mp4', 'name a command first: miqa video drive.mp4'),
    ('shots --out x.csv', 'name a command first: miqa image shots --out x.csv'),
    ('imge shots', "Did you mean 'image'?"),
    ('image shots --task detection', "Did you mean 'det'?"),
    ('image shots --devise cpu', "miqa image: error: unrecognized arguments: --devise cpu. Did you mean '--device'?"),
    *((f'label shots --task cls --machine x --out o {option}', f'argument {option.split()[0]}: {message}')
      for option, message in (('--jobs 0', 'a whole number from 1'), ('--batch-size 1e9', 'a whole number from 1'),
                              ('--workers -1', 'a whole number from 0'), ('--val-share 3', 'a share between 0 and'),
                              ('--val-share nan', 'a share between 0 and'))),
    ('compare shots --methods PSNR --jobs 0', 'a whole number from 1 on'),
    ('train ra_miqa_cls --epochs 0', 'a whole number from 1 on'),
])  # fmt: skip
def test_wrong_usage_takes_a_few_lines_and_names_what_was_meant(command, message, capsys):
    refused(SystemExit, '2', main, command.split())
    text = capsys.readouterr().err
    assert message in text and 3 <= len(text.splitlines()) <= 8


#: Command -> how its sentence begins.
WITHOUT_PYTORCH = {
    'label nowhere --task det --machine x --out o': 'There is no folder of pictures nowhere.',
    'label shots --task det --machine x --out o --annotations gone': 'There are no annotations gone.',
    'label shots --task det --machine x --out o --annotations /dev/null': '/dev/null is a device, not a file of annot',
    'gate make nowhere --task cls --machine x --out g': 'There is no folder of pictures nowhere.',
    'benchmark-pairs shots nowhere': 'nowhere is not a folder of pictures.',
    'export out.xyz --model miqa-lite': "Unknown export suffix '.xyz'.",
    'image nowhere/': 'There is no folder nowhere/.',
    'train ra_miqa_det --data-root nowhere': 'There is no data root ',
    'train ra_miqa_det --resume nowhere.pth': 'There is no checkpoint file nowhere.pth.',
    'test ra_miqa_det nowhere.pth': 'There is no checkpoint file nowhere.pth.',
    'test ra_miqa_det file --data-root nowhere': 'There is no data root ',
    'image nowhere': 'There is no image file or folder nowhere.',
    'label shots --task det --machine fasterrcn_resnet50_fpn --out o --plan': "Did you mean 'fasterrcnn_resnet50_fpn'",
    'label shots --task cls --machine resnet5o --out o --plan': "Did you mean 'resnet50'",
    'label shots --task det --machine x.onnx --out o --plan': 'x.onnx',
    'gate make shots --machine away/x.onnx --out o': 'There is no machine file away/x.onnx.',
    'gate make shots --machine shots/a.png --out o': 'shots/a.png is not a machine file. Name a model of torchvision',
}
RUN_ALL = """
import contextlib, io, json, sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name == 'torch':
            raise ImportError(name)
sys.meta_path.insert(0, NoTorch())
from miqa.cli.main import main
results = {}
for command in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        try:
            main(command.split())
        except SystemExit as end:
            results[command] = end.code, stderr.getvalue()
print(json.dumps(results))
"""


@pytest.fixture(scope='module')
def without_pytorch(tmp_path_factory):
    """Exit status and errors of all these commands, run by one process that cannot import PyTorch."""
    folder = write_place(tmp_path_factory.mktemp('place'))
    command = [sys.executable, '-c', RUN_ALL, json.dumps([*WITHOUT_PYTORCH])]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), folder


@pytest.mark.parametrize('command', WITHOUT_PYTORCH)
def test_a_wrong_path_or_name_is_reported_before_pytorch_is_imported(command, without_pytorch):
    results, folder = without_pytorch
    status, expected = results[command]
    assert status == 1 and expected.startswith('Error: ') and WITHOUT_PYTORCH[command] in expected
    assert not (folder / 'o').exists()


def test_the_program_says_its_version_and_its_help_and_knows_near_verbs(capsys):
    refused(SystemExit, '0', main, ['--version'])
    assert capsys.readouterr().out == f'miqa {miqa.__version__}\n'
    main([])
    assert 'image' in capsys.readouterr().out
    refused(SystemExit, '2', main, ['fliter', 'shots'])
    assert "Did you mean 'filter'?" in capsys.readouterr().err
    assert did_you_mean('nope.py', ['ra_miqa_seg.py', 'demo.py']) == ''
    assert did_you_mean('ra_miqa_sge.py', ['ra_miqa_seg.py', 'demo.py']) == " Did you mean 'ra_miqa_seg.py'?"


@pytest.mark.parametrize('mode', ['link', 'hardlink'])
def test_a_disk_without_links_is_known_before_anything_is_scored(tmp_path, mode, monkeypatch):
    try_delivery([str(tmp_path / 'shots/a.png')], tmp_path / 'good', mode)
    assert list((tmp_path / 'good').iterdir()) == []

    def refuse(*arguments, **options):
        raise PermissionError(1, 'Operation not permitted')

    monkeypatch.setattr(os, 'symlink', refuse)
    monkeypatch.setattr(os, 'link', refuse)
    refused(OSError, 'Use --mode copy', try_delivery, [str(tmp_path / 'shots/a.png')], tmp_path / 'good', mode)


@pytest.mark.parametrize(('data', 'names'), [
    (b'\xef\xbb\xbfa.png\nb.png\n', ['a.png', 'b.png']),
    (b'\xef\xbb\xbfa.png\r\n', ['a.png']),
    (b'./a\0./b\0', ['./a', './b']),
    *(('a.png\nb.png\n'.encode(encoding), None) for encoding in ('utf-16', 'utf-16-le', 'utf-16-be')),
    (b'', []),
])  # fmt: skip
def test_a_list_of_files_is_read_without_its_byte_order_mark(data, names):
    if names is None:
        refused(NotText, 'UTF-16', list, find_images(['-'], io.BytesIO(data)))
    else:
        assert list(find_images(['-'], io.BytesIO(data))) == names


@pytest.mark.parametrize(('error', 'said'), [
    (MemoryError(), 'not enough memory. Use a smaller --batch-size'),
    (ImportError('lib.so: failed to map segment from shared object'), 'not enough memory (lib.so: failed to map'),
    (RuntimeError('CUDA out of memory. Tried to allocate 20 GiB'), 'not enough memory (CUDA out of memory.'),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 'Use a smaller --batch-size'),
    (RuntimeError('a mistake of ours'), None),
])  # fmt: skip
def test_a_batch_that_does_not_fit_into_memory_is_a_sentence_and_mistakes_keep_their_traceback(error, said, capsys):
    def fail():
        raise error

    refused(SystemExit if said else RuntimeError, '1' if said else 'a mistake of ours', run_command, fail)
    assert (said or '') in capsys.readouterr().err


def test_before_the_first_checkpoint_the_next_run_begins_again(tmp_path, monkeypatch):
    monkeypatch.setattr(train, '_work_dirs', [tmp_path])
    monkeypatch.setattr('sys.argv', ['train.py', 'config.py'])
    assert train.how_to_go_on().endswith('the same command begins again.')
    (tmp_path / 'latest.pth').touch()
    assert train.how_to_go_on().endswith('config.py --resume')


@pytest.mark.parametrize(('verb', 'goes_on'), [('make', True), ('fit', False)])
def test_an_interrupted_gate_says_that_the_same_command_goes_on(verb, goes_on, monkeypatch):
    sentences = []
    monkeypatch.setattr('miqa.cli.main.run_command', lambda run, go_on: sentences.append(go_on))
    main(['gate', verb, 'shots', '--out', 'x'])
    assert sentences == ([SAME_AGAIN] if goes_on else [''])


def test_a_picture_is_not_its_own_pair(tmp_path):
    (tmp_path / 'pairs.csv').write_text('clean,degraded\na.png,./a.png\n')
    expected = 'line 2: clean and degraded are the same picture, a.png'
    refused(ValueError, expected, read_pairs, tmp_path / 'pairs.csv', tmp_path / 'shots')
