"""A detector's file alone says how it is used: each family's layout gives its boxes in pixels of the picture."""

import json

import numpy as np
import pytest
import torch
from helpers_detector_files import (
    BOXES,
    LABELS,
    NAMES,
    SCORES,
    SIZE,
    centred,
    chances,
    distributions,
    everywhere,
    logit,
    maps,
    offsets,
    write,
)  # fmt: skip
from helpers_onnx import export

from miqa.machines import TrialPicture, UnclearLayout, build_machine, machine_from_file
from miqa.machines.exported_networks import OnnxNetwork
from miqa.machines.recognition import FileMetadata, metadata_of

pytest.importorskip('onnx', reason="onnx is missing: pip install -e '.[export]'")
pytest.importorskip('onnxruntime', reason="onnxruntime is missing: pip install -e '.[export]'")

#: Pictures are twice as large as the input, so that no border is needed.
SCALE = 2
SHARES = np.array([SIZE[1], SIZE[0]] * 2, np.float32)


def rows(*columns):
    """Finished rows and some that are empty."""
    table = np.stack([np.broadcast_to(np.asarray(column, np.float32), 4) for column in columns], 1)
    return np.concatenate([table, np.zeros((6, len(columns)), np.float32)])[None]


def joined(*parts):
    return np.concatenate(parts, 1)[None].astype(np.float32)


def queries(extra: int):
    """DETR's logits (1, Q, K + extra) and boxes of queries."""
    logits = np.full((1, 100, len(NAMES) + extra), -6, np.float32)
    boxes = np.tile(np.array([0.5, 0.5, 0.1, 0.1], np.float32), (1, 100, 1))
    boxes[0, :4] = centred(BOXES) / SHARES
    if extra:  # the class for no object
        logits[..., -1] = 4
        logits[0, range(4), -1] = -6
    logits[0, range(4), LABELS] = np.log(SCORES / (1 - SCORES) * (np.exp(-6) * len(NAMES))) if extra else logit(SCORES)
    return logits, boxes


def anchors():
    return chances(), everywhere()


