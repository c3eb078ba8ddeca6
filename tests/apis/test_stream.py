"""Any number of pictures in order and in bounded memory."""

import threading

import pytest
import torch
from helpers_apis import write_photos
from helpers_refusals import refused

from miqa.apis.model import MIQAModel
from miqa.apis.stream import prepared_batches
from miqa.apis.video.sampling import Sampling


def numbered(picture, name):
    if picture % 10 == 3:
        raise ValueError(f'{name} is bad')
    return torch.full((1,), picture)


@pytest.mark.parametrize('workers', [0, 1, 4])
def test_order_is_kept_and_failures_take_no_place(workers):
    batches = list(prepared_batches(range(35), numbered, 8, workers))
    items = [item for batch in batches for item in batch]
    assert [item.name for item in items] == [f'picture {index}' for index in range(35)]
    assert [index for index, item in enumerate(items) if item.error] == [3, 13, 23, 33]
    assert [sum(item.error is None for item in batch) for batch in batches] == [8, 8, 8, 7]


def test_pictures_are_read_no_further_ahead_than_two_batches():
    taken = []

    def endless():
        for index in range(10**9):
            taken.append(index)
            yield index

    batches = prepared_batches(endless(), lambda picture, name: torch.zeros(1), 8, 4)
    for done in range(1, 6):
        next(batches)
        assert len(taken) <= 8 * done + 2 * 8
    batches.close()


def test_nothing_but_bad_pictures_still_comes_in_parts():
    def bad(picture, name):
        raise ValueError('bad')

    assert [len(batch) for batch in prepared_batches(range(100), bad, 8, 2)] == [32, 32, 32, 4]


def test_decoding_runs_in_several_threads_at_once():
    together = threading.Barrier(3, timeout=30)

    def meet(picture, name):
        together.wait()
        return torch.zeros(1)

    assert sum(map(len, prepared_batches(range(6), meet, 4, 3))) == 6


def test_a_mistake_in_the_program_is_not_taken_for_a_bad_picture():
    def wrong(picture, name):
        raise RuntimeError('a mistake')

    refused(RuntimeError, 'a mistake', list, prepared_batches(range(3), wrong, 2, 2))


def test_unusable_settings_are_refused():
    for batch_size, workers, name in ((0, 1, 'batch_size'), (1, -1, 'workers'), (1.5, 1, 'batch_size')):
        refused(ValueError, f'{name} must be at least', list, prepared_batches([], numbered, batch_size, workers))
    refused(ValueError, 'every must be at least 1 and a whole number, not 2.5', Sampling, 'every', every=2.5)


def test_a_generator_of_paths_is_scored_and_reported(tmp_path, vit_file):
    paths = write_photos(tmp_path / 'photos', 5)
    (tmp_path / 'broken.jpg').write_text('broken')
    counts = []
    model = MIQAModel(weights=vit_file, batch_size=2)
    result = list(model.assess_all(iter([*paths[:2], str(tmp_path / 'broken.jpg'), *paths[2:]]), counts.append))
    assert [item.error is None for item in result] == [True, True, False, True, True, True]
    assert sum(counts) == 6
    assert 'broken.jpg' in str(result[2].error) and result[2].score is None and result[2].quality is None
    assert [item.score for item in result if item.error is None] == pytest.approx(model.assess(paths), abs=1e-5)
