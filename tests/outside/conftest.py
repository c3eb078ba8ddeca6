"""The model that commands score with."""

import pytest
from helpers_apis import write_run


@pytest.fixture(scope='session')
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'best.pth'
    write_run(path)
    return str(path)
