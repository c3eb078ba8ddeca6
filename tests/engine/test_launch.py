"""Which GPUs a run sees, and what it is started with."""

import os
import subprocess
from pathlib import Path

import pytest
import torch

from miqa.engine.launch import one_process_per_folder, show_only_gpus


def allocate(monkeypatch, names, count):
    """Let the environment allow these GPUs, and PyTorch find so many."""
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if names is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', names)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: count)


@pytest.mark.parametrize(('chosen', 'allocated', 'visible'), [
    (['0', '1'], None, '0,1'),
    (['0,1'], None, '0,1'),
    (['0', '1,2'], None, '0,1,2'),
    (['0'], '4,5', '4'),
    (['0'], '4,-1,5', '4'),
    (['MIG-3f'], 'MIG-1a,MIG-3f', 'MIG-3f'),
    (['1', '0'], '4,5', '5,4'),
    (['0'], 'GPU-a1,GPU-b2', 'GPU-a1'),
    (['MIG-3f'], None, 'MIG-3f'),
    # CUDA takes the beginning of a name for the whole.
    (['GPU-b2', 'GPU-a1-4c'], 'GPU-a1,GPU-b2-77', 'GPU-b2-77,GPU-a1'),
])  # fmt: skip
def test_gpus_are_counted_within_the_allocation(chosen, allocated, visible, monkeypatch):
    allocate(monkeypatch, allocated, 8)
    assert show_only_gpus(chosen) == len(visible.split(','))
    assert os.environ['CUDA_VISIBLE_DEVICES'] == visible


@pytest.mark.parametrize(('chosen', 'allocated', 'sentence'), [
    (['2'], '4,5', r'There is no GPU 2: CUDA_VISIBLE_DEVICES allows 2 \(4,5\)'),
    (['0'], '', r'There is no GPU 0: CUDA_VISIBLE_DEVICES allows 0 \(none\)'),
    (['1'], '4,-1,5', 'There is no GPU 1'),
    (['GPU-b2'], 'GPU-a1', 'There is no GPU GPU-b2 among those of CUDA_VISIBLE_DEVICES'),
    (['all'], None, "not by 'all'"),
    (['0', '0'], None, 'each once'),
    ([','], None, 'one or more GPUs'),
    (['0', '1'], None, 'asks for 2 GPUs, but PyTorch finds 0'),
])  # fmt: skip
def test_gpus_that_are_not_there_are_an_error(chosen, allocated, sentence, monkeypatch):
    allocate(monkeypatch, allocated, 0)
    with pytest.raises(ValueError, match=sentence):
        show_only_gpus(chosen)


@pytest.mark.parametrize('count', ['x', '0', '-1', '2.5', ''])
def test_an_invalid_number_of_gpus_starts_nothing(count):
    script = Path(__file__).parents[2] / 'tools' / 'dist_train.sh'
    done = subprocess.run(['bash', script, 'c.py', count], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, '') and done.stderr.startswith(f"GPUS is '{count}'; give the number")


def test_a_file_as_the_folder_of_results_is_an_error_before_anything_is_written(tmp_path):
    (tmp_path / 'run').write_text('mine')
    with (
        pytest.raises(NotADirectoryError, match='run is not a folder, and files are to be written into one'),
        one_process_per_folder(tmp_path / 'run', 'none', 'name another'),
    ):
        pytest.fail('It began.')
    assert (tmp_path / 'run').read_text() == 'mine'
