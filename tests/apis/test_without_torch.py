"""Exported files are scored where there is no PyTorch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers_apis import photo, write_photos

from machine_iqa import MIQAModel

ROOT = Path(__file__).parents[2]
#: What an environment for exported files alone lacks; importing one of these is an ImportError.
ABSENT = (
    'torch', 'torchvision', 'timm', 'mmengine', 'mmcv', 'mmseg', 'safetensors', 'huggingface_hub', 'scipy', 'pandas',
    'piq', 'kornia_rs', 'tensorboard', 'joblib', 'onnxscript', 'matplotlib', 'pyarrow', 'rich', 'cv2', 'av',
)  # fmt: skip


def without_torch(code: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run Python code in a process that cannot import what needs PyTorch."""
    block = f'import sys; sys.modules.update(dict.fromkeys({ABSENT!r}))\n'
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'MIQA_TRACEBACK': '1'}
    return subprocess.run(
        [sys.executable, '-c', block + code, *map(str, arguments)], env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize('suffix', ['.onnx', '.xml'])
def test_python_and_the_command_score_an_exported_file_without_torch(exported, suffix, tmp_path):
    model, files = exported
    if suffix not in files:
        pytest.skip('OpenVINO is not installed.')
    paths = write_photos(tmp_path, 3)
    code = (
        'import json; from machine_iqa import MIQAModel, batch_assess, quality_of\n'
        'model = MIQAModel(sys.argv[1])\n'
        'scores = model.assess(sys.argv[2:])\n'
        "print(json.dumps([scores, batch_assess(sys.argv[2:], sys.argv[1]), str(model.device), 'torch' in sys.modules\n"
        "    and sys.modules['torch'] is not None]))\n"
        'from miqa.cli.main import main\n'
        "main(['image', *sys.argv[2:], '--model', sys.argv[1], '--json', '--quiet'])"
    )
    done = without_torch(code, files[suffix], *paths)
    assert done.returncode == 0, done.stderr[-3000:]
    first, *lines = map(json.loads, done.stdout.splitlines())
    scores, second, device, has_torch = first
    assert scores == pytest.approx(model.assess(paths), abs=1e-4) and second == scores
    assert device == 'cpu' and not has_torch
    assert [line['score'] for line in lines] == pytest.approx(scores, abs=1e-6)


def test_frames_as_they_come_are_scored_without_torch(exported, tmp_path):
    _, files = exported
    code = (
        'import numpy as np; from machine_iqa import RealTimeIQA\n'
        'live = RealTimeIQA(sys.argv[1])\n'
        'frames = [np.full((48, 64, 3), value, np.uint8) for value in (0, 100, 200)]\n'
        "print(live.run(iter(frames), display='none', every_frame=True)['frames_scored'])"
    )
    done = without_torch(code, files['.onnx'])
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == '3'


@pytest.mark.parametrize('use', ['RealTimeIQA().run(0)', 'VideoMIQA().assess_video(sys.argv[1])'])
def test_what_videos_and_cameras_need_is_a_sentence_with_the_line_to_paste(use, tmp_path):
    (tmp_path / 'a.avi').write_bytes(b'RIFF\x00\x00\x00\x00AVI LIST' + bytes(2000))
    done = without_torch(f'from machine_iqa import RealTimeIQA, VideoMIQA; {use}', str(tmp_path / 'a.avi'))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert 'MissingPackage' in last and "[video]'" in last, done.stderr[-2000:]


@pytest.mark.parametrize('message', [
    'image a.png --model ra-miqa', 'gate make shots --machine net.onnx --out gate', 'train ra_miqa_cls',
    'label shots --machine net.onnx --out data --task det', 'gate fit fit.csv --out gate.json',
    'filter shots --gate mygate --machine net.onnx', 'test ra_miqa_cls best.pth', 'benchmark-pairs shots shots',
    'export m.onnx --model ra-miqa',
])  # fmt: skip
def test_a_command_that_needs_more_names_the_extra_that_brings_all_of_it(message, tmp_path):
    write_photos(tmp_path / 'shots', 2)
    write_photos(tmp_path, 1)
    (tmp_path / 'mygate').mkdir()
    (tmp_path / 'fit.csv').write_text('score,outcome,group,model\n0.1,0.2,a,m\n0.9,0.8,b,m\n')
    for name in ('net.onnx', 'best.pth', 'a.png'):
        (tmp_path / name).touch()
    code = 'import os; from miqa.cli.main import main; os.environ.pop("MIQA_TRACEBACK"); os.chdir(sys.argv[1]); '
    done = without_torch(code + 'main(sys.argv[2:])', tmp_path, *message.split())
    assert done.returncode == 1 and "[train]'" in done.stderr.splitlines()[0], done.stderr[-2000:]


def test_a_checkpoint_without_torch_is_a_sentence(exported):
    model, _ = exported
    done = without_torch('from machine_iqa import MIQAModel; MIQAModel(sys.argv[1])', model.source)
    assert done.returncode == 1 and 'torch' in done.stderr.splitlines()[-1]


def test_help_does_not_import_what_computes():
    code = (
        'from miqa.cli.main import main\n'
        "try:\n    main(['--help'])\n"
        'finally:\n    print(sorted({"numpy", "cv2", "PIL", "torch"} & {k for k, v in sys.modules.items() if v}))'
    )
    done = without_torch(code)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == '[]'


def test_the_score_without_torch_is_that_of_a_picture_in_memory(exported):
    model, files = exported
    assert MIQAModel(files['.onnx']).assess(photo()) == pytest.approx(model.assess(photo()), abs=1e-4)
    assert np.isfinite(model.assess(photo()))
