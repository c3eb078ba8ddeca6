"""A detector of torchvision, trained on the spot, goes all the way by ``miqa label``; AP is checked by pycocotools."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from helpers_detector import small_faster_rcnn, train
from PIL import Image, ImageDraw, ImageFilter
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from miqa.annotations.coco import read_coco
from miqa.cli.main import main
from miqa.datasets import MIQDDataset
from miqa.labelling.verify import verify_database
from miqa.pictures import read_image

SHAPES = ('ellipse', 'rectangle')


def draw_shapes(folder: Path, count: int, size=(176, 128)) -> Path:
    """Draw ellipses and rectangles on a soft ground, and write where they are as COCO JSON; one picture is empty."""
    images, annotations = [], []
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        random = np.random.default_rng(number)
        soft = Image.fromarray(random.integers(60, 190, (8, 11, 3)).astype(np.uint8)).resize(size)
        picture = soft.filter(ImageFilter.GaussianBlur(3))
        pen = ImageDraw.Draw(picture)
        for place in range(2 if number > 1 else 0):
            kind = int(random.integers(0, 2))
            w, h = random.integers(36, 72, 2)
            x, y = int(random.integers(4, 84 - w) + place * 86), int(random.integers(4, size[1] - h - 4))
            box = (x, y, int(x + w), int(y + h))
            getattr(pen, SHAPES[kind])(box, fill=(230, 60, 40) if kind else (30, 40, 210))
            annotations.append({
                'id': len(annotations) + 1, 'image_id': number, 'category_id': 10 + kind,
                'bbox': [x, y, int(w), int(h)], 'area': int(w * h), 'iscrowd': 0,
            })  # fmt: skip
        picture.save(folder / f'{number:012d}.png')
        images.append({'id': number, 'file_name': f'{number:012d}.png', 'width': size[0], 'height': size[1]})
    categories = [{'id': 10 + i, 'name': name} for i, name in enumerate(SHAPES)]
    path = folder.parent / 'shapes.json'
    path.write_text(json.dumps({'images': images, 'annotations': annotations, 'categories': categories}))
    return path


def label_with_trained(tmp_path, pictures: Path, annotations: Path, epochs: int, size: int, *more) -> tuple[Path, list]:
    """Train, label by the command, and return the database and the detector's class names."""
    content = read_coco(annotations)
    used = {instance.category for instances in content.objects.values() for instance in instances}
    names = [name for name, number in content.categories.items() if number in used]
    numbers = {content.categories[name]: label for label, name in enumerate(names, 1)}
    network = train(small_faster_rcnn(len(names) + 1, size), content, pictures, epochs, numbers)
    torch.save({'model': network.state_dict()}, tmp_path / 'trained.pth')
    (tmp_path / 'mine.py').write_text(
        "machines = [dict(type='TorchvisionMachine', model='helpers_detector:small_faster_rcnn', task='det', "
        f"weights={str(tmp_path / 'trained.pth')!r}, classes={names!r}, name='trained', "
        f'options=dict(num_classes={len(names) + 1}, size={size}))]'
    )
    root = tmp_path / 'data'
    main(
        ['label', str(pictures), '--out', str(root), '--task', 'det', '--machine', str(tmp_path / 'mine.py'),
         '--annotations', str(annotations), '--patterns', 'uniform', '--quiet', *more]
    )  # fmt: skip
    return root, names


def answers_of(root: Path) -> list[dict]:
    return [
        row for part in sorted((root / 'miqa_det/responses/trained').glob('*.parquet'))
        for row in pq.read_table(part).to_pylist()
    ]  # fmt: skip


def as_results(boxes, scores, labels, number: int, ids: list[int]) -> list[dict]:
    """Write detections as COCO's results do."""
    corners = np.reshape(np.asarray(boxes, np.float64), (-1, 4))
    return [
        {'image_id': number, 'category_id': ids[label], 'bbox': [*box[:2], *(box[2:] - box[:2])], 'score': float(score)}
        for box, score, label in zip(corners, scores, labels, strict=True)
    ]


def as_truth(instances: list[dict], images: list[dict], categories: list[dict]) -> COCO:
    coco = COCO()
    coco.dataset = {
        'images': images, 'categories': categories, 'annotations': [{**t, 'id': i} for i, t in enumerate(instances, 1)],
    }  # fmt: skip
    coco.createIndex()
    return coco


def precision(truth: COCO, results: list[dict], numbers=None) -> float:
    """COCO's AP over the pictures ``numbers``, or all; NaN where they have no object."""
    run = COCOeval(truth, truth.loadRes(results) if results else COCO(), 'bbox')
    run.params.areaRng, run.params.areaRngLbl = run.params.areaRng[:1], run.params.areaRngLbl[:1]  # all sizes
    if numbers is not None:
        run.params.imgIds = numbers
    run.evaluate()
    run.accumulate()
    values = run.eval['precision'][:, :, :, 0, 2]
    return float(values[values > -1].mean()) if (values > -1).any() else float('nan')


