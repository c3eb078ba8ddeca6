"""The published numbers are consistent with each other, and are shown only beside what they can be compared with."""

import numpy as np
import pytest

from miqa.evaluation import published
from miqa.evaluation.published import HUMAN_METHODS, TRAINED_METHODS, published_scores, published_tables
from miqa.taxonomy import LABELS, TASKS, TEST_LABEL_DEVIATIONS

ROWS = published_tables().to_dict('records')


@pytest.mark.parametrize('row', ROWS, ids=lambda row: f'{row["method"]}-{row["task"]}-{row["label"]}')
def test_published_rmse_is_sigma_times_the_root_of_one_minus_plcc_squared(row):
    sigma = TEST_LABEL_DEVIATIONS[row['label'], row['task']]
    assert row['RMSE'] == pytest.approx(sigma * np.sqrt(1 - row['PLCC'] ** 2), abs=0.00015)


def test_table_1_has_thirteen_methods_and_table_2_eleven_for_every_task_and_label():
    table = published_tables()
    assert set(table[table.table == 1].method) == {*HUMAN_METHODS, *TRAINED_METHODS}
    assert set(table[table.table == 2].method) == {*HUMAN_METHODS, *TRAINED_METHODS} - {'ResNet-18', 'EfficientNet-b1'}
    for task in TASKS:
        for label in LABELS:
            methods = table[(table.task == task) & (table.label == label)].method
            assert len(methods) == len(set(methods)) == (13 if label == 'composite' else 11)
    assert table[table.table == 1].KRCC.notna().all() and table[table.table == 2].KRCC.isna().all()


def test_the_papers_ranking_is_in_the_data():
    for _, rows in published_tables().groupby(['task', 'label']):
        assert rows.loc[rows.SRCC.idxmax()].method == 'RA-MIQA'


def test_published_scores_are_found_by_name_or_absent():
    expected = {'SRCC': 0.8125, 'PLCC': 0.8264, 'KRCC': 0.6263, 'RMSE': 0.1596}
    assert published_scores('RA-MIQA', 'det', 'composite') == expected
    assert published_scores('my own network', 'det', 'composite') is None


def test_only_the_papers_own_test_set_counts_as_official():
    sigma = TEST_LABEL_DEVIATIONS['composite', 'ins']
    labels = np.where(np.arange(published.TEST_IMAGES['ins']) % 2, 0.5 + sigma, 0.5 - sigma)
    assert published.is_official_test_set(labels, 'ins', 'composite')
    assert not published.is_official_test_set(labels[:-2], 'ins', 'composite')
    assert not published.is_official_test_set(labels * 1.01, 'ins', 'composite')
    assert not published.is_official_test_set(labels, 'ins', 'accuracy')
