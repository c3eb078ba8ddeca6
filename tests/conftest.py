"""Fixtures of all tests."""

import os
from functools import cache
from pathlib import Path

import pytest
from helpers_warm import warm_shell

# What a machine's processor makes of `auto` is tried where it is meant.
os.environ.setdefault('MIQA_PRECISION', 'fp32')
# Two workers of pytest-xdist share two cores: more threads each would only wait for one another.
os.environ.setdefault('OMP_NUM_THREADS', '1' if 'PYTEST_XDIST_WORKER' in os.environ else '2')

# Ray's own 15 would let its workers wait for every other test.
os.environ.setdefault('RAY_worker_niceness', '0')  # noqa: SIM112  Ray's own spelling

SHARED = Path(os.environ.get('MIQA_SHARED_DATA', Path(__file__).parents[2] / 'shared' / 'data'))


@pytest.fixture(scope='session')
def shared_data():
    """The folder of real images used in development, set by MIQA_SHARED_DATA; users do not have it."""
    if not SHARED.is_dir():
        pytest.skip(f'No development data at {SHARED} (set MIQA_SHARED_DATA to a folder that has it).')
    return SHARED


@pytest.fixture(scope='session')
def warm():
    """A shell whose ``miqa`` and ``python`` have imported everything, for tests that are not about starting."""
    yield warm_shell()
    warm_shell().close()


@pytest.fixture(scope='session')
def vit_file(tmp_path_factory):
    """A checkpoint of a small ViT, with a view of 64 of 72 pixels."""
    from helpers_apis import write_run

    path = tmp_path_factory.mktemp('vit') / 'best.pth'
    write_run(path)
    return path


@pytest.fixture(scope='session')
def ra_miqa_file(tmp_path_factory):
    """A checkpoint of a tiny RA-MIQA, with views of 32 and 48 pixels."""
    from helpers_apis import write_ra_miqa

    path = tmp_path_factory.mktemp('ra_miqa') / 'best.pth'
    write_ra_miqa(path)
    return path


#: Rooms whose tests take seconds, for `run_tests.sh --quick` before each commit.
QUICK = (
    'docs/test_architecture', 'docs/test_links_and_names', 'evaluation', 'annotations', 'splits', 'keeping/test_sealed',
    'keeping/test_text', 'running/test_requirements', 'outside/test_tables', 'outside/test_json_text',
    'outside/test_checkpoint_files', 'outside/test_regular_files', 'outside/test_walking', 'pictures/test_metadata',
    'test_import_direction', 'test_layout', 'test_registry', 'models/test_losses', 'labelling', 'datasets', 'reports',
    'networks',
)  # fmt: skip


#: Files that take a quarter of a minute or more, the longest first: no worker is left alone with one at the end.
LONG = (
    'tools/test_your_own_models', 'running/test_nothing_sent', 'pictures/test_memory', 'tools/test_wheel',
    'docs/test_blocks', 'running/test_clusters', 'models/test_two_stage_probe', 'cli/test_faults',
    'tools/test_notebook', 'tools/test_training', 'machines/test_torchvision', 'cli/test_label_equal',
    'tools/test_train_box', 'tools/test_check_gpu', 'machines/test_mmdet', 'models/test_response_ra_miqa',
    'models/test_released', 'apis/test_video_output', 'tools/test_benchmarks', 'apis/test_gate_fit',
)  # fmt: skip


def pytest_addoption(parser):
    parser.addoption('--fuzz', type=int, metavar='N', default=1, help='try N times as many made-up inputs')


def pytest_collection_modifyitems(items):
    for item in items:
        if _place(item.path).startswith(QUICK) and not item.get_closest_marker('slow'):
            item.add_marker(pytest.mark.quick)
    items.sort(key=lambda item: _rank(item.path))


@cache
def _place(path: Path) -> str:
    return path.relative_to(Path(__file__).parent).as_posix()


@cache
def _rank(path: Path) -> int:
    return next((number for number, long in enumerate(LONG) if _place(path).startswith(long)), len(LONG))


def pytest_configure(config):
    os.environ['MIQA_FUZZ'] = str(config.getoption('--fuzz'))
    _write_cache_of_yapf(config)


def _write_cache_of_yapf(config):
    """Let one process write the cache of yapf, by which MMEngine prints configs: others would read half of it."""
    if not hasattr(config, 'workerinput'):
        import yapf  # noqa: F401


@pytest.fixture(scope='module', autouse=True)
def _environment_ends_with_its_file():
    """Give every file the environment that the run began with: libraries, such as a cluster of Dask, change it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
