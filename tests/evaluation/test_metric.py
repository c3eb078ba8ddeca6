"""The metric sees every sample once, in order, whatever the number of processes."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from helpers_refusals import refused

from miqa.evaluation import QualityCorrelation, quality_correlations


def scores_of(index):
    """A prediction and a label that depend on the position alone."""
    return float(np.sin(index)), float(np.sin(index) + 0.3 * np.cos(7 * index))


def sample(index, **extra):
    pred, gt = scores_of(index)
    return {'index': index, 'pred_score': torch.tensor(pred), 'gt_score': torch.tensor(gt), **extra}


def collect(positions, size):
    metric = QualityCorrelation()
    metric.process(None, [sample(index) for index in positions])
    return metric, metric.evaluate(size)


def expected(positions):
    pred, gt = torch.tensor([scores_of(position) for position in positions]).T.tolist()
    return quality_correlations(pred, gt)


def test_order_and_padding_do_not_change_the_scores():
    metric, scores = collect([4, 2, 0, 3, 1, 4, 0], 5)
    assert scores == expected(range(5))
    np.testing.assert_array_equal(metric.positions, np.arange(5))
    np.testing.assert_allclose(metric.predictions, np.sin(np.arange(5)), rtol=1e-6)


def test_a_missing_sample_and_one_beyond_the_dataset_raise():
    refused(RuntimeError, '1 are missing, the first is number 2', collect, [0, 1, 3, 4], 5)
    refused(RuntimeError, 'numbered up to 5', collect, range(6), 5)


def test_bad_images_are_left_out_and_counted(capsys):
    metric = QualityCorrelation()
    metric.process(None, [sample(i) for i in range(6)] + [sample(6, bad_image=True)])
    assert metric.evaluate(7) == expected(range(6))
    np.testing.assert_array_equal(metric.positions, np.arange(6))


def test_a_second_evaluation_starts_afresh():
    metric, first = collect(range(8), 8)
    metric.process(None, [sample(index) for index in range(5)])
    assert metric.evaluate(5) == expected(range(5)) != first


def test_a_prefix_names_the_database():
    metric = QualityCorrelation(prefix='miqa_det')
    metric.process(None, [sample(index) for index in range(5)])
    assert set(metric.evaluate(5)) == {'miqa_det/SRCC', 'miqa_det/PLCC', 'miqa_det/KRCC', 'miqa_det/RMSE'}


def test_a_nan_prediction_leaves_the_scores_undefined_and_the_log_says_why(monkeypatch):
    messages = []
    monkeypatch.setattr('miqa.evaluation.metric.log', lambda text, *rest: messages.append(text))
    metric = QualityCorrelation()
    metric.process(None, [sample(i) for i in range(4)])
    metric.process(None, [{'index': 4, 'pred_score': torch.tensor(float('nan')), 'gt_score': torch.tensor(0.5)}])
    scores = metric.evaluate(5)
    assert list(scores) == ['SRCC', 'PLCC', 'KRCC', 'RMSE']
    assert all(np.isnan(value) for value in scores.values())
    assert '1 of 5 predictions are NaN' in messages[0]


def worker(rank, world, address, size, results, broken):
    dist.init_process_group('gloo', init_method=f'file://{address}', rank=rank, world_size=world)
    positions = list(range(rank, size, world))
    if not broken and size % world and rank >= size % world:
        positions.append(rank)  # a sampler that pads gives some process a sample twice
    if broken and rank == 1:
        positions = positions[:-1]
    try:
        results[rank] = collect(positions, size)[1]
    except RuntimeError as error:
        results[rank] = str(error)
    dist.destroy_process_group()


@pytest.mark.parametrize('world', [2, 3])
def test_two_or_three_processes_give_the_numbers_of_one(world, tmp_path):
    with mp.Manager() as manager:
        results = manager.dict()
        mp.start_processes(worker, (world, tmp_path / 'meet', 11, results, False), nprocs=world, start_method='fork')
        assert list(results.values()) == [expected(range(11))] * world


def test_an_error_reaches_every_process(tmp_path):
    with mp.Manager() as manager:
        results = manager.dict()
        mp.start_processes(worker, (2, tmp_path / 'meet', 11, results, True), nprocs=2, start_method='fork')
        assert all('1 are missing' in text for text in results.values())
        assert len(results) == 2
