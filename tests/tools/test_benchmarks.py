"""The benchmarks measure what they say: both sides do the same work."""

import argparse
import importlib.util
import json
import multiprocessing
import os
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_apis import CNN, views_of, write_photos, write_run
from helpers_database import write_database
from helpers_machines import save
from helpers_models import HALF, TINY_RA_MIQA
from helpers_tools import load_tool
from PIL import Image
from torch import nn

from miqa.apis.model import MIQAModel
from miqa.apis.runtimes import Device, Runtime
from miqa.datasets import MIQDDataset, open_index
from miqa.registry import MODELS, TRANSFORMS

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


def test_the_load_test_of_the_endpoint_loses_no_answer(tmp_path, vit_file):
    pytest.importorskip('fastapi', reason="no FastAPI (pip install 'miqa[serve]')")
    benchmark = load_tool('tools/analysis/cases/service.py')
    model = MIQAModel(weights=vit_file, workers=0)
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


def test_the_benchmark_of_files_scores_by_every_way_what_the_model_does(tmp_path, vit_file):
    benchmark = load_tool('tools/analysis/cases/files.py')
    paths = benchmark.made_files(tmp_path, 2, 320, 240)
    assert {Image.open(path).size for path in paths} == {(320, 240)}
    lite = MIQAModel('miqa-lite', device='cpu')
    own = MIQAModel(weights=vit_file, device='cpu')
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


tool = load_tool('tools/analysis/benchmark.py')
case = load_tool('tools/analysis/cases/inference.py')


class Fake(Runtime):
    name, device = 'Fake', Device('cpu')

    def __init__(self, off, sizes):
        self.off, self.sizes = off, sizes

    def __call__(self, pixels):
        self.sizes.append(len(pixels))
        return pixels.mean(axis=(1, 2, 3)) / 255 + self.off


def test_rows_hold_every_runtime_and_batch_size_and_the_difference_from_the_first():
    sizes = []
    runtimes = {'first': Fake(0.0, sizes), 'second': Fake(0.125, sizes)}
    pixels = np.random.default_rng(0).integers(0, 256, (10, 3, 8, 8), dtype=np.uint8)
    scores = {name: score(pixels) for name, score in runtimes.items()}
    rows = [row for size in (1, 4, 16) for row in case.measure(runtimes, pixels, scores, size, 2)]
    assert [(row['runtime'], row['batch']) for row in rows] == [
        (name, size) for size in (1, 4, 16) for name in ('first', 'second')
    ]
    assert [row['largest_difference'] for row in rows] == pytest.approx([0.0, 0.125] * 3)
    assert [row['mean_difference'] for row in rows] == pytest.approx([0.0, 0.125] * 3)
    assert all(row['ratio'] == 1.0 for row in rows if row['runtime'] == 'first') and rows[1]['srcc'] == pytest.approx(1)
    assert all(row['p50_ms'] <= row['p95_ms'] and row['pictures_per_second'] > 0 for row in rows)
    assert {1, 4, 16} <= set(sizes)


def test_the_command_measures_a_model_of_ones_own_and_says_what_it_leaves_out(tmp_path, capsys):
    pytest.importorskip('onnxscript', reason="needs the extra 'export'")
    write_run(tmp_path / 'best.pth', CNN, views_of(64))
    write_photos(tmp_path / 'shots', 40)
    out = tmp_path / 'speed.json'
    arguments = ['--model', tmp_path / 'best.pth', '--images', tmp_path / 'shots', '--count', '20', '--out', out]
    tool.run_case('inference', [*map(str, arguments), '--repeats', '1', '--batch-sizes', '1', '2'])
    tables = json.loads(out.read_text())
    skipped = tables.pop('model: skipped', [])
    rows = [row for table in tables.values() for row in table]
    names = {row['runtime'].split(': ')[0] for row in [*rows, *skipped]}
    assert names == {
        'PyTorch fp32', 'PyTorch bf16', 'auto', 'ONNX Runtime fp32', 'ONNX Runtime int8', 'OpenVINO fp32',
        'OpenVINO bf16', 'OpenVINO int8',
    }  # fmt: skip
    exact = [row for row in rows if row['runtime'] in ('ONNX Runtime fp32', 'OpenVINO fp32')]
    assert exact and all(row['largest_difference'] < 1e-3 for row in exact)
    printed = capsys.readouterr().out
    assert all(row['runtime'] in printed for row in [*rows, *skipped])


def test_miqa_lite_is_measured_by_the_runtime_that_it_ships_for_and_by_openvino(tmp_path, capsys):
    pytest.importorskip('openvino', reason="needs the extra 'openvino'")
    out = tmp_path / 'speed.json'
    arguments = ['--networks', 'lite', '--only', 'fp32', '--count', '8', '--repeats', '1', '--batch-sizes', '24']
    tool.run_case('inference', [*arguments, '--out', str(out)])
    (rows,) = json.loads(out.read_text()).values()
    assert [row['runtime'] for row in rows] == ['ONNX Runtime fp32', 'OpenVINO fp32']
    assert rows[1]['largest_difference'] < 1e-4 and rows[1]['srcc'] > 0.999


