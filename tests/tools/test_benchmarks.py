"""The benchmarks measure what they say: both sides do the same work."""

import argparse
import importlib.util
import json
import multiprocessing
import os
import shlex
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_apis import write_run
from helpers_database import write_database
from helpers_tools import load_tool
from PIL import Image

from miqa.apis.model import MIQAModel
from miqa.datasets import MIQDDataset, open_index
from miqa.registry import TRANSFORMS

ROOT = Path(__file__).parents[2]
benchmark_index = load_tool('tools/analysis/cases/index.py')
benchmark_loader = load_tool('tools/analysis/cases/loader.py')


@pytest.mark.parametrize('task', ['cls', 'det'])
def test_the_plain_scan_finds_the_samples_of_the_index(tmp_path, task):
    benchmark_index.write_synthetic_database(tmp_path, task, sources=3, versions=250)
    index = open_index(tmp_path, task, 'train')
    samples = benchmark_index.plain_scan(tmp_path, task)
    assert len(samples) == len(index) == 750
    for position in range(0, 750, 7):
        path, label = samples[position]
        assert path.endswith(index.image(position)) and Path(path).is_file()
        assert index.labels('composite')[position] == pytest.approx(label, abs=1e-6)
    with pytest.raises(FileExistsError, match='another database'):
        benchmark_index.write_synthetic_database(tmp_path, task, sources=4, versions=250)


def test_the_index_benchmark_measures_and_returns_its_figures(tmp_path, monkeypatch):
    fork = multiprocessing.get_context('fork')
    monkeypatch.setattr(benchmark_index.multiprocessing, 'get_context', lambda method: fork)
    figures = benchmark_index.benchmark_index(tmp_path, 'det', sources=4, versions=20, workers=1)
    assert figures['samples'] == 80
    assert all(figures[f'{name}_s'] > 0 for name in ('plain_scan', 'cold_build', 'warm_open'))
    assert figures['worker_private_mb'] < 100


def test_memory_in_use_notices_what_is_taken():
    # In a process of its own: one that has freed much memory takes the block from there.
    code = (
        'import sys; sys.path.insert(0, sys.argv[1]); from cases.timing import memory_in_use; import numpy as np\n'
        'before = memory_in_use(); block = np.ones(40_000_000, dtype=np.uint8)\n'
        'print(*(b - a for a, b in zip(before, memory_in_use())))'
    )
    folder = str(ROOT / 'tools' / 'analysis')
    done = subprocess.run([sys.executable, '-c', code, folder], capture_output=True, text=True, check=True)
    assert all(30 < float(taken) < 60 for taken in done.stdout.split()) and len(done.stdout.split()) == 2


def test_the_plain_loader_gives_the_test_pixels_of_ours(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (301, 402, 3), dtype=np.uint8)
    path = tmp_path / 'x.png'
    Image.fromarray(pixels).save(path)
    image, region = benchmark_loader.PlainLoader()(str(path))
    assert image.shape == (3, 224, 224)
    results = {'path': str(path), 'rng': np.random.default_rng(0)}
    for step in benchmark_loader.TEST:
        results = TRANSFORMS.build(step)(results)
    assert torch.equal(results['inputs']['region'].float() / 255, region)


def test_the_loader_benchmark_measures_every_way(tmp_path):
    root = write_database(tmp_path / 'db', 'cls', sources=2, versions=3, size=(320, 300))
    threads = torch.get_num_threads()
    figures, datasets = benchmark_loader.benchmark_loader(root, 'cls', 'train', tmp_path / 'packed', 3, repeats=1)
    rows = benchmark_loader.benchmark_workers(datasets, workers=1, batch_size=2, images=4, repeats=1)
    torch.set_num_threads(threads)
    assert len(figures) == 6 and all(row['ms'] > 0 for row in figures.values())
    assert figures['plain: two resizes, float tensors']['times_plain'] == 1
    assert [row['pictures'] for row in rows[::3]] == list(datasets) and len(rows) == 9
    assert all(row['pictures_per_second'] > 0 for row in rows)
    assert len(MIQDDataset(root, 'cls')) == 3


