"""Division of photographs into training, selection and test."""

import numpy as np
import pytest
from helpers_database import write_database

from miqa.datasets import MIQDDataset
from miqa.datasets.division import divide_sources

NAMES = [f'photo_{i:02d}' for i in range(23)]


def test_fit_and_select_are_disjoint_and_complete_whatever_the_order():
    fit, select = (divide_sources(NAMES, part, 0.2) for part in ('fit', 'select'))
    assert not fit & select and fit | select == set(NAMES) and len(select) == 5
    assert divide_sources(NAMES[::-1], 'select', 0.2) == select
    assert divide_sources(NAMES, 'select', 0.2, seed=1) != select


def test_every_photograph_is_tested_in_exactly_one_fold_and_never_seen_in_it():
    tested = []
    for number in range(5):
        parts = [divide_sources(NAMES, part, 0.2, (number, 5)) for part in ('fit', 'select', 'test')]
        assert set.union(*parts) == set(NAMES) and sum(map(len, parts)) == len(NAMES)
        tested += parts[2]
    assert sorted(tested) == NAMES


def test_two_photographs_give_one_to_each_part():
    assert {len(divide_sources(['a', 'b'], part, 0.01)) for part in ('fit', 'select')} == {1}


@pytest.mark.parametrize(('arguments', 'message'), [
    ((['a'], 'fit', 0.2), "1 training source cannot be divided .* set selection='test'"),
    ((NAMES, 'fit', 1.0), 'selection is a share of the sources between 0 and 1'),
    ((NAMES, 'fit', True), 'selection is a share'),
    ((NAMES, 'test', 0.2), "part='test' needs a fold"),
    ((NAMES, 'fit', 0.2, (5, 5)), r'fold is \(number from 0'),
    ((NAMES, 'fti', 0.2), "'fti'.*fit"),
])  # fmt: skip
def test_what_makes_no_sense_is_a_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        divide_sources(*arguments)


def test_a_part_of_the_dataset_has_whole_photographs_with_their_own_labels(tmp_path):
    root = write_database(tmp_path, 'cls', sources=6, size=(40, 36))
    whole = MIQDDataset(root, 'cls', split='all')
    parts = {
        part: MIQDDataset(root, 'cls', split='all', part=part, selection=0.3, fold=(1, 3))
        for part in ('fit', 'select', 'test')
    }
    assert sum(map(len, parts.values())) == len(whole)
    expected = {info['image']: info for info in map(whole.get_data_info, range(len(whole)))}
    for data in parts.values():
        infos = [data.get_data_info(position) for position in range(len(data))]
        assert [info['index'] for info in infos] == list(range(len(data)))
        np.testing.assert_array_equal(data.labels, np.float32([info['gt_score'] for info in infos]))
        for info in infos:
            assert info['gt_scores'] == expected[info['image']]['gt_scores']
    sources = [{data.get_data_info(i)['source'] for i in range(len(data))} for data in parts.values()]
    assert sum(map(len, sources)) == 6 == len(set.union(*sources))
