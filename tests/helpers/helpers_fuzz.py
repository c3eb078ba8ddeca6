"""How many made-up inputs a fuzz test tries: few by default, more with ``--fuzz N``."""

import os

from hypothesis import HealthCheck, settings

#: Set by ``pytest --fuzz N`` (tests/conftest.py), for worker processes too.
DEPTH = int(os.environ.get('MIQA_FUZZ', '1'))


def examples(count: int) -> settings:
    """Return the settings of a fuzz test that tries ``count`` inputs, ``--fuzz N`` times as many."""
    return settings(max_examples=count * DEPTH, deadline=None, suppress_health_check=list(HealthCheck))
