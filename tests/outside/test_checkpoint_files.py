"""A checkpoint file from elsewhere can neither run code nor fill the memory."""

import pickle
import resource
import struct
import time
import zipfile

import numpy as np
import pytest
import torch
from helpers_apis import CNN, write_run
from helpers_models import released_tensors

from machine_iqa import MIQAModel
from miqa.models import CheckpointError, read_checkpoint
from miqa.outside.checkpoint_files import read_torch_file, state_dict_of


@pytest.fixture(autouse=True)
def bounded():
    """No test here may take long or a gigabyte."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    yield
    assert time.monotonic() - started < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1e6  # kB


def archive(path, description: bytes, compress=zipfile.ZIP_STORED, **entries):
    """A file as torch.save writes it, with a description of our own."""
    with zipfile.ZipFile(path, 'w', compress) as out:
        out.writestr('archive/data.pkl', description)
        out.writestr('archive/byteorder', 'little')
        for name, content in entries.items():
            out.writestr(f'archive/{name}', content)
        out.writestr('archive/version', '3\n')
    return path


def call(name: str, arguments: bytes) -> bytes:
    """Pickle of ``{'state_dict': name(*arguments)}``."""
    module, _, function = name.rpartition('.')
    return b'\x80\x02}X\x0a\x00\x00\x00state_dictc' + f'{module}\n{function}\n'.encode() + b'(' + arguments + b'tRs.'


def number(value: int) -> bytes:
    return b'\x8a' + bytes([8]) + struct.pack('<q', value)


@pytest.mark.parametrize(
    'name',
    [
        '__builtin__.bytearray',
        'builtins.bytearray',
        'torch.storage.UntypedStorage',
        'torch._utils._rebuild_wrapper_subclass',
        'torch._utils._rebuild_device_tensor_from_cpu_tensor',
        'torch._utils._rebuild_nested_tensor',
        'torch._utils._rebuild_sparse_tensor',
        'posix.system',
        'builtins.eval',
        'evilmodel.Thing',
        'torch.optim.adam.Adam',
        'numpy.ndarray',
    ],
)
def test_a_constructor_of_something_huge_is_not_called(tmp_path, name):
    with pytest.raises(CheckpointError):
        read_checkpoint(archive(tmp_path / 'x.pth', call(name, number(10**11))))


def test_a_compressed_archive_is_not_unpacked(tmp_path):
    path = archive(tmp_path / 'bomb.pth', pickle.dumps({}, 2), zipfile.ZIP_DEFLATED, **{'data/0': bytes(10**8)})
    assert path.stat().st_size < 10**6
    with pytest.raises(CheckpointError, match='compressed'):
        read_checkpoint(path)


def test_a_description_with_too_many_objects_is_not_made(tmp_path):
    many = b'\x80\x02(' + b'ccollections\nOrderedDict\n)R' * 60_000 + b'l.'
    with pytest.raises(CheckpointError, match='more objects'):
        read_checkpoint(archive(tmp_path / 'x.pth', many))


def test_tensors_larger_than_the_file_are_refused(tmp_path):
    repeated = torch.zeros(1).expand(100_000, 100_000)
    torch.save({'state_dict': {'network.x': repeated}}, tmp_path / 'repeated.pth')
    with pytest.raises(CheckpointError, match='more than are there'):
        read_checkpoint(tmp_path / 'repeated.pth')
    torch.save({'network.x': torch.zeros(3)}, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    content = (tmp_path / 'old.pth').read_bytes()
    assert state_dict_of(read_torch_file(tmp_path / 'old.pth'), tmp_path / 'old.pth')['network.x'].tolist() == [0] * 3
    # Numel of the storage and size of the tensor, both BININT1 3 in the pickle, become 2,000,000,000.
    big = content.replace(b'K\x03Nt', b'J\x00\x94\x35\x77Nt').replace(b'K\x00K\x03\x85', b'K\x00J\x00\x94\x35\x77\x85')
    assert big != content
    (tmp_path / 'big.pth').write_bytes(big)
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / 'big.pth')


@pytest.mark.parametrize(
    'tensor',
    [
        torch.eye(3).to_sparse(),
        torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.quint8),
        torch.zeros(3, device='meta'),
    ],
    ids=['sparse', 'quantised', 'meta'],
)
def test_tensors_of_another_kind_are_refused(tmp_path, tensor):
    torch.save({'network.x': tensor}, tmp_path / 'x.pth')
    with pytest.raises(CheckpointError, match='harmless|plain tensor'):
        read_checkpoint(tmp_path / 'x.pth')


@pytest.mark.parametrize(
    'content',
    [
        {'state_dict': {1: torch.zeros(1)}},
        {'state_dict': {'network.x': torch.zeros(1)}, 'meta': 5},
        {'state_dict': {'network.x': torch.zeros(1)}, 'meta': {'cfg': 5}},
        {'state_dict': {'network.x': torch.zeros(1)}, 'meta': {'cfg': ['a']}},
        {'state_dict': {'network.x': torch.zeros(1)}, 'meta': {'released': 'ra_miqa'}},
        {'state_dict': {'network.x': torch.zeros(1)}, 'meta': {'released': ['x']}},
        {'state_dict': {}},
        {'model': {'x': 'y'}},
        {},
        3,
        None,
        'text',
        [torch.zeros(1)],
    ],
    ids=str,
)
def test_a_checkpoint_of_another_shape_is_a_sentence(tmp_path, content):
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match='x.pth'):
        MIQAModel(weights=tmp_path / 'x.pth')


def test_what_training_scripts_leave_is_still_read_but_their_objects_are_not_made(tmp_path):
    layer = torch.nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(layer.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
    content = {
        'state_dict': released_tensors('resnet18'),
        'optimizer': optimizer.state_dict(),
        'schedule': schedule,
        'best': np.float64(0.5),
        'curve': np.arange(5.0),
    }
    torch.save(content, tmp_path / 'old.pth')
    found = read_torch_file(tmp_path / 'old.pth')
    assert not isinstance(found['schedule'], torch.optim.lr_scheduler.LRScheduler)
    assert float(found['best']) == 0.5 and found['curve'].tolist() == [0, 1, 2, 3, 4]
    assert read_checkpoint(tmp_path / 'old.pth')['meta']['released'] == 'resnet18'


def test_resuming_does_not_run_a_config_in_the_checkpoint(tmp_path, monkeypatch):
    from miqa.engine.runner import QualityRunner

    monkeypatch.chdir(tmp_path)
    model = write_run(tmp_path / 'best.pth', CNN)
    checkpoint = torch.load(tmp_path / 'best.pth', weights_only=True)
    checkpoint['meta']['config'] = "open('OWNED', 'w')"
    torch.save(checkpoint, tmp_path / 'evil.pth')
    runner = QualityRunner.__new__(QualityRunner)
    runner.model, runner._hooks = model, []
    monkeypatch.setattr(QualityRunner, 'logger', type('Quiet', (), {'info': print}), raising=False)
    loaded = runner.load_checkpoint(tmp_path / 'evil.pth')
    # MMEngine's Runner.resume runs exactly this key.
    assert 'config' not in loaded['meta'] and loaded['meta']['epoch'] == 1
