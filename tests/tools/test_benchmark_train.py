"""The step's benchmark counts what PyTorch's layers do."""

import json

import pytest
import torch
from helpers_models import HALF, TINY_RA_MIQA
from helpers_tools import load_tool
from torch import nn

from miqa.registry import MODELS

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
