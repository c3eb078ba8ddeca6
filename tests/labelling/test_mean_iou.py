"""Mean intersection over union of one image, against MMSegmentation's metric and torchmetrics' counts."""

import numpy as np
import pytest
import torch
from helpers_refusals import refused

from miqa.labelling.mean_iou import IGNORED, mean_iou


def maps(seed: int, classes: int, shape=(37, 53), ignored: float = 0.1):
    """Two maps that mostly agree, in blocks, with some classes in one of them only."""
    random = np.random.default_rng(seed)
    truth = np.kron(random.integers(0, classes, (6, 8)), np.ones((8, 8), int))[: shape[0], : shape[1]]
    result = np.where(random.random(shape) < 0.3, random.integers(0, classes, shape), truth)
    truth = np.where(random.random(shape) < ignored, IGNORED, truth)
    return result, truth


CASES = [(seed, classes, ignored) for seed in range(12) for classes, ignored in ((2, 0.0), (7, 0.1), (150, 0.3))]


@pytest.mark.parametrize(('seed', 'classes', 'ignored'), CASES)
def test_it_is_mmsegmentations_metric(seed, classes, ignored):
    from mmseg.evaluation.metrics import IoUMetric

    result, truth = maps(seed, classes, ignored=ignored)
    areas = IoUMetric.intersect_and_union(torch.from_numpy(result), torch.from_numpy(truth), classes, IGNORED)
    values = IoUMetric.total_area_to_metrics(*(area.double() for area in areas))
    assert mean_iou(result, truth, classes) == pytest.approx(np.nanmean(values['IoU']), abs=1e-9)


@pytest.mark.parametrize(('seed', 'classes', 'ignored'), CASES)
def test_it_is_the_jaccard_index_of_torchmetrics(seed, classes, ignored):
    """Torchmetrics counts in integers and divides in single precision; its counts are divided here in double."""
    from torchmetrics.functional.classification import multiclass_confusion_matrix, multiclass_jaccard_index

    result, truth = (torch.from_numpy(values) for values in maps(seed, classes, ignored=ignored))
    counts = multiclass_confusion_matrix(result, truth, classes, ignore_index=IGNORED).double()
    both = counts.diagonal()
    either = counts.sum(0) + counts.sum(1) - both
    mine = mean_iou(result.numpy(), truth.numpy(), classes)
    assert mine == pytest.approx((both / either)[either > 0].mean().item(), abs=1e-9)
    single = multiclass_jaccard_index(result, truth, classes, average='none', ignore_index=IGNORED)[either > 0]
    assert mine == pytest.approx(single.mean().item(), abs=1e-6)


def test_a_class_of_neither_map_does_not_count_and_one_of_either_does():
    truth = np.array([[0, 0, 1, 1]])
    assert mean_iou(truth, truth, 9) == 1
    assert mean_iou(np.array([[0, 0, 1, 2]]), truth, 9) == pytest.approx((1 + 0.5 + 0) / 3)


def test_an_index_that_the_annotation_cannot_have_is_a_miss_and_no_class():
    assert mean_iou(np.array([[0, 0, 1, 9]]), np.array([[0, 0, 1, 1]]), 2) == pytest.approx((1 + 0.5) / 2)


def test_without_a_pixel_that_counts_the_value_is_missing():
    assert mean_iou(np.zeros((2, 2), np.uint8), np.full((2, 2), IGNORED), 3) is None


def test_maps_that_do_not_fit_are_refused():
    refused(ValueError, r'have \(1, 2\) and \(2, 1\) pixels', mean_iou, np.zeros((1, 2)), np.zeros((2, 1)), 2)
    refused(ValueError, 'has class 5, but there are only 3', mean_iou, np.zeros((1, 1)), np.full((1, 1), 5), 3)
