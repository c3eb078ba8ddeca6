"""Fixtures of all tests."""

import os
from pathlib import Path

import pytest

# What a machine's processor makes of `auto` is tried where it is meant.
os.environ.setdefault('MIQA_PRECISION', 'fp32')
# Two workers of pytest-xdist share two cores: more threads each would only wait for one another.
os.environ.setdefault('OMP_NUM_THREADS', '1' if 'PYTEST_XDIST_WORKER' in os.environ else '2')

SHARED = Path(os.environ.get('MIQA_SHARED_DATA', Path(__file__).parents[2] / 'shared' / 'data'))


@pytest.fixture(scope='session')
def shared_data():
    """The folder of real images used in development, set by MIQA_SHARED_DATA; users do not have it."""
    if not SHARED.is_dir():
        pytest.skip(f'No development data at {SHARED} (set MIQA_SHARED_DATA to a folder that has it).')
    return SHARED


def pytest_configure(config):
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
