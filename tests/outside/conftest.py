"""The model that commands score with."""

import pytest


@pytest.fixture(scope='session')
def weights(vit_file):
    return str(vit_file)