def check_against_pycocotools(root: Path, names: list[str], by_hand: bool) -> dict[str, list[float]]:
    """Compare each label with pycocotools on that one picture, and the whole set with the detector run by hand."""
    truth = json.loads((root / 'miqa_det/ground_truth.json').read_text())
    ids = [0] + [next(c['id'] for c in truth['categories'] if c['name'] == name) for name in names]
    rows = answers_of(root)
    clean = {row['source']: row for row in rows if row['distortion'] is None}
    rows = [row for row in rows if row['distortion'] is not None]
    actual, instances, seen, images = [], [], [], []
    for number, row in enumerate(rows, 1):
        images.append({'id': number, 'width': row['width'], 'height': row['height']})
        actual += as_results(row['boxes'], row['scores'], row['labels'], number, ids)
        instances += [
            {**instance, 'image_id': number, 'iscrowd': instance.get('iscrowd', 0)}
            for instance in truth['annotations'] if instance['image_id'] == int(row['source'])
        ]  # fmt: skip
        reference = clean[row['source']]
        sure = np.asarray(reference['scores']) >= 0.3
        boxes = np.reshape(reference['boxes'], (-1, 4))[sure]
        seen += [
            {**entry, 'iscrowd': 0, 'area': entry['bbox'][2] * entry['bbox'][3]}
            for entry in as_results(boxes, np.ones(sure.sum()), np.asarray(reference['labels'])[sure], number, ids)
        ]
    by_truth = as_truth(instances, images, truth['categories'])
    by_clean = as_truth(seen, images, truth['categories'])
    scores = {
        row['filename']: row for part in (root / 'miqa_det/scores/trained').glob('*.parquet')
        for row in pq.read_table(part).to_pylist()
    }  # fmt: skip
    compared: dict[str, list[float]] = {'accuracy': [], 'consistency': []}
    for label, against in (('accuracy', by_truth), ('consistency', by_clean)):
        for number, row in enumerate(rows, 1):
            mine = scores[row['filename']][label]
            expected = precision(against, [entry for entry in actual if entry['image_id'] == number], [number])
            assert (mine is None or np.isnan(mine)) == np.isnan(expected), row['filename']
            if not np.isnan(expected):
                assert mine == pytest.approx(expected, abs=1e-9), (label, row['filename'])
                compared[label].append(expected)
    if by_hand:
        machine_by_hand(root, rows, actual, by_truth, ids)
    return compared


def machine_by_hand(root, rows, found, truth: COCO, ids) -> None:
    """AP over the whole set is that of the network, called by torchvision's own words on the files of the database."""
    config = {}
    exec((root.parent / 'mine.py').read_text(), config)  # noqa: S102  written above
    (entry,) = config['machines']
    network = small_faster_rcnn(**entry['options'])
    network.load_state_dict(torch.load(entry['weights'], weights_only=True)['model'])
    network.eval()
    theirs = []
    for number, row in enumerate(rows, 1):
        pixels = read_image(root / 'miqa_det/images' / row['source'] / row['filename'])
        with torch.no_grad():
            answer = network([torch.from_numpy(pixels).permute(2, 0, 1) / 255])[0]
        keep = answer['scores'] >= 0.01  # the lowest score that is stored
        theirs += as_results(*(answer[key][keep].numpy() for key in ('boxes', 'scores', 'labels')), number, ids)
    assert len(theirs) == len(found)
    assert precision(truth, found) == pytest.approx(precision(truth, theirs), abs=1e-9)


def test_a_detector_trained_on_drawn_shapes_labels_them_as_pycocotools_says(tmp_path, capsys):
    annotations = draw_shapes(tmp_path / 'shots', 10)
    root, names = label_with_trained(
        tmp_path, tmp_path / 'shots', annotations, 8, 128, '--distortions', 'motion_blur', '--jobs', '1'
    )
    output = capsys.readouterr().out
    assert 'PROBLEM' not in output and '10 sources' in output
    compared = check_against_pycocotools(root, names, by_hand=True)
    # Nine pictures have objects; the detector has learnt something, and distortions cost it something.
    assert len(compared['accuracy']) == 45
    assert np.mean(compared['accuracy']) > 0.2 and len(set(compared['accuracy'])) > 20
    assert verify_database(root, 'det', decode=True, progress=False).problems == []
    data = MIQDDataset(root, 'det', 'composite', 'train')
    assert len(data) >= 25 and np.isfinite(data.labels).all()


def some_of_coco(source: Path, folder: Path) -> Path:
    """Copy eight pictures, all that have crowds and one without objects, and their annotations."""
    content = json.loads((source / 'annotations/instances_train2017.json').read_text())
    counts = Counter(instance['image_id'] for instance in content['annotations'])
    crowds = {instance['image_id'] for instance in content['annotations'] if instance['iscrowd']}
    content['images'].sort(key=lambda image: (image['id'] not in crowds, counts[image['id']] > 0))
    del content['images'][8:]
    chosen = {image['id'] for image in content['images']}
    content['annotations'] = [instance for instance in content['annotations'] if instance['image_id'] in chosen]
    folder.mkdir()
    for image in content['images']:
        shutil.copy(source / 'train2017' / image['file_name'], folder)
    path = folder.parent / 'coco.json'
    path.write_text(json.dumps(content))
    return path


@pytest.mark.slow
def test_a_detector_trained_on_coco_labels_it_as_pycocotools_says(tmp_path, shared_data, capsys):
    annotations = some_of_coco(shared_data / 'tiny_coco', tmp_path / 'shots')
    root, names = label_with_trained(
        tmp_path, tmp_path / 'shots', annotations, 4, 96, '--distortions', 'jpeg_compression', '--jobs', '1'
    )
    assert 'PROBLEM' not in capsys.readouterr().out
    compared = check_against_pycocotools(root, names, by_hand=False)  # by hand above: the same machine
    assert len(compared['accuracy']) == 35 and len(set(compared['accuracy'])) > 14