def test_the_load_test_of_the_endpoint_loses_no_answer(tmp_path):
    pytest.importorskip('fastapi', reason="no FastAPI (pip install 'miqa[serve]')")
    benchmark = load_tool('tools/analysis/cases/service.py')
    write_run(tmp_path / 'best.pth')
    model = MIQAModel(weights=tmp_path / 'best.pth', workers=0)
    pictures = [Path(path).read_bytes() for path in benchmark.made_files(tmp_path, 3, 120, 90)]
    figures = benchmark.load_test(model, pictures, requests=20, connections=4)
    assert figures['answered'] == figures['requests'] == 20 and figures['largest_difference'] < benchmark.TOLERANCE
    assert 0 < figures['p50_ms'] <= figures['p95_ms'] <= figures['max_ms'] and figures['pictures_per_pass'] >= 1


def test_the_benchmark_of_tasks_compares_models_that_differ_in_all_but_the_encoder():
    benchmark = load_tool('tools/analysis/cases/tasks.py')
    models = benchmark.random_task_models(batch_size=2, device='cpu', precision='fp32')
    assert list(models) == ['cls', 'det', 'ins']
    pictures = [np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)] * 2
    result = benchmark.measure(models, pictures, repeats=1)
    assert result['largest_difference'] < 1e-5
    assert result['together_s'] > 0 and result['ratio'] == result['together_s'] / result['apart_s']
    assert len({float(model.assess(pictures)[0]) for model in models.values()}) == 3


def test_the_fidelity_benchmark_measures_both_ways_and_shows_that_they_agree():
    benchmark = load_tool('tools/analysis/cases/fidelity.py')
    threads = torch.get_num_threads()
    pairs = benchmark.make_pairs(photos=1, versions=2, side=200)
    result = benchmark.benchmark_measures(pairs, ['PSNR', 'SSIM'], repeats=1)
    torch.set_num_threads(threads)
    assert set(result) == {'PSNR', 'SSIM', 'all'}
    for name in ('PSNR', 'SSIM'):
        assert result[name]['ours'] > 0 and result[name]['piq'] > 0 and result[name]['difference'] < 1e-5
    assert result['all']['piq'] == pytest.approx(result['PSNR']['piq'] + result['SSIM']['piq'])


def test_the_ways_take_turns_and_the_first_round_does_not_count():
    timing = load_tool('tools/analysis/cases/timing.py')
    calls = []
    ways = {name: lambda name=name: calls.append(name) for name in ('a', 'b')}
    times = timing.in_turns(ways, 2, before=lambda: calls.append('-'), quiet=True)
    assert ''.join(calls) == '-a--b-' * 3
    assert [len(times[name].elapsed) for name in ways] == [2, 2]
    times['a'].elapsed[:] = [3.0, 1.0]
    assert times['a'].seconds == 2 and times['a'].percentiles(50) == {'p50_ms': 2000}


def test_a_case_prints_its_tables_and_writes_its_figures(tmp_path, capsys):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(tmp_path / 'x.png')
    load_tool('tools/analysis/benchmark.py').run_case(
        'decoding', ['--images', str(tmp_path / 'x.png'), '--repeats', '1', '--out', str(tmp_path / 'out.json')]
    )
    (rows,) = json.loads((tmp_path / 'out.json').read_text()).values()
    assert [row['way'] for row in rows] == ['pillow', 'exact', 'fast'] and not any('error' in row for row in rows)
    assert rows[2]['largest'] == 0  # a PNG is read in one way
    assert 'Reading x.png' in capsys.readouterr().out


