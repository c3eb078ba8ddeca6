"""The step's benchmark counts what PyTorch's layers do."""

import json
import runpy

import pytest
import torch
from helpers_models import HALF, TINY_RA_MIQA
from helpers_tools import load_tool
from torch import nn

benchmark_train = load_tool('tools/analysis/benchmark_train.py')
activation_bytes, flops_of = benchmark_train.activation_bytes, benchmark_train.flops_of


def test_a_linear_layer_has_two_operations_per_weight_and_row():
    layer, rows = nn.Linear(30, 20), torch.randn(7, 30)
    assert flops_of(lambda: layer(rows)) == 2 * 7 * 30 * 20
    # Backward: once for the weights (the input needs no gradient).
    assert flops_of(lambda: layer(rows).sum().backward()) == 2 * (2 * 7 * 30 * 20)


def test_attention_is_counted_although_it_is_fused():
    query = torch.randn(2, 3, 11, 8)
    counted = flops_of(lambda: nn.functional.scaled_dot_product_attention(query, query, query))
    assert counted == 2 * 2 * (2 * 3 * 11 * 11 * 8)


def test_activations_are_what_backward_needs_and_no_weights():
    layer, rows = nn.Linear(30, 20), torch.randn(7, 30)
    assert activation_bytes(lambda: layer(rows)) == 4 * 7 * 30
    with torch.no_grad():
        assert activation_bytes(lambda: layer(rows)) == 0


@pytest.fixture
def tiny():
    views = {'image': {'size': 32, **HALF}, 'region': {'size': 48, **HALF}}
    preprocessor = {'type': 'ViewPreprocessor', 'views': views}
    return {'type': 'QualityAssessor', 'network': TINY_RA_MIQA, 'data_preprocessor': preprocessor}


def test_the_cached_step_lacks_the_encoders_operations_and_nothing_else(tiny):
    from miqa.registry import MODELS

    result = benchmark_train.benchmark_step(tiny, batch_size=2, repeats=1)
    encoder = MODELS.build(TINY_RA_MIQA['region_encoder'])
    of_encoder = flops_of(lambda: encoder(torch.randn(2, 3, 48, 48)))
    assert result['with_encoder']['flops'] - result['cached']['flops'] == of_encoder > 0
    assert result['ratio'] == pytest.approx(result['with_encoder']['seconds'] / result['cached']['seconds'])
    for kind in ('with_encoder', 'cached'):
        assert result[kind]['limit_seconds'] == pytest.approx(result[kind]['flops'] / result['gemm_rate'])
        assert result[kind]['activation_bytes'] > 0


def test_the_command_prints_the_ratio_and_writes_the_figures(tiny, tmp_path, request, monkeypatch, capsys):
    (tmp_path / 'tiny.py').write_text(f'model = {tiny!r}\n')
    tool = request.config.rootpath / 'tools/analysis/benchmark_train.py'
    options = ['--config', tmp_path / 'tiny.py', '--batch-size', '2', '--repeats', '1', '--out', tmp_path / 'out.json']
    options += ['--leave-out', 'torch.compile']  # compiling takes a minute
    monkeypatch.setattr('sys.argv', [str(argument) for argument in (tool, *options)])
    runpy.run_path(str(tool), run_name='__main__')
    printed = capsys.readouterr().out
    assert 'Cached features make the step' in printed and 'MMSegRegionEncoder' in printed
    found = json.loads((tmp_path / 'out.json').read_text())['techniques']
    assert set(found) == {*benchmark_train.TECHNIQUES, benchmark_train.TOGETHER} - {'torch.compile'}
    assert all(name in printed for name in found)


def test_every_technique_takes_the_same_step(tiny):
    found = benchmark_train.benchmark_techniques(tiny, 3, 1, leave_out=['torch.compile'])
    plain = found.pop('as it is')
    assert found['batches stacked']['loss'] == found['fused AdamW']['loss'] == plain['loss']
    for name, row in found.items():
        assert row['loss'] == pytest.approx(plain['loss'], rel=0.05 if name in ('bf16', 'all together') else 1e-4), name
        assert row['ratio'] == pytest.approx(plain['seconds'] / row['seconds'])
    assert found['cached features']['flops'] < plain['flops'] == found['bf16']['flops']
