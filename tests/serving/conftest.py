"""The model that the servers of these tests score with."""

import pytest


@pytest.fixture(scope='session')
def model(vit_file):
    from miqa.apis.model import MIQAModel

    return MIQAModel(weights=vit_file, workers=0)
