"""What exists once stays once: suggestions, parallel work, package versions, hashes of tensors, shards."""

import ast
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_refusals import refused

from miqa.engine.hooks import describe_environment
from miqa.errors import MissingPackage
from miqa.keeping.versions import versions_in_use
from miqa.networks.tensors import sha256_of_tensors
from miqa.running.parallel import parse_shard, run_parallel, shard_of
from miqa.taxonomy import check_choice, did_you_mean

ROOT = Path(__file__).parents[1]

# What is called -> the only files that may call it.
ONCE = {
    'get_close_matches': {'miqa/taxonomy.py'}, 'Parallel': {'miqa/running/parallel.py'},
    'run_on_ray': {'miqa/running/parallel.py'}, 'run_on_dask': {'miqa/running/parallel.py'},
}  # fmt: skip


def called(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding='utf-8')))
    functions = [node.func for node in nodes if isinstance(node, ast.Call)]
    return {getattr(function, 'attr', getattr(function, 'id', None)) for function in functions}


def test_what_is_done_once_is_called_in_one_file():
    files = [path for room in ('miqa', 'tools') for path in sorted((ROOT / room).rglob('*.py'))]
    calls = {path.relative_to(ROOT).as_posix(): called(path) for path in files}
    for name, homes in ONCE.items():
        assert {path for path, names in calls.items() if name in names} == homes


def test_the_nearest_name_is_suggested_and_none_where_none_is_near():
    assert did_you_mean('sno', ('snow', 'fog')) == " Did you mean 'snow'?"
    assert did_you_mean('sno', ('snow', 'fog'), lambda name: f'x.{name}') == " Did you mean 'x.snow'?"
    assert did_you_mean('zzz', ('snow', 'fog')) == ''
    # What stands before all options makes them no more alike.
    assert did_you_mean('--versions', ('--distortions', '--quiet')) == ''
    assert did_you_mean('--distortion', ('--distortions', '--verbose')) == " Did you mean '--distortions'?"
    with pytest.raises(ValueError, match=r"^Unknown weather 'sno'. Did you mean 'snow'\? Choose one of: snow, fog.$"):
        check_choice('sno', ('snow', 'fog'), 'weather')


def test_a_run_records_the_versions_that_manifests_record():
    environment, versions = describe_environment(), versions_in_use()
    assert environment['python'] == versions.pop('python')
    assert environment['packages'] == versions
    assert versions['torch'] == torch.__version__.split('+')[0] or versions['torch'] == torch.__version__


def test_tensors_are_hashed_by_name_shape_type_and_value():
    values = np.array([[1.5, -2.0]], np.float32)
    state = {'a': torch.from_numpy(values), 'b': torch.zeros(0, dtype=torch.int64)}
    typed = b'a(1, 2)torch.float32' + values.tobytes() + b'b(0,)torch.int64' + b'more'
    assert sha256_of_tensors(state, 'more') == hashlib.sha256(typed).hexdigest()
    assert sha256_of_tensors(state, with_types=False) == hashlib.sha256(b'a' + values.tobytes() + b'b').hexdigest()
    assert sha256_of_tensors({'a': state['a'].T}) != sha256_of_tensors({'a': state['a']})
    assert sha256_of_tensors({'a': torch.ones(2, dtype=torch.bfloat16)}) != sha256_of_tensors({'a': torch.ones(2)})


def test_shards_are_counted_from_one_and_share_out_everything_once():
    assert parse_shard('1/4') == (1, 4)
    parts = [shard_of(range(10), (number, 4)) for number in (1, 2, 3, 4)]
    assert parts[0] == [0, 4, 8] and sorted(sum(parts, [])) == list(range(10))
    for wrong in ((0, 4), (5, 4), (1, 0)):
        refused(ValueError, '1 <= i <= n', shard_of, range(10), wrong)
    for text in ('0/4', '5/4', '1', '1/x', '', '-1/4', '²/4'):
        refused(ValueError, '1 <= i <= n', parse_shard, text)


def test_a_cluster_that_is_not_installed_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'dask', None)
    monkeypatch.setitem(__import__('sys').modules, 'dask.distributed', None)
    monkeypatch.setitem(__import__('sys').modules, 'distributed', None)
    refused(MissingPackage, r'pip install .*\[cluster\]', list, run_parallel([], backend='dask'))
    refused(ValueError, "Unknown backend 'rayy'. Did you mean 'ray'", list, run_parallel([], backend='rayy'))