benchmark_train = load_tool('tools/analysis/cases/train.py')
flops_of = benchmark_train.flops_of


def test_a_linear_layer_has_two_operations_per_weight_and_row():
    layer, rows = nn.Linear(30, 20), torch.randn(7, 30)
    assert flops_of(lambda: layer(rows)) == 2 * 7 * 30 * 20
    # Backward: once for the weights (the input needs no gradient).
    assert flops_of(lambda: layer(rows).sum().backward()) == 2 * (2 * 7 * 30 * 20)


def test_attention_is_counted_although_it_is_fused():
    query = torch.randn(2, 3, 11, 8)
    counted = flops_of(lambda: nn.functional.scaled_dot_product_attention(query, query, query))
    assert counted == 2 * 2 * (2 * 3 * 11 * 11 * 8)


@pytest.fixture
def tiny(monkeypatch):
    # Where the processor does not compute in bfloat16 itself, one product of the usual size takes 12 s.
    monkeypatch.setattr(benchmark_train, 'GEMM_SIZE', 256)
    views = {'image': {'size': 32, **HALF}, 'region': {'size': 48, **HALF}}
    preprocessor = {'type': 'ViewPreprocessor', 'views': views}
    return {'type': 'QualityAssessor', 'network': TINY_RA_MIQA, 'data_preprocessor': preprocessor}


def test_the_command_writes_a_row_for_every_technique(tiny, tmp_path, capsys):
    (tmp_path / 'tiny.py').write_text(f'model = {tiny!r}\n')
    options = ['--config', tmp_path / 'tiny.py', '--batch-size', '2', '--repeats', '1', '--out', tmp_path / 'out.json']
    options += ['--leave-out', 'torch.compile']  # compiling takes a minute
    load_tool('tools/analysis/benchmark.py').run_case('train', [str(option) for option in options])
    (rows,) = json.loads((tmp_path / 'out.json').read_text()).values()
    names = [row['technique'] for row in rows]
    assert set(names) == {*benchmark_train.TECHNIQUES, benchmark_train.TOGETHER} - {'torch.compile'}
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)


def test_every_technique_takes_the_same_step(tiny):
    figures = benchmark_train.benchmark_techniques(tiny, 3, 1, leave_out=['torch.compile'])
    plain = figures.pop('as it is')
    assert figures['batches stacked']['loss'] == figures['fused AdamW']['loss'] == plain['loss']
    for name, row in figures.items():
        assert row['loss'] == pytest.approx(plain['loss'], rel=0.05 if name in ('bf16', 'all together') else 1e-4), name
        assert row['ratio'] == pytest.approx(row['pictures_per_second'] / plain['pictures_per_second'])
    assert figures['bf16']['gflop'] == plain['gflop']
    # The cached step lacks the encoder's operations and nothing else.
    encoder = MODELS.build(TINY_RA_MIQA['region_encoder'])
    of_encoder = flops_of(lambda: encoder(torch.randn(3, 3, 48, 48))) / 3 / 1e9
    assert plain['gflop'] - figures['cached features']['gflop'] == pytest.approx(of_encoder)


def test_the_plan_of_the_page_multiplies_what_was_measured(warm, vit_file, tmp_path):
    page = (ROOT / 'docs/scale.md').read_text(encoding='utf-8')
    (line,) = re.findall(r'^python tools/analysis/plan_scoring\.py .*$', page, re.MULTILINE)
    assert '--pictures 10000000' in line
    for number in range(9):
        save(tmp_path / f'archive/{number}.png', np.random.default_rng(number).integers(0, 256, (60, 80, 3)))
    (tmp_path / 'archive/broken.png').write_bytes(b'no picture')
    words = shlex.split(line.replace('/archive', str(tmp_path / 'archive')).replace(' demo ', ' MODEL '))
    done = warm.must(*(vit_file if word == 'MODEL' else word for word in words), cwd=ROOT)
    sample = re.search(r'(\d+) pictures of ([\d.]+) MB on average, (\d+) unreadable: ([\d.]+) a second', done.stdout)
    assert sample, done.stdout
    assert (sample[1], sample[3]) == ('10', '1')
    hours = float(re.search(r'10000000 pictures: ([\d.]+) hours', done.stdout)[1])
    assert hours == pytest.approx(1e7 / float(sample[4]) / 3600, rel=0.01 + 0.05 / float(sample[4]), abs=0.06)
    shared = {int(n): float(h) for n, h in re.findall(r'--shard 1/(\d+) \.\.\. \d+/\d+: ([\d.]+) hours', done.stdout)}
    assert set(shared) == {4, 16, 64} and shared[4] == pytest.approx(hours / 4, abs=0.06)
    size = sum(path.stat().st_size for path in (tmp_path / 'archive').iterdir()) / 10
    terabytes = float(re.search(r'([\d.]+) TB to read', done.stdout)[1])
    assert terabytes == pytest.approx(1e7 * size / 1e12, abs=0.001)
