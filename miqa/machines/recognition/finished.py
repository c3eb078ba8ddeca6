"""Outputs with final detections: boxes with scores and labels, in several outputs or as rows of one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from miqa.machines.value_checks import is_share, is_whole

from .conventions import CONVENTIONS, Convention
from .grids import is_prototype
from .readings import Observed, Reading, box_unit, corner_share, has_word

#: Orders of columns of finished rows, and whose they are.
_ROWS = (
    (('box', 'score', 'label'), 'left, top, right, bottom, score, label (YOLOv10, YOLO26, nms=True)'),
    (('batch', 'box', 'label', 'score'), "number, box, label, score (YOLOv7's export with suppression)"),
    (('label', 'score', 'box'), 'label, score, box (PaddleDetection)'),
    (('batch', 'label', 'score', 'box'), 'number, label, score, box (DetectionOutput)'),
    (('box', 'label', 'score'), 'box, label, score'),
    (('batch', 'box', 'score', 'label'), 'number, box, score, label'),
    (('score', 'label', 'box'), 'score, label, box'),
)
#: The same without labels, before key points.
_POSES = ((('batch', 'box', 'score'), 'number, box, score, key points (YOLO-NAS pose)'),)
_SIDES = ('left', 'top', 'right', 'bottom')
_MOST_ROWS = 1000  # Finished detections have at most so many rows; where there are more, there is one for each place


def tensorflow_names(observed: Observed) -> list[Reading]:
    """Read ``detection_boxes``, ``detection_scores`` and ``detection_classes`` of TensorFlow's detection API."""
    roles = {'boxes': 'detection_boxes', 'scores': 'detection_scores', 'labels': 'detection_classes'}
    names = {}
    for role, word in roles.items():
        fitting = [name for name in observed.names if name.split(':')[0].split('/')[-1] == word]
        if len(fitting) != 1:
            return []
        names[role] = fitting[0]
    options = {'coordinates': 'relative', 'corners': 'yxyx'}
    convention = finished_convention(observed, 'relative', tensorflow=True)
    words = "TensorFlow's detection_boxes, detection_scores and detection_classes"
    return [Reading('boxes_scores_labels', words, convention, options, names)]


def triples(observed: Observed) -> list[Reading]:
    """Read boxes (N, 4) with scores (N,) and labels (N,), or boxes (N, 5) that end with their score."""
    readings = []
    for boxes in observed.names:
        last = {array.shape[-1] if array.ndim else 0 for array in observed.raw(boxes)}
        if last not in ({4}, {5}):
            continue
        rows = [len(table) for table in observed.tables(boxes)]
        vectors = [
            name
            for name in observed.names
            if name != boxes and [array.size for array in observed.raw(name)] == rows and max(rows, default=0) > 0
        ] or [name for name in observed.names if name != boxes and not max(rows, default=0)]
        labels, scores = labels_and_scores(vectors, observed)
        if labels is None and last == {5} and _key_points(boxes, observed):
            labels = ''  # RTMO: people alone
        if labels is None or (scores is None and last == {4}):
            continue
        names = {'boxes': boxes, 'labels': labels} | ({'scores': scores} if last == {4} and scores else {})
        table = np.concatenate([values[:, :4] for values in observed.tables(boxes)])
        worth = np.concatenate(
            [array.reshape(-1) for array in observed.raw(scores)] if scores and last == {4}
            else [values[:, 4] for values in observed.tables(boxes)]
        )  # fmt: skip
        readings += _of_boxes(table[worth > 0.01], names, observed, last == {5}, max(rows, default=0))
    return readings


def _key_points(boxes: str, observed: Observed) -> bool:
    """Return True if another output has key points of each box, (N, K, 2) or (N, K, 3)."""
    return any(
        array.shape[:-2] == observed.raw(boxes)[0].shape[:-1] and array.shape[-1] in (2, 3)
        for array in (observed.raw(name)[0] for name in observed.names)
    )


def _of_boxes(table: np.ndarray, names: dict, observed: Observed, with_scores: bool, rows: int) -> list[Reading]:
    unit = box_unit(table, observed)
    options: dict[str, object] = {'coordinates': unit}
    if rows > _MOST_ROWS:
        options |= {'suppress': True, 'iou': 0.7}
    convention = finished_convention(observed, unit, mmdet=with_scores)
    turned = any(has_word(name, 'statefulpartitionedcall', 'postprocess') for name in names.values())
    orders = ['yxyx', 'xyxy'] if turned else ['xyxy', 'yxyx']
    if corner_share(table) < 0.95:
        orders = ['cxcywh', 'xywh']
    return [
        Reading(
            'boxes_scores_labels',
            f'finished boxes, scores and labels ({order}, {unit})',
            convention,
            options | ({} if order == 'xyxy' else {'box_format': order}),
            names,
        )
        for order in orders
    ]


