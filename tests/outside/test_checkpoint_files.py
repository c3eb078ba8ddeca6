"""A checkpoint file from elsewhere can neither run code nor fill the memory."""

import collections
import contextlib
import pickle
import resource
import struct
import time
import warnings
import zipfile

import numpy as np
import pytest
import torch
from helpers_apis import CNN, forget_default_device, write_run
from helpers_models import released_tensors
from helpers_refusals import refused

from machine_iqa import MIQAModel
from miqa.machines.weights import read_weights
from miqa.models import CheckpointError, read_checkpoint
from miqa.outside.checkpoint_files import read_torch_file, state_dict_of


@pytest.fixture(autouse=True)
def bounded():
    """No test here may take long or a gigabyte."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    yield
    assert time.process_time() - started < 20
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


@pytest.mark.parametrize('name', [
    '__builtin__.bytearray', 'builtins.bytearray', 'builtins.eval', 'posix.system', 'evilmodel.Thing',
    'numpy.ndarray', 'torch.storage.UntypedStorage', 'torch._utils._rebuild_wrapper_subclass',
    'torch._utils._rebuild_device_tensor_from_cpu_tensor', 'torch._utils._rebuild_nested_tensor',
    'torch._utils._rebuild_sparse_tensor', 'torch.optim.adam.Adam',
])  # fmt: skip
def test_a_constructor_of_something_huge_is_not_called(tmp_path, name):
    refused(CheckpointError, '', read_checkpoint, archive(tmp_path / 'x.pth', call(name, number(10**11))))


def test_a_compressed_archive_is_not_unpacked(tmp_path):
    path = archive(tmp_path / 'bomb.pth', pickle.dumps({}, 2), zipfile.ZIP_DEFLATED, **{'data/0': bytes(10**8)})
    assert path.stat().st_size < 10**6
    refused(CheckpointError, 'compressed', read_checkpoint, path)


def test_a_description_with_too_many_objects_is_not_made(tmp_path):
    many = b'\x80\x02(' + b'ccollections\nOrderedDict\n)R' * 60_000 + b'l.'
    refused(CheckpointError, 'more objects', read_checkpoint, archive(tmp_path / 'x.pth', many))


def test_tensors_larger_than_the_file_are_refused(tmp_path):
    repeated = torch.zeros(1).expand(100_000, 100_000)
    torch.save({'state_dict': {'network.x': repeated}}, tmp_path / 'repeated.pth')
    refused(CheckpointError, 'more than are there', read_checkpoint, tmp_path / 'repeated.pth')
    torch.save({'network.x': torch.zeros(3)}, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    content = (tmp_path / 'old.pth').read_bytes()
    assert state_dict_of(read_torch_file(tmp_path / 'old.pth'), tmp_path / 'old.pth')['network.x'].tolist() == [0] * 3
    # Numel of the storage and size of the tensor, both BININT1 3 in the pickle, become 2,000,000,000.
    big = content.replace(b'K\x03Nt', b'J\x00\x94\x35\x77Nt').replace(b'K\x00K\x03\x85', b'K\x00J\x00\x94\x35\x77\x85')
    assert big != content
    (tmp_path / 'big.pth').write_bytes(big)
    refused(CheckpointError, '', read_checkpoint, tmp_path / 'big.pth')


STRANGE = {
    'sparse': torch.eye(3).to_sparse(),
    'quantised': torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.quint8),
    'meta': torch.zeros(3, device='meta'),
}


@pytest.mark.parametrize('tensor', STRANGE.values(), ids=STRANGE)
def test_tensors_of_another_kind_are_refused(tmp_path, tensor):
    torch.save({'network.x': tensor}, tmp_path / 'x.pth')
    with pytest.raises(CheckpointError, match='harmless|plain tensor|not a whole number|not to a storage'):
        read_checkpoint(tmp_path / 'x.pth')


def text(value: str) -> bytes:
    return b'X' + struct.pack('<I', len(value.encode())) + value.encode()


def named(name: str) -> bytes:
    module, _, function = name.rpartition('.')
    return b'c' + f'{module}\n{function}\n'.encode()


ZEROS = b'((' + text('storage') + named('torch.FloatStorage') + text('0') + text('cpu') + b'K\x04tQ'

TENSOR = named('torch._utils._rebuild_tensor_v2') + ZEROS


def storage(kind: str, number_type: str, key: str) -> bytes:
    return b'(' + text(kind) + named(number_type) + text(key) + text('cpu') + b'K\x04tQ'


@pytest.mark.parametrize(('description', 'message'), [
    # Text codecs that double what they get, or take time that grows with its square.
    (text('a' * 1000) + named('_codecs.encode') + b'.', 'not end in one object'),
    (named('_codecs.encode') + text('a' * 1000) + text('hex') + b'\x86R.', "text codec 'hex'"),
    (named('_codecs.encode') + text('\u00fc' * 90_000) + text('punycode') + b'\x86R.', "text codec 'punycode'"),
    (named('_codecs.encode') + text('a') + text('latin1') + text('x') + b'\x87R.', 'something else than it takes'),
    # A tuple of twice itself, forty times: as a key it is hashed 2^40 times.
    (b'})' + b'q\x00h\x00\x86' * 40 + b'K\x01s.', 'tuple as the key'),
    (b'))' + b'q\x00h\x00\x86' * 40 + b'\x86.', 'values'),
    (b']q\x00h\x00a.', 'within one another'),
    (b')' + b'\x85' * 100 + b'.', 'within one another'),
    (named('collections.OrderedDict') + b'](' + b'N' * 10 + b'e\x85R.', 'something else than it takes'),
    # One dict of 60,000 entries, copied 30,000 times.
    (
        b'(' + named('collections.OrderedDict') + b'q\x00}q\x01('
        + b''.join(b'M' + struct.pack('<H', n) + b'N' for n in range(60_000)) + b'u' + b'\x85q\x02'
        + b'h\x00h\x02R' * 30_000 + b'l.',
        'more objects',
    ),
    (b'}r' + b'\xff\xff\xff\x7f' + b'.', None),  # the memo's place 2^31
    (b'X\xff\xff\xff\xffabc', 'more than 268,435,456 bytes'),
    (b'\x8d' + b'\xff' * 7 + b'\x7fabc', 'damaged|bytes'),
    (b'c' + b'a' * 5000 + b'\nb\n.', 'whole PyTorch checkpoint|harmless'),
    (b'0.', 'instruction POP'),
    (b'(d.', 'instruction DICT'),
    (b'\x82\x01.', 'instruction EXT1'),
    (named('torch.Size') + b'.', None),
    # Tensors beyond their storage, before it, or repeated.
    (TENSOR + b'K\x00K\x05\x85K\x01\x85\x89NtR.', 'more than are there'),
    (TENSOR + b'K\x04K\x01\x85K\x01\x85\x89NtR.', 'more than are there'),
    (TENSOR + b'K\x00K\x02\x85J\xff\xff\xff\xff\x85\x89NtR.', 'not a whole number'),
    (TENSOR + b'K\x00J\x00\x94\x35\x77\x85K\x00\x85\x89NtR.', 'more than are there'),
    (storage('storage', 'torch.DoubleStorage', '0') + b'.', 'larger than it is'),
    (storage('storage', 'torch.FloatStorage', '../0') + b'.', 'is missing'),
    (storage('module', 'torch.FloatStorage', '0') + b'.', 'not to a storage'),
    # Arrays of objects, of another size, and without a state.
    (named('numpy.dtype') + text('O') + b'\x85R.', "array of kind 'O'"),
    (named('numpy.dtype') + text('V2147483647') + b'\x85R.', 'array of kind'),
    (named('numpy.dtype') + text('f8') + b'\x85R.', 'is missing'),
    (named('torch._tensor._rebuild_from_type_v2') + b'(' + named('_codecs.encode') + b'N)NtR.', 'type of its own'),
], ids=lambda each: each if isinstance(each, str) else '')  # fmt: skip
def test_a_description_is_bounded_before_anything_is_made_of_it(tmp_path, description, message):
    path = archive(tmp_path / 'x.pth', b'\x80\x02' + description, **{'data/0': bytes(16)})
    if message is None:
        with contextlib.suppress(CheckpointError):
            read_torch_file(path)
    else:
        refused(CheckpointError, message, read_torch_file, path)


def test_records_that_readers_find_in_different_ways_are_refused(tmp_path):
    good = pickle.dumps({'a': 1}, 2)
    for name, words in (
        ('archive/DATA.PKL', None), ('other/data.pkl', 'descriptions'), ('archive/data.pkl', 'one name'),
    ):  # fmt: skip
        with zipfile.ZipFile(tmp_path / 'x.pth', 'w') as out:
            out.writestr('archive/data.pkl', good)
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                out.writestr(name, b'cposix\nsystem\n(X\x04\x00\x00\x00exittR.')
        if words is None:
            assert read_torch_file(tmp_path / 'x.pth') == {'a': 1}
        else:
            refused(CheckpointError, words, read_torch_file, tmp_path / 'x.pth')


def test_a_long_list_of_records_is_not_made(tmp_path, monkeypatch):
    monkeypatch.setattr('miqa.outside.checkpoint_reading._LARGEST_INDEX', 10_000)
    monkeypatch.setattr(zipfile.ZipFile, '_RealGetContents', None)
    path = tmp_path / 'x.pth'
    end = struct.pack('<4H2LH', 0, 0, 400, 400, 20_004, 4, 0)
    path.write_bytes(b'PK\x03\x04' + b'PK\x01\x02' + bytes(20_000) + b'PK\x05\x06' + end)
    refused(CheckpointError, 'list of records has 20,004 bytes', read_torch_file, path)


def test_every_kind_of_numbers_is_read_as_pytorch_reads_it(tmp_path):
    kinds = ['float64', 'float16', 'bfloat16', 'int64', 'int16', 'int8', 'uint8', 'bool', 'complex64']
    whole = torch.arange(24.0).reshape(2, 3, 4)
    content = {
        'tensors': {kind: torch.arange(6).reshape(2, 3).to(getattr(torch, kind)) for kind in kinds},
        'views': [
            *(whole, whole.transpose(0, 2), whole[:, 1:, ::2], whole[1, 1, 1]),
            *(torch.zeros(3, 0), torch.ones(1).expand(5)),
        ],
        'parameter': torch.nn.Parameter(torch.ones(2)),
        'state': torch.nn.BatchNorm2d(3).state_dict(),
        'arrays': [
            *(np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3))),
            *(np.float32(2), np.arange(3, dtype='>i4')),
        ],
        'others': [
            *(torch.float32, torch.Size([1, 2]), torch.device('cpu')),
            *({1, 2}, collections.Counter('aab'), (None, True, -5, 2.5)),
        ],
        'groups': collections.defaultdict(dict, {1: {'step': torch.tensor(3.0)}}),
    }
    for new in (True, False):
        torch.save(content, tmp_path / 'x.pth', _use_new_zipfile_serialization=new)
        result = read_torch_file(tmp_path / 'x.pth')
        assert all(torch.equal(result['tensors'][key], value) for key, value in content['tensors'].items())
        assert all(torch.equal(a, b) for a, b in zip(result['views'], content['views'], strict=True))
        assert torch.equal(result['parameter'], content['parameter'])
        assert all(torch.equal(result['state'][key], value) for key, value in content['state'].items())
        assert all(np.array_equal(a, b) for a, b in zip(result['arrays'], content['arrays'], strict=True))
        assert result['others'] == content['others'] and result['groups'] == content['groups']


def test_a_changed_default_of_pytorch_changes_nothing(tmp_path):
    torch.save({'x': torch.arange(3.0)}, tmp_path / 'x.pth')
    torch.set_default_dtype(torch.float64)
    torch.set_default_device('meta')
    try:
        result = read_torch_file(tmp_path / 'x.pth')['x']
    finally:
        torch.set_default_dtype(torch.float32)
        forget_default_device()
    assert result.dtype is torch.float32 and result.tolist() == [0, 1, 2]


WEIGHTS = {'state_dict': {'network.x': torch.zeros(1)}}


@pytest.mark.parametrize('content', [
    *({**WEIGHTS, 'meta': meta} for meta in (5, {'cfg': 5}, {'cfg': ['a']})),
    *({**WEIGHTS, 'meta': {'released': name}} for name in ('ra_miqa', ['x'])),
    *({'state_dict': {1: torch.zeros(1)}}, {'state_dict': {}}, {'model': {'x': 'y'}}),
    *({}, 3, None, 'text', [torch.zeros(1)]),
], ids=str)  # fmt: skip
def test_a_checkpoint_of_another_shape_is_a_sentence(tmp_path, content):
    torch.save(content, tmp_path / 'x.pth')
    refused(ValueError, 'x.pth', MIQAModel, weights=tmp_path / 'x.pth')


def test_what_training_scripts_leave_is_still_read_but_their_objects_are_not_made(tmp_path):
    layer = torch.nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(layer.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
    content = {
        'state_dict': released_tensors('resnet18'), 'optimizer': optimizer.state_dict(), 'schedule': schedule,
        'best': np.float64(0.5), 'curve': np.arange(5.0),
    }  # fmt: skip
    torch.save(content, tmp_path / 'old.pth')
    result = read_torch_file(tmp_path / 'old.pth')
    assert not isinstance(result['schedule'], torch.optim.lr_scheduler.LRScheduler)
    assert float(result['best']) == 0.5 and result['curve'].tolist() == [0, 1, 2, 3, 4]
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


def test_a_safetensors_file_is_not_called_a_damaged_checkpoint(tmp_path):
    path = tmp_path / 'model.safetensors'
    path.write_bytes(b'\x02\0\0\0\0\0\0\0{}')
    refused(CheckpointError, 'is a safetensors file, and files of torch.save are read here', read_torch_file, path)
    path.write_bytes((17 << 20).to_bytes(8, 'little') + b'{' + b' ' * (17 << 20))  # a million tensors took minutes
    refused(CheckpointError, 'its list of tensors has 17,825,792 bytes', read_weights, path)
