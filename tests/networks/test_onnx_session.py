"""An ONNX session computes where it was asked to, or says that it cannot."""

from types import SimpleNamespace

import pytest
from helpers_refusals import refused

from miqa.networks import onnx_session
from miqa.networks.onnx_files import OnnxFile
from miqa.running.devices import Device


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """A stand-in for an ONNX Runtime with CUDA, whose sessions start on what the test says."""
    path = tmp_path / 'model.onnx'
    path.write_bytes(b'model')
    monkeypatch.setattr(onnx_session, 'read_onnx', lambda *_, **__: OnnxFile(b'model'))
    asked, entries = [], {}

    def session(name, options, providers):
        asked.append(providers)
        entries['threads'] = options.intra_op_num_threads
        return SimpleNamespace(get_providers=lambda: fake.starts or [_name(provider) for provider in providers])

    fake = SimpleNamespace(
        starts=None,
        get_available_providers=lambda: ['TensorrtExecutionProvider', 'CUDAExecutionProvider', 'CPUExecutionProvider'],
        disable_telemetry_events=lambda: None,
        SessionOptions=lambda: SimpleNamespace(add_session_config_entry=entries.__setitem__),
        InferenceSession=session,
        OrtMemoryInfo=lambda *_: None,
        OrtAllocatorType=SimpleNamespace(ORT_ARENA_ALLOCATOR=0),
        OrtMemType=SimpleNamespace(DEFAULT=0),
        OrtArenaCfg=lambda most, *_: most,
        create_and_register_allocator=lambda _, most: entries.setdefault('memory', []).append(most),
    )
    monkeypatch.setattr(onnx_session, '_registered', None)
    monkeypatch.setattr(onnx_session, 'require', lambda *_: fake)
    return SimpleNamespace(
        fake=fake,
        asked=asked,
        entries=entries,
        open=lambda device, **options: onnx_session.open_onnx(path, device, **options)[1],
    )


def _name(provider):
    return provider if isinstance(provider, str) else provider[0]


@pytest.mark.parametrize(('device', 'provider', 'number', 'actual'), [
    ('cuda:1', 'CUDAExecutionProvider', 1, 'cuda:1'),
    ('cuda', 'CUDAExecutionProvider', 0, 'cuda'),
    ('tensorrt:2', 'TensorrtExecutionProvider', 2, 'tensorrt:2'),
    (Device('cuda', 3), 'CUDAExecutionProvider', 3, 'cuda:3'),
])  # fmt: skip
def test_the_number_of_a_device_reaches_its_provider(runtime, device, provider, number, actual):
    assert str(runtime.open(device)) == actual
    assert runtime.asked[0][0] == (provider, {'device_id': number})


def test_without_a_device_the_one_in_use_is_named(runtime):
    assert str(runtime.open(None)) == 'cuda:0'
    runtime.fake.starts = ['CPUExecutionProvider']
    assert str(runtime.open(None)) == 'cpu'
    assert str(runtime.open('cpu')) == 'cpu' and runtime.asked[-1] == ['CPUExecutionProvider']


def test_a_provider_that_does_not_start_is_an_error_and_not_a_silent_cpu(runtime):
    runtime.fake.starts = ['CPUExecutionProvider']
    refused(ValueError, 'could not start on cuda:1 and would compute on cpu', runtime.open, 'cuda:1')


@pytest.mark.parametrize(('device', 'sentence'), [
    ('cpu:1', 'the CPU has no number'), ('mps', 'no provider for device mps'), ('cuda:x', 'named like cpu, cuda'),
])  # fmt: skip
def test_devices_that_there_are_not_are_refused(runtime, device, sentence):
    refused(ValueError, sentence, runtime.open, device)


def test_waiting_threads_sleep_and_there_is_one_for_each_core_that_this_process_may_use(runtime, monkeypatch):
    monkeypatch.setattr(onnx_session, 'usable_cores', lambda: 3)
    runtime.open('cpu')
    assert runtime.entries['threads'] == 3
    assert runtime.entries['session.intra_op.allow_spinning'] == '0'
    runtime.open('cpu', threads=1)
    assert runtime.entries['threads'] == 1


def test_sessions_of_a_kind_share_what_their_kind_may_take(runtime):
    for limited in (True, True, False, False, True):
        runtime.open('cpu', limited=limited)
    few, many = onnx_session.MOST_MEMORY, onnx_session.MOST_MEMORY_OF_MACHINES
    assert runtime.entries['memory'] == [few, many, few]


@pytest.mark.parametrize('foldable', [True, False])
def test_constants_of_unknown_size_are_not_computed_while_a_file_is_opened(runtime, monkeypatch, foldable):
    monkeypatch.setattr(onnx_session, 'read_onnx', lambda *_, **__: OnnxFile(b'model', foldable=foldable))
    runtime.open('cpu')
    disabled = runtime.entries.get('optimization.disable_specified_optimizers')
    assert disabled == (None if foldable else 'ConstantFolding')
