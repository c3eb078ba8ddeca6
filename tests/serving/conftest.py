"""The model that the servers of these tests score with."""

import pytest
from helpers_apis import write_run


@pytest.fixture(scope='session')
def model(tmp_path_factory):
    from miqa.apis.model import MIQAModel

    path = tmp_path_factory.mktemp('model') / 'best.pth'
    write_run(path)
    return MIQAModel(weights=path, workers=0)