@pytest.mark.parametrize('case', load_tool('tools/analysis/benchmark.py').CASES)
def test_every_case_has_examples_that_are_understood(case):
    module = load_tool(f'tools/analysis/cases/{case}.py')
    lines = [line for line in module.__doc__.splitlines() if line.startswith('  python tools/analysis/benchmark.py')]
    assert lines
    for line in lines:
        parser = argparse.ArgumentParser()
        parser.add_argument('--repeats', type=int)
        parser.add_argument('--out')
        module.add_options(parser)
        words = shlex.split(line, comments=True)
        assert words[2] == case
        parser.parse_args(words[3:])


# In a process of its own: what other tests have freed would hide that memory grows.
CHECK_MEMORY = """
import sys
import numpy as np
from helpers_tools import load_tool

check = load_tool('tools/analysis/check_memory.py')
kept = []
if '--leak' in sys.argv:
    sys.argv.remove('--leak')
    check.MeanScorer.assess = lambda self, images: [kept.append(np.ones(4000)) or 0.5 for _ in images]
sys.exit(check.main())
"""


@pytest.mark.parametrize('leak', [False, True])
def test_long_inputs_are_shown_not_to_grow_and_growth_is_found_out(leak):
    options = ['--names', '2000', '--hours', '0.2', '--camera-frames', '300']
    options += ['--most', '20', '--leak'] if leak else []
    paths = [str(ROOT), str(ROOT / 'tests' / 'helpers'), *os.environ.get('PYTHONPATH', '').split(os.pathsep)]
    ended = subprocess.run(
        [sys.executable, '-c', CHECK_MEMORY, *options],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, paths))},
    )
    if leak:
        # A model that keeps every picture is found out.
        assert ended.returncode == 1 and 'GREW folder' in ended.stdout, ended.stderr
    else:
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.count('ok ') == 3 and '21,600 items' in ended.stdout and '2,000 items' in ended.stdout


def test_a_meter_refuses_an_input_that_ended_early():
    meter = load_tool('tools/analysis/check_memory.py').Meter(10)
    meter(9)
    with pytest.raises(RuntimeError, match='Only 9 of 10 items came'):
        meter.growth()


def test_the_benchmark_of_files_scores_by_every_way_what_the_model_does(tmp_path, capsys):
    benchmark = load_tool('tools/analysis/cases/files.py')
    paths = benchmark.made_files(tmp_path, 2, 320, 240)
    assert {Image.open(path).size for path in paths} == {(320, 240)}
    lite = MIQAModel('miqa-lite', device='cpu')
    write_run(tmp_path / 'best.pth')
    own = MIQAModel(weights=tmp_path / 'best.pth', device='cpu')
    for model in (lite, own):
        assert benchmark.Plain(model)(paths[0]) == pytest.approx(model.assess(paths[0]), abs=1e-5)
    rows = benchmark.measure(lite, paths, batch_sizes=(2,), repeats=1)
    assert [row['way'] for row in rows] == [
        "Pillow's plain way, one at a time", 'assess(path), one at a time', 'assess_all, ONNX Runtime, batch 2'
    ]  # fmt: skip
    assert rows[0]['ratio'] == 1 and all(row['cpu_ms'] > 0 for row in rows)
    assert ['p99_ms' in row for row in rows] == [True, True, False]


def test_pyiqa_is_a_row_of_the_files_where_it_is_installed_and_else_a_sentence(tmp_path, capsys, monkeypatch):
    benchmark, lite = load_tool('tools/analysis/cases/files.py'), MIQAModel('miqa-lite', device='cpu')
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    assert benchmark.musiq() == {}
    assert 'pyiqa is not installed (pip install pyiqa)' in capsys.readouterr().err
    scored = []
    fake = types.ModuleType('pyiqa')
    fake.create_metric = lambda name, pretrained, device: (name, pretrained) == ('musiq', False) and scored.append
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: True)
    monkeypatch.setitem(sys.modules, 'pyiqa', fake)
    paths = benchmark.made_files(tmp_path, 2, 64, 48)
    rows = benchmark.measure(lite, paths, (2,), 1, peers=benchmark.musiq())
    assert rows[2]['way'].startswith("pyiqa's MUSIQ") and scored == 2 * paths
