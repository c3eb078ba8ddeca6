"""Possible readings of a detector's outputs, the most likely first."""

from __future__ import annotations

from .finished import finished_rows, tensorflow_names, triples
from .heads import part_heads, single_heads
from .readings import Observed, Reading, UnclearLayout

_MOST_READINGS = 6  # More readings than these are not tried on pictures


def detector_readings(observed: Observed) -> list[Reading]:
    """Return the possible readings of the outputs of a detector.

    Raises:
        UnclearLayout: none is; the message says what the outputs are and what to give.
    """
    for find in (tensorflow_names, triples, finished_rows, part_heads, single_heads):
        readings = find(observed)
        if readings:
            return readings[:_MOST_READINGS]
    classes = '' if observed.classes is None else f' of {observed.classes} classes'
    raise UnclearLayout(
        f'{observed.network.file}: no known detector{classes} has these outputs: {observed.shapes()}. Which layout is '
        'it? --machine-options layout=yolo, places, detr, boxes_scores_labels or rows; a config with the names of the '
        'outputs says more, see docs/your_own_models.md. Another number of classes? --classes FILE. '
        'Boxes relative to anchors (RetinaNet, BlazeFace): export the network with its decoding inside. '
        'Instance or semantic segmenter, or classifier? --task.'
    )
