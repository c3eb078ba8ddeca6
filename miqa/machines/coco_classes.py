"""Names of COCO's classes, for detectors that do not name theirs (Lin et al., ECCV 2014; cocodataset.org)."""

from __future__ import annotations

_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, parking
meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, handbag, tie,
suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis
racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog,
pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard, cell
phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush
"""

COCO_80 = tuple(' '.join(_NAMES.split()).split(', '))  # The 80 classes, in the order of their ids: index 0 is person

_UNUSED = frozenset({0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83})  # Ids from 0 to 90 that no class has


def _by_id() -> tuple[str, ...]:
    names = iter(COCO_80)
    return tuple(f'unused {number}' if number in _UNUSED else next(names) for number in range(91))


#: The 91 of detectors that count by COCO's ids: index 1 is person; the ids that no class has are called unused.
COCO_91 = _by_id()
