"""The detectors that label versions of annotated scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from photographs import Photograph

from miqa.annotations.coco import read_coco
from miqa.benchmark.pairs import confidence, consistency
from miqa.labelling.average_precision import average_precision
from miqa.labelling.coco_objects import CocoObjects, objects_of
from miqa.labelling.detection_scores import match_categories
from miqa.labelling.recognised_machines import complete_configs, trial_of_folder
from miqa.machines import DetectionPrediction, build_machine, machine_configs_of
from miqa.pictures.finding import find_images

IMAGES, ANNOTATIONS = 'images', 'instances.json'  # What a folder of scenes holds


def list_scenes(folder: Path, limit: int | None = None) -> list[Photograph]:
    """Return the annotated scenes of a folder, of which a random half is reported on.

    Args:
        folder: holds ``images`` and ``instances.json``, COCO's annotations of them.
        limit: the first so many of them; None for all.
    """
    paths = sorted(Path(path) for path in find_images(str(folder / IMAGES)))[:limit]
    first = set(np.random.default_rng(0).permutation(len(paths))[: len(paths) // 2])
    return [
        Photograph(path.stem, path, -1, 'train' if number in first else 'report', number, ('', '', ''), scene=True)
        for number, path in enumerate(paths)
    ]


def detector_configs(names: Sequence[str], scenes: Path) -> list[dict]:
    """Return how machines as `miqa label` takes them are used, found out on the scenes."""
    configs = machine_configs_of(names, 'det')
    return complete_configs(configs, lambda: trial_of_folder(scenes / IMAGES, 'det', scenes / ANNOTATIONS))


class Detectors:
    """Several detectors: a picture in, one prediction of each out.

    Args:
        configs: of :func:`detector_configs`.
        scenes: the folder of annotated scenes.
    """

    def __init__(self, configs: Sequence[dict], scenes: Path):
        self._machines = [build_machine(config, 'cpu') for config in configs]
        self._truth = _objects(scenes / ANNOTATIONS)
        self._ids = [
            np.asarray(match_categories({'name': each.name, 'classes': each.classes}, self._truth.categories, scenes))
            for each in self._machines
        ]

    def __call__(self, image: np.ndarray) -> list[DetectionPrediction]:
        """Return the detections of each in uint8 RGB (H, W, 3)."""
        return [machine.predict([image])[0] for machine in self._machines]

    def consistency(self, answers: list[DetectionPrediction], clean: list[DetectionPrediction]) -> list[float]:
        """Return the average precision of each against its detections on the clean picture; NaN without any."""
        return [consistency(answer, before) for answer, before in zip(answers, clean, strict=True)]

    def accuracy(self, answers: list[DetectionPrediction], photograph: Photograph) -> list[float]:
        """Return the average precision of each against the annotations; NaN without objects."""
        objects = self._truth.objects[photograph.source]
        found = [
            average_precision(replace(answer, labels=ids[answer.labels]), objects)
            for answer, ids in zip(answers, self._ids, strict=True)
        ]
        return [float('nan') if one is None else float(one[0]) for one in found]

    def confidence(self, answers: list[DetectionPrediction]) -> list[float]:
        """Return the mean score of what each detects."""
        return [confidence(answer) for answer in answers]


@cache
def _objects(annotations: Path) -> CocoObjects:
    return objects_of(read_coco(str(annotations)), with_masks=False)
