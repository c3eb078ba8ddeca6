"""A model that was opened before a fork computes in the child, or says that it cannot; it never hangs."""

import multiprocessing
import os
import pickle
import shutil
import warnings

import numpy as np
import pytest
import torch
from helpers_apis import CNN, forget_default_device, write_run

from machine_iqa import MIQAModel, RealTimeIQA
from miqa.errors import CheckpointError

PICTURE = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)


def scored_in_child(model) -> object:
    context = multiprocessing.get_context('fork')
    ours, theirs = context.Pipe()

    def child():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            try:
                theirs.send((model.assess(PICTURE), [str(each.message) for each in caught]))
            except Exception as error:
                theirs.send((error, []))

    process = context.Process(target=child)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        process.start()
    assert ours.poll(120), 'the child hangs'
    answer = ours.recv()
    process.join()
    return answer


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp('run') / 'best.pth'
    write_run(path, CNN)
    return path


@pytest.fixture(scope='module')
def model(path):
    return MIQAModel(path)


def test_a_checkpoint_opened_in_the_parent_computes_in_a_forked_child_and_says_how(model):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        # The parent's pool of threads exists once it has computed with several.
        torch.randn(512, 512) @ torch.randn(512, 512)
        expected = model.assess(PICTURE)
        result, messages = scored_in_child(model)
    finally:
        torch.set_num_threads(before)
    assert result == pytest.approx(expected, abs=1e-6)
    assert any('opened before the process was forked' in message for message in messages)


def test_an_exported_file_that_was_opened_before_a_fork_says_so_in_the_child_and_does_not_hang(exported):
    model = MIQAModel(exported[1]['.onnx'])
    assert np.isfinite(model.assess(PICTURE))
    error, _ = scored_in_child(model)
    assert isinstance(error, CheckpointError) and 'opened before the process was forked' in str(error)


def test_a_model_is_loaded_under_our_own_defaults_of_pytorch(path, model):
    expected = model.assess(PICTURE)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device('meta')
    try:
        result = MIQAModel(path, device='cpu').assess(PICTURE)
        kept = torch.get_default_dtype(), str(torch.get_default_device())
    finally:
        torch.set_default_dtype(torch.float32)
        forget_default_device()
    assert result == pytest.approx(expected, abs=1e-6) and kept == (torch.float64, 'meta')
    torch.set_default_device(None)
    try:
        assert MIQAModel(path, device='cpu').assess(PICTURE) == pytest.approx(expected, abs=1e-6)
    finally:
        forget_default_device()


def test_the_packaged_model_reaches_other_processes_by_pickle_while_its_file_is_the_same(tmp_path):
    packaged = MIQAModel()
    path = shutil.copy(packaged.source, tmp_path / 'model.onnx')
    for model in (packaged, RealTimeIQA(path).model):
        assert pickle.loads(pickle.dumps(model)).assess(PICTURE) == pytest.approx(packaged.assess(PICTURE), abs=1e-6)
    sent = pickle.dumps(model)
    os.utime(path, (0, 0))
    with pytest.raises(CheckpointError, match='has changed since it was opened'):
        model.identity  # noqa: B018
    with pytest.raises(CheckpointError, match='has changed since it was opened'):
        pickle.loads(sent)