def families():
    """Name of a family -> outputs of a file of it."""
    scores, boxes = anchors()
    worth = np.sqrt(scores.max(1, keepdims=True))
    conditional = scores / worth
    sides = list(BOXES.T)
    relative = list((BOXES / SHARES).T)
    cxcywh = centred(boxes)
    one = np.ones(len(scores), np.float32)
    logits, query_boxes = queries(1)
    plain_logits, _ = queries(0)
    rng = np.random.default_rng(2)
    hidden, coefficients = rng.normal(0, 1, (1, 100, 32)).astype(np.float32), rng.normal(0, 1, (len(scores), 32))
    prototypes = rng.normal(0, 1, (1, 32, SIZE[0] // 4, SIZE[1] // 4)).astype(np.float32)
    points = rng.uniform(2, 90, (len(scores), 51))
    points[:, 2::3] = rng.uniform(0, 1, (len(scores), 17))
    levels = [np.concatenate([d, s], 1) for d, s in [(distributions(16), scores)]][0]
    return {
        'v8': {'a': joined(cxcywh, scores).transpose(0, 2, 1)},
        'v8 turned': {'a': joined(cxcywh, scores)},
        'v8 before its sigmoid': {'a': joined(cxcywh, logit(scores)).transpose(0, 2, 1)},
        'v8 in shares': {'a': joined(cxcywh / SHARES, scores).transpose(0, 2, 1)},
        'v5': {'a': joined(cxcywh, worth, conditional)},
        'v5 turned': {'a': joined(cxcywh, worth, conditional).transpose(0, 2, 1)},
        'v5 before its sigmoid': {'a': joined(cxcywh, logit(worth), logit(conditional))},
        'corners': {'a': joined(boxes, scores)},
        'yolox before grid and strides': {'a': joined(offsets(), worth, conditional)},
        'yolox in maps': {
            f'{name}{i}': part
            for name, values in (('r', offsets()), ('o', worth), ('c', conditional))
            for i, part in enumerate(maps(values))
        },
        'v5 beside its raw maps': {
            'a': joined(cxcywh, worth, conditional),
            **{f'r{s}': rng.normal(0, 1, (1, 3, -(-SIZE[0] // s), -(-SIZE[1] // s), 9)) for s in (8, 16, 32)},
        },
        'rf-detr with an unused class': {'u': np.pad(plain_logits, ((0, 0), (0, 0), (1, 0)), constant_values=-9),
                                         'v': query_boxes},
        'yunet': {
            f'{name}{i}': part.reshape(1, part.shape[1], -1).transpose(0, 2, 1)
            for name, values in (('cls', scores), ('obj', worth**2), ('bbox', offsets()), ('kps', points[:, :10]))
            for i, part in enumerate(maps(values))
        },
        'labels from 1 on': {'x': BOXES[None], 'y': SCORES[None], 'z': LABELS[None] + 1},
        'yolox in joined maps': {
            f'l{i}': part for i, part in enumerate(maps(joined(offsets(), worth, conditional)[0]))
        },
        'nanodet': {
            f'{name}{i}': part.reshape(1, part.shape[1], -1).transpose(0, 2, 1)
            for name, values in (('c', scores), ('d', distributions(8, pixels=-0.5)))
            for i, part in enumerate(maps(values))
        },
        'nanodet plus': {'a': joined(scores, distributions(8, shift=0))},
        'v8 heads': {f'l{i}': part for i, part in enumerate(maps(levels))},
        'v8 heads apart': {
            f'{name}{i}': part
            for i in range(3)
            for name, part in (('d', maps(distributions(16))[i]), ('s', maps(logit(scores))[i]))
        },
        'boxes and scores': {'b': boxes[None], 's': scores[None]},
        'boxes and scores of classes first': {'s': scores.T[None], 'b': boxes[None]},
        'boxes in shares and scores with background': {
            'p': joined((1 - scores.sum(1, keepdims=True)).clip(0.001), scores)
            / joined((1 - scores.sum(1, keepdims=True)).clip(0.001), scores).sum(2, keepdims=True),
            'q': boxes[None] / SHARES,
        },
        'end to end': {'a': rows(*sides, SCORES, LABELS)},
        'v7 end to end': {'a': rows(0, *sides, LABELS, SCORES)[:, :4]},
        'paddle': {'a': rows(LABELS, SCORES, *sides)},
        'detection output': {'a': rows(0, LABELS, SCORES, *relative)[None]},
        'triple': {'x': BOXES[None], 'y': SCORES[None], 'z': LABELS[None]},
        'triple of floats with a count': {
            'n': np.array([[4]]), 'x': BOXES[None], 'y': SCORES[None], 'z': LABELS[None].astype(np.float32),
        },
        'mmdeploy': {'dets': joined(BOXES, SCORES[:, None]), 'labels': LABELS[None]},
        'every place with its best class': {
            'b': boxes[None], 's': (scores.max(1) * one)[None], 'c': scores.argmax(1)[None],
        },
        'tensorflow': {
            'detection_boxes': (BOXES / SHARES)[:, [1, 0, 3, 2]][None], 'detection_scores': SCORES[None],
            'detection_classes': LABELS[None].astype(np.float32), 'num_detections': np.array([4.0], np.float32),
        },
        'detr': {'logits': logits, 'pred_boxes': query_boxes},
        'detr with hidden states': {'last_hidden_state': hidden, 'pred_boxes': query_boxes, 'logits': logits},
        'rt-detr with points': {'reference_points': query_boxes[:, ::-1], 'pred_boxes': query_boxes, 'x': plain_logits},
        'v8 pose': {'a': joined(cxcywh, scores, points).transpose(0, 2, 1)},
        'v8 masks': {'a': joined(cxcywh, scores, coefficients).transpose(0, 2, 1), 'b': prototypes},
        'end to end pose': {'a': rows(*sides, SCORES, LABELS, *points[:4].T)},
        'end to end masks': {'a': rows(*sides, SCORES, LABELS, *coefficients[:4].T), 'b': prototypes},
        'rt-detr': {'u': plain_logits, 'v': query_boxes},
        'rt-detr in one': {'a': np.concatenate([query_boxes, 1 / (1 + np.exp(-plain_logits))], 2)},
    }  # fmt: skip


FAMILIES = families()


def recognised(tmp_path, outputs, named: bool = True, **options):
    path = write(tmp_path / 'net.onnx', outputs, **options)
    image = np.random.default_rng(0).integers(0, 255, (SIZE[0] * SCALE, SIZE[1] * SCALE, 3), np.uint8)
    truth = TrialPicture(image, BOXES * SCALE, [NAMES[i] for i in LABELS])
    result = machine_from_file(path, 'det', [truth], NAMES if named else None, categories=NAMES)
    (answer,) = build_machine(result.config).predict([image])
    return result, answer


def check(answer, tolerance=0.02, scores=SCORES):
    keep = answer.scores > 0.3
    assert answer.labels[keep].tolist() == LABELS.tolist()
    np.testing.assert_allclose(answer.boxes[keep], BOXES * SCALE, atol=tolerance)
    if scores is not None:
        np.testing.assert_allclose(answer.scores[keep], scores, atol=2e-3)


@pytest.mark.parametrize('family', FAMILIES)
def test_a_file_gives_its_boxes_in_pixels_of_the_picture(tmp_path, family):
    result, answer = recognised(tmp_path, FAMILIES[family])
    if result.config['classes'][0] == 'background':
        assert result.config['classes'][1:] == list(NAMES) and family == 'labels from 1 on'
        answer.labels[:] -= 1
    check(answer)


@pytest.mark.parametrize(
    'options', [{'kind': 'float16'}, {'kind': 'uint8', 'last': True}, {'last': True}, {'opset': 17}, {'opset': 11}]
)
def test_inputs_of_other_types_and_orders_are_fed_as_the_file_takes_them(tmp_path, options):
    check(recognised(tmp_path, FAMILIES['v8'], **options)[1])


def test_a_range_of_values_with_which_a_network_cannot_be_run_is_not_its_own(tmp_path, monkeypatch):
    run = OnnxNetwork.run

    def fails(self, images, *more, **options):
        if images.max() > 2:  # as where no proposal is left
            raise RuntimeError('Reshape')
        return run(self, images, *more, **options)

    monkeypatch.setattr(OnnxNetwork, 'run', fails)
    check(recognised(tmp_path, FAMILIES['v8'])[1])


@pytest.mark.parametrize('name', ['txt_feats', 'input_ids', 'text_token_mask'])
def test_a_network_that_takes_words_is_refused_with_what_to_do(tmp_path, name):
    import onnx

    path = write(tmp_path / 'net.onnx', FAMILIES['v8'])
    model = onnx.load(path)
    model.graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 80, 512]))
    onnx.save(model, path)
    with pytest.raises(ValueError, match=rf'words beside the picture \({name}\).*classes fixed'):
        machine_from_file(path, 'det')


def test_boxes_of_paddle_are_of_the_picture_only_where_the_scale_changes_them(tmp_path):
    # ppdet/modeling/heads/ppyoloe_head.py, post_process: exclude_nms divides by scale_factor, exclude_post_process does
    # not, and joins boxes and scores.
    scores, boxes = anchors()
    raw = {'b': boxes[None], 's': scores.T[None]}
    done = {'a': rows(LABELS, SCORES, *BOXES.T)}
    for outputs, scaled in ((raw, ('b',)), (raw, ()), ({'a': joined(boxes, scores)}, ()), (done, ())):
        check(recognised(tmp_path, outputs, scaled=scaled)[1])


@pytest.mark.parametrize(
    'family', ['v8', 'v5', 'yolox before grid and strides', 'nanodet', 'end to end', 'boxes and scores']
)
def test_class_names_are_those_of_the_annotations_where_they_agree(tmp_path, family):
    result, answer = recognised(tmp_path, FAMILIES[family], named=False)
    check(answer)
    assert result.config['classes'] == list(NAMES)


def test_the_metadata_of_ultralytics_says_names_and_preprocessing(tmp_path):
    said = {'names': str(dict(enumerate(NAMES))), 'imgsz': str(list(SIZE)), 'stride': '32', 'task': 'detect'}
    path = write(tmp_path / 'net.onnx', FAMILIES['v8'], metadata=said)
    result = machine_from_file(path)
    assert result.certain and result.config['task'] == 'det' and result.config['classes'] == list(NAMES)
    others = {
        'character': '\n'.join(NAMES),
        'classes': ', '.join(NAMES),
        'id2label': json.dumps(dict(enumerate(NAMES))),
    }
    for key, text in others.items():
        assert metadata_of({key: text}) == FileMetadata(NAMES)
    assert metadata_of({'labels': 'one', 'classes': '80', 'class_names': '[1, 2]'}) == FileMetadata()
    assert (result.config['resize'], result.config['border'], result.config['std']) == ('letterbox', 114, (1, 1, 1))
    # A picture of other proportions: 192 x 192 lies in the middle of 96 x 128, at half its size.
    (answer,) = build_machine(result.config).predict([np.zeros((192, 192, 3), np.uint8)])
    expected = ((BOXES - [16, 0, 16, 0]) * 2).clip(0, 192)
    np.testing.assert_allclose(answer.boxes[answer.scores > 0.3], expected, atol=0.02)


def test_a_file_of_any_size_takes_the_one_that_its_places_speak_of(tmp_path):
    path = write(tmp_path / 'net.onnx', {'a': np.zeros((1, 84, 8400), np.float32)}, free=True)
    assert machine_from_file(path, 'det').config['size'] == (640, 640)


def test_without_annotations_a_file_that_finds_nothing_in_mirror_images_is_warned_of(tmp_path):
    middle = np.array([[34, 20, 94, 60]], np.float32)
    picture = TrialPicture(np.zeros((*SIZE, 3), np.uint8))
    for boxes, warned in ((BOXES, True), (middle, False)):
        outputs = {'x': boxes[None], 'y': SCORES[None, : len(boxes)], 'z': LABELS[None, : len(boxes)]}
        result = machine_from_file(write(tmp_path / 'net.onnx', outputs), 'det', [picture])
        assert any('WARNING: almost nothing is found' in note for note in result.notes) == warned and not result.certain


@pytest.mark.parametrize('count', [1, 20])
def test_one_class_and_twenty(tmp_path, count):
    scores = chances(classes=count)
    worth = np.sqrt(scores.max(1, keepdims=True))
    names = [f'class {i}' for i in range(count)]
    points = np.random.default_rng(0).uniform(2, 90, (3, 51))
    points[:, 2::3] /= 90
    sure = SCORES[:3, None]
    poses = [
        {'a': np.concatenate([0 * sure, BOXES[:3], sure, points], 1)},  # YOLO-NAS
        {'dets': joined(BOXES[:3], sure), 'keypoints': points.reshape(1, 3, 17, 3)},  # RTMO
    ]
    for outputs in (
        *(poses if count == 1 else ()),
        {'a': joined(centred(everywhere()), scores).transpose(0, 2, 1)},
        {'a': joined(centred(everywhere()), worth, scores / worth)},
        {'a': joined(offsets(), worth, scores / worth)},
        {'s': scores[None], 'b': everywhere()[None]},
        {f'l{i}': part for i, part in enumerate(maps(joined(offsets(), worth, scores / worth)[0], last=True))},
    ):
        path = write(tmp_path / 'net.onnx', outputs)
        image = np.zeros((SIZE[0] * SCALE, SIZE[1] * SCALE, 3), np.uint8)
        truth = TrialPicture(image, BOXES * SCALE, [names[i % count] for i in LABELS])
        result = machine_from_file(path, 'det', [truth], names)
        (answer,) = build_machine(result.config).predict([image])
        # With one class, the two boxes that overlap much are one.
        few = 3 if count == 1 else 4
        np.testing.assert_allclose(answer.boxes[answer.scores > 0.3], BOXES[:few] * SCALE, atol=0.02)


def test_a_classifier_is_told_from_a_detector_and_its_outputs_from_logits(tmp_path, monkeypatch):
    kinds = {'probabilities': [0.1, 0.7, 0.2], 'logits': [-3.0, 4.0, 0.5], 'scores': [0.1, 0.9, 0.6]}
    image = np.zeros((*SIZE, 3), np.uint8)
    for kind, row in kinds.items():
        path = write(tmp_path / 'net.onnx', {'a': np.array([row], np.float32)})
        result = machine_from_file(path)
        assert result.config['task'] == 'cls' and result.config['outputs'] == kind
        assert build_machine(result.config).predict([image])[0].probabilities.argmax() == 1
    # ONNX Runtime's own errors are of no type that a command knows.
    monkeypatch.setattr('miqa.networks.onnx_session.OnnxSession.run', lambda *_: 1 / 0)
    with pytest.raises(ValueError, match=r'net\.onnx cannot be run on pixels of 1x3x\d+x\d+: division by zero'):
        machine_from_file(path)


ROW = np.array([[-3.0, 4.0, 0.5]], np.float32)
SOFTMAX = np.exp(ROW) / np.exp(ROW).sum()


@pytest.mark.parametrize(('outputs', 'expected'), [
    ({'a': ROW[0]}, SOFTMAX), ({'a': ROW[:, None, None]}, SOFTMAX), ({'a': ROW[..., None, None]}, SOFTMAX),
    ({'p': SOFTMAX, 'a': ROW}, SOFTMAX), ({'aux': -ROW, 'a': ROW}, SOFTMAX), ({'a': ROW, 'b': 2 * ROW - 1}, SOFTMAX),
    ({'embedding': np.ones((1, 8), np.float32), 'logits': ROW}, SOFTMAX), ({'pooler': 9 * ROW, 'a': ROW}, SOFTMAX),
    ({'label': np.array([1]), 'p': SOFTMAX}, SOFTMAX), ({'a': 0 * ROW[:, :1] + 0.8}, [[0.2, 0.8]]),
    ({'a': ROW[:, :1]}, 1 / (1 + np.exp([[-3.0, 3.0]]))), ({'a': np.pad(SOFTMAX, ((0, 0), (1, 997)))}, SOFTMAX),
    ({'a': ROW, 'b': -ROW}, 'several outputs .* output=a or output=b'), ({'embedding': ROW}, 'called an embedding'),
    ({'a': ROW / np.linalg.norm(ROW)}, 'of length 1, an embedding'),
    ({'a': ROW, 'b': ROW[:, :2]}, 'output=a or output=b'), ({'a': np.ones((1, 3, 5))}, 'a vector of classes'),
])  # fmt: skip
def test_of_the_outputs_of_a_classifier_its_classes_are_read_or_a_question_lists_them(tmp_path, outputs, expected):
    path = write(tmp_path / 'net.onnx', outputs)
    if isinstance(expected, str):
        with pytest.raises(UnclearLayout, match=expected):
            machine_from_file(path, 'cls')
        return
    machine = build_machine(machine_from_file(path, 'cls').config)
    answers = machine.predict([np.zeros((*SIZE, 3), np.uint8)] * 2)
    for answer in answers:
        probabilities = answer.probabilities[: len(expected[0])]
        np.testing.assert_allclose(probabilities, expected[0], atol=1e-5)
        assert machine.class_count == len(answer.probabilities)
    stated = list(outputs)[-1]
    assert machine_from_file(path, 'cls', options={'output': stated}).config.get('logits_name', stated) == stated


def test_where_classes_of_pictures_are_counted_from_another_number_it_is_found_out_or_asked(tmp_path):
    def found(width, index, count=4, **more):
        path = write(tmp_path / 'net.onnx', {'a': np.eye(width, dtype=np.float32)[None, 7]})
        pictures = [TrialPicture(np.zeros((*SIZE, 3), np.uint8), class_index=index)] * count
        return machine_from_file(path, 'cls', pictures, **more)

    def used(*args, **more):
        return found(*args, **more).config.get('layout_options')

    # Classes that their names alone count are of use for as many classes, or where the network names its own.
    letters = list('abcdefghij')
    for categories, classes, index, known in (
        (letters, None, 7, True), (letters[:9], None, 7, False), ('xxxxxxxxh', letters, 8, True),
        (letters, None, 8, False),
    ):  # fmt: skip
        result = found(10, index, categories=categories, classes=classes)
        assert result.certain is known
    assert any('hardly above chance' in note for note in result.notes)

    # TensorFlow's networks have a background before the 1,000 classes; truth may count it, too.
    assert used(1001, 6) == {'background': 'first'} and used(1001, 7) is None and used(10, 7) is None
    for index, message in ((8, 'subtract 1'), (6, 'add 1')):
        with pytest.raises(UnclearLayout, match=message):
            used(10, index)
        assert used(10, index, count=2) is None


def with_masks():
    """Outputs of instance segmenters whose masks fill their boxes."""
    y, x = (np.arange(side)[:, None] for side in SIZE)
    inside = [(y >= b[1]) & (y < b[3]) & ((x >= b[0]) & (x < b[2])).T for b in BOXES]
    whole, filled = np.float32(inside)[None], np.ones((1, 4, 28, 28), np.float32)
    queries = np.pad(9 * whole, ((0, 0), (0, 96), (0, 0), (0, 0))) - 5
    cases = {
        'triple': {'m': whole}, 'mmdeploy': {'masks': filled}, 'tensorflow': {'detection_masks': filled},
        'detr': {'pred_masks': queries}, 'rt-detr': {'w': queries}, 'v8 masks': {}, 'end to end masks': {},
        'paddle': {'m': np.pad(np.repeat(np.repeat(whole[0], SCALE, 1), SCALE, 2), ((0, 6), (0, 0), (0, 0)))},
    }  # fmt: skip
    logits = FAMILIES['detr']['logits']
    yield 'mask2former', {'class_queries_logits': logits, 'masks_queries_logits': queries}
    yield 'solo', {'num': np.array([4]), 'labels': LABELS, 'scores': SCORES, 'seg': whole[0]}
    for family, masks in cases.items():
        outputs = {name: np.array(values) for name, values in FAMILIES[family].items()} | masks
        if not masks:
            (outputs['a'].transpose(0, 2, 1) if family == 'v8 masks' else outputs['a'])[:, :, -32:] = 1
            outputs['b'][:] = 1
        yield family, outputs


@pytest.mark.parametrize(('family', 'outputs'), with_masks())
def test_of_an_instance_segmenter_the_masks_are_read(tmp_path, family, outputs):
    from pycocotools import mask

    image = np.random.default_rng(0).integers(0, 255, (SIZE[0] * SCALE, SIZE[1] * SCALE, 3), np.uint8)
    truth = TrialPicture(image, BOXES * SCALE, [NAMES[i] for i in LABELS])
    scaled = () if family == 'paddle' else None
    path = write(tmp_path / 'net.onnx', outputs, scaled=scaled)
    config = machine_from_file(path, 'ins', [truth], NAMES).config
    (answer,) = build_machine(config).predict([image])
    check(answer.above(0.3), scores=None)
    result = answer.above(0.3).masks
    sides = (BOXES[:, 2:] - BOXES[:, :2]) * SCALE
    np.testing.assert_allclose(mask.toBbox(result), np.concatenate([BOXES[:, :2] * SCALE, sides], 1), atol=2)
    np.testing.assert_allclose(mask.area(result), sides.prod(1), rtol=0.03)
    with pytest.raises(UnclearLayout, match='no masks of instances'):
        machine_from_file(write(tmp_path / 'net.onnx', FAMILIES['v8']), 'ins', [truth], NAMES)


def test_the_values_of_a_segmenter_are_those_whose_maps_agree_with_annotated_ones(tmp_path):
    def bright(x):
        return torch.stack([0.2 - x.mean(1), x.mean(1) - 0.2], 1)

    path = export(bright, torch.rand(1, 3, 32, 32), tmp_path / 's.onnx')
    image = np.full((32, 32, 3), 30, np.uint8)
    image[:, 16:] = 80
    right = (image[..., 0] > 50).astype(np.uint8)
    for truth, categories, warned in ((right, 'ab', False), (1 - right, 'ba', False), (right, 'xy', True)):
        pictures = [TrialPicture(image, class_map=truth)] * 3
        result = machine_from_file(path, 'seg', pictures, ['a', 'b'], categories)
        assert result.certain and (result.config['std'] == (1, 1, 1)) is not warned
        assert any('hardly a pixel' in note for note in result.notes) is warned
    assert not machine_from_file(path, 'seg', [image]).certain


def test_a_missing_file_is_said_before_anything_is_asked(tmp_path):
    from miqa.machines import machine_configs_of

    for name in ('net.onnx', 'net.pth'):
        with pytest.raises(FileNotFoundError, match=name):
            machine_configs_of([str(tmp_path / name)], 'det')


def test_outputs_of_no_known_kind_are_one_question(tmp_path):
    path = write(tmp_path / 'net.onnx', {'a': np.zeros((1, 7, 13), np.float32)})
    with pytest.raises(UnclearLayout, match=r'a \(1, 7, 13\).*Which layout is it\? --machine-options layout='):
        machine_from_file(path, 'det')
    rng = np.random.default_rng(0)
    for outputs, message in (
        ({'a': rng.uniform(size=(1, 17, 24, 32))}, 'heat maps of key points'), ({'a': np.ones((1, 512))}, 'one vector'),
        ({'image_embeddings': rng.normal(size=(1, 256, 6, 8))}, 'features'),
        ({'a': np.ones((1, 1, 17, 3))}, 'key points'), ({'a': rng.uniform(size=(1, 6, 56))}, 'key points'),
    ):  # fmt: skip
        with pytest.raises(UnclearLayout, match=message):
            machine_from_file(write(tmp_path / 'net.onnx', outputs), 'det')
    scores, boxes = anchors()
    steps = rng.uniform(size=(1, 192, 73)).astype(np.float32) ** 8
    unread = {
        'a box and key points from each anchor': {
            'a': rng.normal(0, 30, (1, 192, 16)).astype(np.float32),
            'b': rng.normal(-9, 1, (1, 192, 1)).astype(np.float32),
        },
        'their numbers as those of cells of strides 32 and 128': {
            'a': rng.uniform(size=(1, 85, 12)).astype(np.float32), 'b': rng.uniform(size=(1, 85, 1)).astype(np.float32),
        },
        'key points, which are no scores': {'loc': boxes[None], 'landms': np.tile(scores, 2)[None]},
        'text, a softmax at each step': {'a': steps / steps.sum(2, keepdims=True)},
        'deltas of nine anchors in each cell': {
            'a': rng.normal(0, 0.4, (1, 9 * len(boxes), 4)), 'b': rng.normal(-6, 1.5, (1, 9 * len(boxes), 91)),
        },
        'the same beside the anchors': {
            'reg': rng.normal(0, 0.4, (1, len(boxes), 4)), 'scores': scores[None], 'anchors': boxes[None],
        },
    }  # fmt: skip
    angles = rng.uniform(-0.7, 2.3, (len(boxes), 1))
    peaks = rng.normal(-6, 1.5, (1, 4, 24, 32))
    for outputs, message in (
        ({'a': joined(centred(boxes), scores, angles).transpose(0, 2, 1)}, 'rotated boxes'),
        ({'a': joined(centred(boxes), scores[:, :1], angles).transpose(0, 2, 1)}, 'rotated boxes'),
        ({'a': rows(*centred(BOXES).T, SCORES, LABELS, angles[:4, 0])}, 'rotated boxes'),
        ({'hm': peaks, 'wh': peaks[:, :2], 'reg': peaks[:, 2:]}, 'CenterNet'),
        ({'a': joined(centred(boxes), scores), 'b': joined(centred(boxes), scores)}, 'Several outputs are heads'),
    ):  # fmt: skip
        with pytest.raises(UnclearLayout, match=message):
            machine_from_file(write(tmp_path / 'net.onnx', outputs), 'det')
    heads = [np.concatenate([rng.normal(0, 1, (1, 3, 96 // s, 128 // s, 4)),
                             rng.normal(-6, 1, (1, 3, 96 // s, 128 // s, 81))], 4) for s in (8, 16, 32)]  # fmt: skip
    for raw in (heads, [head.transpose(0, 1, 4, 2, 3).reshape(1, 255, *head.shape[2:4]) for head in heads]):
        path = write(tmp_path / 'net.onnx', {f'o{i}': head.astype(np.float32) for i, head in enumerate(raw)})
        with pytest.raises(UnclearLayout, match='3 anchors in each cell.*Export the network with its decoding inside'):
            machine_from_file(path, 'det')
    whole = rng.uniform(0, 1, (1, 1, *SIZE)).astype(np.float32)
    with pytest.raises(UnclearLayout, match='--task seg'):
        machine_from_file(write(tmp_path / 'net.onnx', {'a': whole}), 'det')
    for outputs in unread.values():
        with pytest.raises(UnclearLayout, match='relative to anchors'):
            machine_from_file(write(tmp_path / 'net.onnx', outputs), 'det')
    path = write(tmp_path / 'net.onnx', FAMILIES['v8'])
    image = np.zeros((SIZE[0], SIZE[1], 3), np.uint8)
    foreign = TrialPicture(image, BOXES, ['tree', 'sky', 'sea', 'sand'])
    with pytest.raises(UnclearLayout, match='4 classes apart and does not name them.*--classes FILE'):
        machine_from_file(path, 'det', [foreign], categories=['sand', 'sea', 'sky', 'tree'])


def test_of_a_segmenter_the_output_that_is_a_map_of_classes_is_read_or_it_is_refused_at_once(tmp_path):
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1, (1, 5, 96, 128)).astype(np.float32)
    coarse, best = scores[..., ::4, ::4], scores.argmax(1)
    image = np.zeros((*SIZE, 3), np.uint8)
    cases = ({'o': scores}, {'aux': -scores, 'o': scores}, {'a': -coarse, 'o': scores},
             {'v': scores[:, :, 0, 0], 'o': scores}, {'o': best.astype(np.float32)}, {'o': best[:, None]},
             {'o': scores.transpose(0, 2, 3, 1)}, {'o': best[0]},
             {'o': best[..., None].astype(np.float32)})  # fmt: skip
    one = 9 * scores[:, :1]
    share, grey = 1 / (1 + np.exp(-one)), (128 + 3 * one).clip(0, 255).astype(np.int64)
    objects = (
        {'o': one},
        {'o': share},
        {'o': one[0, 0]},
        {'o': one.transpose(0, 2, 3, 1)},
        {'o': 255 * (one > 0)},
        {'o': grey},
        {'o': 255 * (1 / (1 + np.exp(-one)))},
        {f'd{i}': share ** (1 + i) for i in range(3)},
    )
    queries = np.pad(40 * np.eye(5, dtype=np.float32), ((0, 8), (0, 1)))[None]
    queries[0, 5:, 5] = 40
    masks = np.pad(scores, ((0, 0), (0, 8), (0, 0), (0, 0)))
    cases += (
        {'class_queries_logits': queries, 'masks_queries_logits': masks, 'hidden_state': queries[..., :4]},
        {'1': queries, '2': masks},
        {'labels': best, 'scores': share[0]},
        {'a': scores, 'b': best},
    )
    for outputs, truth in [*((case, best[0]) for case in cases), *((case, one[0, 0] > 0) for case in objects)]:
        result = machine_from_file(write(tmp_path / 'net.onnx', outputs), 'seg')
        (answer,) = build_machine(result.config).predict([image])
        np.testing.assert_array_equal(answer.labels, truth)
    result = machine_from_file(write(tmp_path / 'net.onnx', objects[1], metadata={'names': '["crack"]'}), 'seg')
    assert result.config['classes'] == ['background', 'crack']
    with pytest.raises(UnclearLayout, match='--classes background crack'):
        machine_from_file(tmp_path / 'net.onnx', 'seg', classes=['crack'])
    sigmoid = write(tmp_path / 'net.onnx', objects[1])
    with pytest.raises(ValueError, match="outputs='scores'"):
        build_machine({'type': 'OnnxMachine', 'file': str(sigmoid), 'task': 'seg'}).predict([image])
    for outputs, message in (
        ({'o': abs(one) + 1}, 'one channel'), ({'depth': share}, 'one channel'), ({'o': one / 9}, 'depth'),
        ({'o': np.tile(scores, (1, 13, 1, 1))[:, :64]}, 'features'), ({'o': scores.clip(3, 9) - 3}, 'heat maps'),
        ({'o': scores / np.linalg.norm(scores, axis=1)}, 'no picture'),
        ({'o': one + 0.1 * scores[:, :3]}, 'no picture'),
        ({'a': scores, 'b': -scores}, 'Which one.*output=a or output=b'),
        ({'dets': queries[..., :4], 'labels': queries, 'masks': masks}, '--task ins'),
        (FAMILIES['v8'], '--task det'),
    ):  # fmt: skip
        with pytest.raises(UnclearLayout, match=message):
            machine_from_file(write(tmp_path / 'net.onnx', outputs), 'seg')
