"""Too few photographs are said by whatever makes, trains on or tests with them, in one sentence."""

from types import SimpleNamespace

import pandas as pd
import pytest

from miqa.engine.screen import few_photographs
from miqa.splits.enough import few_sources
from miqa.test import warnings_of


def runner_of(train: int | None, val: int | None) -> SimpleNamespace:
    def loop(count):
        dataset = SimpleNamespace(metainfo={} if count is None else {'sources': count})
        return SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))

    return SimpleNamespace(train_loop=loop(train), val_loop=None if val is None else loop(val))


@pytest.mark.parametrize(('train', 'val', 'listed'), [
    (8, 4, 'train 8, val 4'), (1, 9, 'train 1, val 9'), (4, None, 'train 4'), (5, 5, ''), (None, None, ''),
])  # fmt: skip
def test_training_says_before_it_begins_that_a_side_has_few(train, val, listed):
    message = few_photographs(runner_of(train, val))
    assert bool(message) == bool(listed) and f'({listed})' * bool(listed) in message


@pytest.mark.parametrize(('sources', 'said'), [(4, 'Few sources on a side (test 4)'), (5, '')])
def test_a_test_says_that_it_had_few(sources, said):
    names = [f's{number}' for number in range(sources) for _ in range(3)]
    values = list(range(len(names)))
    table = pd.DataFrame({'source': names, 'prediction': values, 'ground_truth': values, 'task': 'cls', 'label': 'x'})
    assert ' '.join(warnings_of([table])).startswith(said) if said else warnings_of([table]) == []


def test_the_command_in_the_sentence_is_one():
    assert '`miqa gate make`' in few_sources({'train': 3, 'test': 9})
