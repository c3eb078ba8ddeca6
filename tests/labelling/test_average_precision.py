"""Average precision of one image: hand-made cases, and pycocotools and faster-coco-eval on whole data sets."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from miqa.labelling.average_precision import IOU_THRESHOLDS, Objects, average_precision
from miqa.labelling.coco_objects import coco_objects
from miqa.machines import DetectionPrediction


def objects(boxes, labels=None, crowd=None, masks=None):
    boxes = np.array(boxes, float).reshape(-1, 4)
    labels = np.zeros(len(boxes), int) if labels is None else np.array(labels)
    return Objects(boxes, labels, np.zeros(len(boxes), bool) if crowd is None else np.array(crowd, bool), masks)


def detections(boxes, scores, labels=None, masks=None):
    labels = np.zeros(len(scores), np.int64) if labels is None else np.array(labels)
    return DetectionPrediction(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores), labels, masks)


ONE = objects([[0, 0, 10, 10]])


def test_the_same_box_scores_one():
    assert average_precision(detections([[0, 0, 10, 10]], [0.3]), ONE) == pytest.approx((1, 1))


def test_no_detection_scores_zero():
    assert average_precision(detections([], []), ONE) == (0, 0)


def test_an_overlap_counts_up_to_its_threshold():
    # IoU 72 / 100: matched at .50, .55, .60, .65, .70 of the ten thresholds, not at .75.
    ap, ap_75 = average_precision(detections([[0, 0, 10, 7.2]], [0.9]), ONE)
    assert ap == pytest.approx(0.5) and ap_75 == 0


def test_a_false_alarm_ranked_above_halves_and_one_ranked_below_costs_nothing():
    both = [[50, 50, 60, 60], [0, 0, 10, 10]]
    assert average_precision(detections(both, [0.9, 0.8]), ONE).ap == pytest.approx(0.5)
    assert average_precision(detections(both, [0.8, 0.9]), ONE).ap == pytest.approx(1)


def test_one_of_two_objects_found_scores_fifty_one_of_the_101_recall_points():
    two = objects([[0, 0, 10, 10], [30, 30, 40, 40]])
    assert average_precision(detections([[0, 0, 10, 10]], [0.9]), two).ap == pytest.approx(51 / 101)


def test_categories_are_averaged_and_absent_ones_do_not_count():
    two = objects([[0, 0, 10, 10], [30, 30, 40, 40]], labels=[3, 5])
    assert average_precision(detections([[0, 0, 10, 10]], [0.9], [3]), two).ap == pytest.approx(0.5)
    stray = detections([[0, 0, 10, 10], [0, 0, 10, 10]], [0.5, 0.9], [3, 8])
    assert average_precision(stray, objects([[0, 0, 10, 10]], labels=[3])).ap == pytest.approx(1)


def test_a_duplicate_is_a_false_alarm():
    two = objects([[0, 0, 10, 10], [30, 30, 40, 40]])
    result = detections([[0, 0, 10, 10], [0, 0, 10, 10], [30, 30, 40, 40]], [0.9, 0.8, 0.7])
    # Precision 1 up to recall 0.5 (51 points), then 2/3 (50 points).
    assert average_precision(result, two).ap == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_without_objects_average_precision_is_missing():
    assert average_precision(detections([[0, 0, 5, 5]], [0.9]), objects([])) is None
    crowd_alone = objects([[0, 0, 10, 10]], crowd=[True])
    assert average_precision(detections([[0, 0, 5, 5]], [0.9]), crowd_alone) is None


def test_detections_inside_a_crowd_count_neither_way():
    scene = objects([[0, 0, 10, 10], [20, 20, 60, 60]], crowd=[False, True])
    result = detections([[25, 25, 30, 30], [40, 40, 50, 50], [0, 0, 10, 10]], [0.9, 0.8, 0.7])
    assert average_precision(result, scene).ap == pytest.approx(1)


def test_masks_are_compared_where_there_are_masks():
    def half(rows):
        pixels = np.zeros((20, 20), np.uint8, order='F')
        pixels[rows, :] = 1
        return rle.encode(pixels)

    box = [[0, 0, 20, 20]]
    scene = objects(box, masks=[half(slice(0, 10))])
    assert average_precision(detections(box, [0.9], masks=[half(slice(0, 10))]), scene).ap == pytest.approx(1)
    assert average_precision(detections(box, [0.9], masks=[half(slice(10, 20))]), scene).ap == 0


def random_answers(content, rng, kind):
    """Shifted, relabelled and invented detections of every image, with ties in the scores."""
    grouped = {image['id']: [] for image in content['images']}
    for item in content['annotations']:
        grouped[item['image_id']].append(item)
    answers = {}
    for image in content['images']:
        boxes, labels = [], []
        for item in grouped[image['id']]:
            for _ in range(2):
                left, top, width, height = np.array(item['bbox']) * (1 + rng.normal(0, 0.06, 4))
                boxes.append([left, top, left + abs(width) + 1, top + abs(height) + 1])
                labels.append(item['category_id'] if rng.random() < 0.9 else int(rng.integers(1, 90)))
        for _ in range(10):
            left, top = rng.uniform(0, 200, 2)
            boxes.append([left, top, left + rng.uniform(5, 200), top + rng.uniform(5, 200)])
            labels.append(int(rng.choice([1, 44, 62])))
        boxes = np.array(boxes, np.float32).clip(0, [image['width'], image['height']] * 2)
        masks = None
        if kind == 'segm':
            height, width = image['height'], image['width']
            xywh = np.c_[boxes[:, :2], boxes[:, 2:] - boxes[:, :2]].astype(float)
            masks = rle.frPyObjects(xywh, height, width)
        answers[image['id']] = DetectionPrediction(boxes, rng.integers(1, 30, len(boxes)) / 30, np.array(labels), masks)
    return answers


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
@pytest.mark.parametrize('library', ['pycocotools', 'faster-coco-eval'])
def test_a_whole_data_set_agrees_with_the_reference_image_by_image(shared_data, kind, library):
    """tiny_coco (polygons and crowds) with invented detections, each image evaluated by the library's own code."""
    path = shared_data / 'tiny_coco/annotations/instances_train2017.json'
    if library == 'pycocotools':
        dataset, evaluation = COCO, COCOeval
    else:
        from faster_coco_eval import COCO as dataset  # noqa: N811
        from faster_coco_eval import COCOeval_faster as evaluation  # noqa: N813
    ground = coco_objects(str(path), kind == 'segm')
    with contextlib.redirect_stdout(io.StringIO()):
        truth = dataset(str(path))
        answers = random_answers(truth.dataset, np.random.default_rng(0), kind)
        entries = []
        for key, result in answers.items():
            for i in range(len(result.scores)):
                left, top, right, bottom = result.boxes[i].tolist()
                entry = {'image_id': key, 'category_id': int(result.labels[i]), 'score': float(result.scores[i])}
                if kind == 'bbox':
                    entry['bbox'] = [left, top, right - left, bottom - top]
                else:
                    entry['segmentation'] = result.masks[i]
                entries.append(entry)
        loaded = truth.loadRes(entries)
        compared = 0
        for image in truth.dataset['images']:
            run = evaluation(truth, loaded, kind)
            run.params.imgIds = [image['id']]
            run.evaluate()
            run.accumulate()
            precision = run.eval['precision'][:, :, :, 0, 2]
            stem = image['file_name'].removesuffix('.jpg')
            mine = average_precision(answers[image['id']], ground.objects[stem])
            if not (precision > -1).any():
                assert mine is None
                continue
            at_75 = precision[IOU_THRESHOLDS.index(0.75)]
            assert mine.ap == pytest.approx(precision[precision > -1].mean(), abs=1e-9)
            assert mine.ap_75 == pytest.approx(at_75[at_75 > -1].mean(), abs=1e-9)
            compared += 1
    assert compared >= 45
