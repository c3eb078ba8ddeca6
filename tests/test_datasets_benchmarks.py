"""The benchmarks measure what they say: both sides do the same work."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_database import write_database
from PIL import Image

from miqa.datasets import MIQDDataset, index_benchmark, loader_benchmark, open_index
from miqa.registry import TRANSFORMS


@pytest.mark.parametrize('task', ['cls', 'det'])
def test_the_plain_scan_finds_the_samples_of_the_index(tmp_path, task):
    index_benchmark.write_synthetic_database(tmp_path, task, sources=3, versions=250)
    index = open_index(tmp_path, task, 'train')
    samples = index_benchmark.plain_scan(tmp_path, task)
    assert len(samples) == len(index) == 750
    for position in range(0, 750, 7):
        path, label = samples[position]
        assert path.endswith(index.image(position)) and Path(path).is_file()
        assert index.labels('composite')[position] == pytest.approx(label, abs=1e-6)
    with pytest.raises(FileExistsError, match='another database'):
        index_benchmark.write_synthetic_database(tmp_path, task, sources=4, versions=250)


def test_the_index_benchmark_measures_and_returns_its_figures(tmp_path, monkeypatch, capsys):
    fork = multiprocessing.get_context('fork')
    monkeypatch.setattr(index_benchmark.multiprocessing, 'get_context', lambda method: fork)
    figures = index_benchmark.benchmark_index(tmp_path, 'det', sources=4, versions=20, workers=1)
    assert figures['samples'] == 80
    assert all(figures[f'{name}_s'] > 0 for name in ('plain_scan', 'cold_build', 'warm_open'))
    assert figures['worker_private_mb'] < 100
    assert '80 samples of det in 4 sources' in capsys.readouterr().out


def test_memory_in_use_notices_what_is_taken():
    before = index_benchmark.memory_in_use()
    block = np.ones(40_000_000, dtype=np.uint8)
    after = index_benchmark.memory_in_use()
    assert 30 < after[0] - before[0] < 60 and 30 < after[1] - before[1] < 60
    del block


def test_the_plain_loader_gives_the_test_pixels_of_ours(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (301, 402, 3), dtype=np.uint8)
    path = tmp_path / 'x.png'
    Image.fromarray(pixels).save(path)
    image, region = loader_benchmark.PlainLoader(normalise=False)(str(path))
    assert image.shape == (3, 224, 224)
    results = {'path': str(path), 'rng': np.random.default_rng(0)}
    for step in loader_benchmark.TEST:
        results = TRANSFORMS.build(step)(results)
    assert torch.equal(results['inputs']['region'].float() / 255, region)


def test_the_loader_benchmark_measures_every_way(tmp_path, capsys):
    root = write_database(tmp_path / 'db', 'cls', sources=2, versions=3, size=(320, 300))
    threads = torch.get_num_threads()
    figures = loader_benchmark.benchmark_loader(
        root, 'cls', 'train', tmp_path / 'packed', images=3, rounds=1, workers=0
    )
    torch.set_num_threads(threads)
    assert len(figures) == 7 and all(value > 0 for value in figures.values())
    said = capsys.readouterr().out
    assert 'x plain' in said and 'ours, packed (zstd), both views' in said
    assert len(MIQDDataset(root, 'cls')) == 3
