"""No connection is opened, and nothing is written outside MIQA's own folder and the folders named by the user.

Each job runs in a process of its own under two observers: an audit hook sees what Python opens, and the kernel ends the
process at the first IP socket, also of compiled code, whose files show in a home folder that must stay empty.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from helpers_pictures import smooth
from PIL import Image

HOOKS = """
import ctypes, faulthandler, os, platform, signal, socket, struct, sys, uuid
from pathlib import Path

ALLOWED = [os.path.realpath(folder) for folder in sys.argv[1:]]
OPENED = ('/dev/null', '/dev/shm', '/proc/self')


def refuse_internet():
    # Linux' seccomp filter, instructions of include/uapi/linux/bpf_common.h: SIGSYS at socket(AF_INET or AF_INET6).
    number = {'x86_64': 41, 'aarch64': 198}.get(platform.machine())
    if sys.platform != 'linux' or number is None:
        return
    steps = [(0x20, 0, 0, 0), (0x15, 0, 4, number), (0x20, 0, 0, 16), (0x15, 1, 0, 2), (0x15, 0, 1, 10),
             (0x06, 0, 0, 0x30000), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack('HP', len(steps), ctypes.addressof(code)))
    uuid.getnode()  # kept by the module: it reads the network card's address through a socket, without a connection
    faulthandler.register(signal.SIGSYS, chain=True)
    libc = ctypes.CDLL(None, use_errno=True)
    # PR_SET_NO_NEW_PRIVS, then PR_SET_SECCOMP with SECCOMP_MODE_FILTER
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
        raise OSError(ctypes.get_errno(), 'the kernel takes no filter')


def check(event, arguments):
    between_processes = event == 'socket.connect' and arguments[0].family == socket.AF_UNIX
    sends = event in ('socket.connect', 'socket.getaddrinfo', 'socket.gethostbyname', 'socket.sendto')
    if sends and not between_processes:
        fail(event, arguments)
    written = event == 'open' and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if (written or event in ('os.mkdir', 'os.rename')) and not isinstance(arguments[0], int):
        path = os.path.realpath(os.fsdecode(arguments[event == 'os.rename']))
        if not path.startswith((*ALLOWED, *OPENED)):
            fail(event, arguments)


def fail(event, arguments):
    # Libraries swallow exceptions: this ends the process.
    os.write(2, f'not allowed: {event} {arguments}'.encode())
    os._exit(3)


refuse_internet()
sys.addaudithook(check)
work = Path(sys.argv[1])
"""
JOBS = {
    'score': """
from machine_iqa import MIQAModel
from miqa.cli.main import main
assert 0 < MIQAModel().assess(work / 'photo.png') < 1
main(['models'])
""",
    'serve': """
from machine_iqa import MIQAModel
from starlette.testclient import TestClient
from miqa.serving.application import build_app
with TestClient(build_app(MIQAModel(), page=True), base_url='http://127.0.0.1') as client:
    picture = (work / 'photo.png').read_bytes()
    answers = [client.get('/health'), client.get('/'), client.post('/score', files={'files': ('a.png', picture)})]
assert [answer.status_code for answer in answers] == [200] * 3, answers
""",
    'train, test and export': """
from helpers_database import write_database
from miqa.cli.main import main
root = str(write_database(work / 'database', 'det', sources=4, versions=3))
main(['train', 'mini/plain_cnn_det', '--data-root', root, '--work-dir', str(work / 'run'), '--epochs', '1',
      '--batch-size', '4'])
main(['test', 'mini/plain_cnn_det', str(work / 'run' / 'latest.pth'), '--data-root', root, '--out', str(work / 'test')])
assert (work / 'test' / 'predictions.csv').is_file()
from machine_iqa import MIQAModel
path = MIQAModel(work / 'run' / 'latest.pth').export(work / 'model.onnx')
assert MIQAModel(path).assess(work / 'photo.png')
""",
    'the hub': """
import miqa
from huggingface_hub import constants, utils
assert constants.HF_HUB_DISABLE_TELEMETRY
utils.send_telemetry('miqa')
""",
    'augmentations': """
import miqa
import albumentations
""",
    'openvino': """
from miqa.apis.runtimes.openvino_runtime import openvino_core
assert openvino_core().available_devices
""",
    'ultralytics': """
from helpers_yolo import write_yolo
from miqa.machines import UltralyticsMachine
import numpy as np
(work / 'model.pt').write_bytes(b'')
try:
    UltralyticsMachine(work / 'model.pt', 'cls')  # imports the library
except ValueError:
    machine = UltralyticsMachine(write_yolo(work / 'model.pt', 'cls'), 'cls', options={'imgsz': 64})
assert len(machine.predict([np.zeros((64, 64, 3), np.uint8)])) == 1
""",
}
NEEDS = {
    'serve': 'fastapi', 'train, test and export': 'onnxscript', 'the hub': 'huggingface_hub',
    'augmentations': 'albumentations', 'openvino': 'openvino', 'ultralytics': 'ultralytics',
}  # fmt: skip


def run(tmp_path: Path, code: str, **variables: str) -> tuple[int, str, list[str]]:
    """Run code in an environment of its own; return its exit status, its last words, and the files in its home."""
    folders = {name: tmp_path / name for name in ('work', 'miqa', 'home')}
    # The sockets of worker processes need a short name.
    folders['tmp'] = Path(tempfile.mkdtemp(prefix='t', dir='/tmp'))
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    Image.fromarray(smooth()).save(folders['work'] / 'photo.png')
    kept = {name: os.environ[name] for name in ('PATH', 'OMP_NUM_THREADS', 'LD_LIBRARY_PATH') if name in os.environ}
    environment = {
        'HOME': str(folders['home']),
        'MIQA_HOME': str(folders['miqa']),
        'TMPDIR': str(folders['tmp']),
        'PYTHONPATH': os.pathsep.join(sys.path),
        'PYTHONDONTWRITEBYTECODE': '1',
        **variables,
    }
    command = [sys.executable, '-c', HOOKS + code, *(str(folders[name]) for name in ('work', 'miqa', 'tmp'))]
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    shutil.rmtree(folders['tmp'], ignore_errors=True)
    return done.returncode, done.stderr[-3000:], [str(path) for path in folders['home'].rglob('*')]


@pytest.mark.parametrize('job', JOBS)
def test_nothing_is_sent_and_nothing_written_elsewhere(job, tmp_path):
    if importlib.util.find_spec(NEEDS.get(job, 'numpy')) is None:
        pytest.skip(f'needs {NEEDS[job]}')
    status, message, files = run(tmp_path, JOBS[job])
    assert (status, files) == (0, []), message


@pytest.mark.parametrize(('code', 'message'), [
    ("open('other.txt', 'w')", 'not allowed: open'),
    ("os.mkdir(os.path.expanduser('~/other'))", 'not allowed: os.mkdir'),
    ("import socket; socket.getaddrinfo('localhost', 80)", 'not allowed: socket.getaddrinfo'),
])  # fmt: skip
def test_the_observers_see_what_python_does(code, message, tmp_path):
    status, output, _ = run(tmp_path, code)
    assert status == 3 and message in output


@pytest.mark.skipif(sys.platform != 'linux', reason='seccomp is of Linux')
def test_the_observers_see_sockets_of_compiled_code(tmp_path):
    assert run(tmp_path, 'ctypes.CDLL(None).socket(2, 1, 0)')[0] == -signal.SIGSYS
