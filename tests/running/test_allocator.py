"""What programs keep of freed memory is bounded, reaches their workers, and never overrules the user."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from miqa.running.allocator import keep_some_freed_memory
keep_some_freed_memory()
import joblib
found = joblib.Parallel(n_jobs=2)(joblib.delayed(os.environ.get)('MALLOC_TRIM_THRESHOLD_') for _ in range(2))
print(found, os.environ['MALLOC_MMAP_THRESHOLD_'])
"""


def run(program, **environment):
    # The variables may be set for the whole run of the tests.
    clean = {name: value for name, value in os.environ.items() if not name.startswith('MALLOC_')}
    return subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=True, env={**clean, **environment}
    ).stdout.strip()


def test_workers_that_are_started_afterwards_keep_as_much():
    assert run(PROGRAM) == f'{[str(256 << 20)] * 2} {32 << 20}'


def test_what_the_user_has_set_holds():
    assert run(PROGRAM, MALLOC_TRIM_THRESHOLD_='1000000') == f'{["1000000"] * 2} {32 << 20}'


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads /proc')
def test_a_huge_array_goes_back_to_the_machine():
    program = """
from miqa.running.allocator import keep_some_freed_memory
keep_some_freed_memory()
import numpy as np, psutil
def used(): return psutil.Process().memory_info().rss >> 20
before = used()
huge = np.ones(400 << 20, np.uint8)
full = used()
del huge
print(full - before > 350, used() - before < 300)
"""
    assert run(program) == 'True True'
