"""What tests of data share: small databases, and what the store of indices says."""

import pytest
from helpers_database import write_database

from miqa.datasets import index_store


@pytest.fixture
def cls_root(tmp_path):
    return write_database(tmp_path / 'db', 'cls', versions=5, size=(4, 4))


@pytest.fixture
def det_root(tmp_path):
    return write_database(tmp_path / 'db', 'det', versions=5, size=(4, 4))


@pytest.fixture
def log(monkeypatch):
    """What the store says in the log."""
    messages = []
    monkeypatch.setattr(index_store, 'log', lambda text, *rest: messages.append(text))
    return messages