def labels_and_scores(vectors: Sequence[str], observed: Observed) -> tuple[str | None, str | None]:
    """Return which outputs are labels and scores: labels are whole, scores lie in [0, 1]."""
    values = {name: np.concatenate([array.reshape(-1) for array in observed.raw(name)]) for name in vectors}
    whole = [name for name in vectors if is_whole(values[name])]
    shares = [name for name in vectors if is_share(values[name])]
    labels = [name for name in whole if np.issubdtype(values[name].dtype, np.integer)]
    labels = labels or [name for name in whole if has_word(name, 'label', 'class', 'cls')] or whole
    labels = [name for name in labels if not has_word(name, 'score', 'num_det')] or labels
    scores = [name for name in shares if name not in labels[:1]]
    scores = [name for name in scores if has_word(name, 'score', 'conf', 'prob')] or scores
    return (labels[0] if labels else None), (scores[0] if scores else None)


def finished_convention(observed: Observed, unit: str, tensorflow: bool = False, mmdet: bool = False) -> Convention:
    """Return how pictures usually get into a network whose boxes, of this unit, are finished."""
    if observed.network.input.type is np.uint8 or tensorflow:
        convention = CONVENTIONS['tensorflow']
        return convention if observed.free_size else Convention(convention.values, convention.channels, 'stretch')
    if observed.metadata.from_ultralytics:
        return CONVENTIONS['yolo']
    if observed.free_size:
        return CONVENTIONS['torchvision']
    if mmdet:
        return CONVENTIONS['mmdet']
    if unit == 'input':
        return CONVENTIONS['yolo']
    return CONVENTIONS['rtdetr']


def finished_rows(observed: Observed) -> list[Reading]:
    """Read one output (N, 6) or (N, 7) whose rows are detections."""
    readings = []
    for name in observed.names:
        unread = _unread_columns(name, observed)
        tables = [table for table in observed.tables(name) if table.shape[1] - unread in (6, 7)]
        if not tables or len(tables) < len(observed.samples) or max(map(len, tables)) > _MOST_ROWS:
            continue
        table = np.concatenate(tables)
        for order, words in (*_POSES, *_ROWS) if unread else _ROWS:
            columns = [part for name_ in order for part in (_SIDES if name_ == 'box' else (name_,))]
            if len(columns) == table.shape[1] - unread and (rows := _fitting(table, columns)) is not None:
                unit = box_unit(rows, observed)
                columns = ['unread' if column == 'batch' else column for column in columns]
                options: dict[str, object] = {'columns': (*columns, *['unread'] * unread)}
                options |= {'coordinates': unit}
                convention = finished_convention(observed, unit)
                # TensorFlow's EfficientDet gives number, top, left, bottom, right, score, label.
                turned = observed.network.input.channels_last and 'batch' in order
                formats = ['yxyx', 'xyxy'] if turned else ['xyxy']
                for box_format in formats if corner_share(rows) >= 0.95 else ['cxcywh']:
                    more = {} if box_format == 'xyxy' else {'box_format': box_format}
                    title = f'finished rows: {words}' + (f', boxes {box_format}' if more else '')
                    readings.append(Reading('rows', title, convention, options | more, {'rows': name}))
                break
    return readings


def _unread_columns(name: str, observed: Observed) -> int:
    """Return how many columns follow a detection: its key points, or the coefficients of its mask."""
    width = observed.samples[0][name].shape[-1] if observed.samples[0][name].ndim else 0
    if any(is_prototype(other, observed) for other in observed.names):
        return 32
    points = (width - 6) // 3
    return observed.metadata.key_points or (3 * points if width == 6 + 3 * points and 4 <= points <= 133 else 0)


def _fitting(table: np.ndarray, columns: Sequence[str]) -> np.ndarray | None:
    """Return the boxes of rows (N, C) if their columns can be these, else None."""
    at = {column: index for index, column in enumerate(columns)}
    scores = table[:, at['score']]
    labels = table[:, at['label']] if 'label' in at else np.zeros(len(table))
    filled = (scores > 0) & (labels >= 0)
    if not is_whole(labels) or labels.min(initial=0) < -1 or not is_share(scores[labels >= 0]):
        return None
    if filled.any() and is_whole(scores[filled]) and not is_whole(table[filled]):
        return None  # these are labels, too
    if 'batch' in at and (np.unique(table[filled, at['batch']]).size > 1 or not is_whole(table[:, at['batch']])):
        return None
    boxes = table[filled][:, [at[side] for side in _SIDES]]
    return None if len(boxes) and is_whole(boxes) and is_share(boxes) else boxes
