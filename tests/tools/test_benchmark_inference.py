"""The benchmark of runtimes compares what it says it compares."""

import json

import numpy as np
import pytest
from helpers_apis import CNN, views_of, write_photos, write_run
from helpers_tools import load_tool

from miqa.apis.runtimes import Device, Runtime

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
