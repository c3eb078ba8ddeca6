"""Try readings and conventions on pictures: which boxes agree best with annotations, or with each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from miqa.machines.base import DetectionPrediction
from miqa.machines.exported_networks import ExportedNetwork
from miqa.pictures.reading import read_image

from .conventions import Convention
from .readings import Reading

#: COCO's thresholds of intersection over union; localisation counts as much as finding.
_IOUS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_MOST_DETECTIONS = 100  # Detections of a picture that count, the best
ROUNDS = ((6, 5), (16, 2), (48, 1))  # Pictures of the rounds, and how many candidates remain after each
_RESAMPLES = 200  # Resamples of pictures that say whether one candidate is better than another
_SURE = 0.84  # In so many of them it must be better; that is one standard error


@dataclass(frozen=True)
class TrialPicture:
    """A picture on which readings are tried.

    Attributes:
        image: uint8 RGB (H, W, 3), or the path of a picture.
        boxes: float (M, 4), left, top, right, bottom of its objects in pixels; None: not annotated.
        labels: names of their classes.
        crowd: which of them are regions of many objects, where detections do not count.
        class_index: cls: index of its class.
        class_map: seg: int (H, W), the class of each pixel, 255 where it does not count.
    """

    image: np.ndarray | str | os.PathLike
    boxes: np.ndarray | None = None
    labels: Sequence[str] = ()
    crowd: Sequence[bool] | np.ndarray = ()
    class_index: int | None = None
    class_map: np.ndarray | None = None

    def pixels(self) -> np.ndarray:
        """Return uint8 RGB (H, W, 3)."""
        return self.image if isinstance(self.image, np.ndarray) else read_image(self.image)


_NOTHING = DetectionPrediction(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


class Candidate(NamedTuple):
    """A reading with a convention, and the names of the classes that its labels count (None: not compared)."""

    reading: Reading
    convention: Convention
    names: tuple[str, ...] | None


@dataclass
class Evidence:
    """How a candidate did: for each picture what its measure needs.

    Attributes:
        pictures: per picture (scores (D,), right (10, D), number of objects), or one number without annotations.
        found: detections above a score of 0.25 in all pictures.
    """

    pictures: list = field(default_factory=list)
    found: int = 0

    def value(self, chosen: Iterable[int] | None = None) -> float:
        """Return the average precision over pictures, or the mean self-consistency, in [0, 1]."""
        rows = self.pictures if chosen is None else [self.pictures[i] for i in chosen]
        if not rows:
            return 0.0
        if isinstance(rows[0], float):
            return float(np.mean(rows))
        objects = sum(row[2] for row in rows)
        scores = np.concatenate([row[0] for row in rows])
        order = np.argsort(-scores, kind='stable')
        right = np.concatenate([row[1] for row in rows], 1)[:, order]
        return _average_precision(right, objects)

    def better_than(self, other: Evidence) -> bool:
        """Return True if this is better by more than chance: in most resamples of the pictures."""
        count = min(len(self.pictures), len(other.pictures))
        if not count or self.value(range(count)) <= other.value(range(count)):
            return False
        generator = np.random.default_rng(0)
        draws = generator.integers(0, count, (_RESAMPLES, count))
        return float(np.mean([self.value(draw) > other.value(draw) for draw in draws])) >= _SURE


def _average_precision(right: np.ndarray, objects: int) -> float:
    """Return COCO's average precision of detections, bool (10, D) in the order of their scores, over all classes."""
    if not objects:
        return 0.0
    hits = right.cumsum(1)
    precision = hits / np.arange(1, right.shape[1] + 1)
    precision = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    values = []
    for row, recalls in zip(precision, hits / objects, strict=True):
        places = np.searchsorted(recalls, _RECALLS)
        values.append(np.append(row, 0.0)[places].mean())
    return float(np.mean(values))


def ious(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return intersections over unions of boxes (N, 4) and (M, 4), float (N, M)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clip(0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1) for boxes in (first, second)]
    return shared / (areas[0][:, None] + areas[1][None] - shared + 1e-9)


def compared(answer: DetectionPrediction, picture: TrialPicture, names: Sequence[str] | None) -> tuple:
    """Return scores (D,), bool (10, D) which detections are right at each IoU, and the number of objects."""
    answer = answer.above(0.01, _MOST_DETECTIONS)
    truth = np.asarray(picture.boxes, np.float64).reshape(-1, 4)
    crowd = np.asarray(picture.crowd if len(picture.crowd) else [False] * len(truth), bool)
    overlaps = ious(answer.boxes.astype(np.float64), truth)
    if names is not None:
        labels = np.array([names[i] if 0 <= i < len(names) else '' for i in answer.labels], object)
        overlaps = np.where(labels[:, None] == np.array(picture.labels, object)[None], overlaps, 0.0)
    in_crowd = (overlaps[:, crowd] > 0.5).any(1) if crowd.any() else np.zeros(len(answer.scores), bool)
    right = np.zeros((len(_IOUS), len(answer.scores)), bool)
    for row, threshold in enumerate(_IOUS):
        free = ~crowd
        for i in range(len(answer.scores)):
            values = np.where(free, overlaps[i], 0.0) if len(truth) else np.zeros(0)
            if values.size and values.max() >= threshold:
                best = int(values.argmax())
                free[best] = False
                right[row, i] = True
    keep = ~in_crowd | right[0]
    return answer.scores[keep], right[:, keep], int((~crowd).sum())


def self_consistency(answer: DetectionPrediction, mirrored: DetectionPrediction, width: int) -> float:
    """Return how sure a detector is of what it finds in a picture and in its mirror image alike, in [0, 1].

    The mean over the ten best pairs of boxes of one class of the product of their scores and their intersection over
    union; nothing that depends on the side of the picture counts.
    """
    first, second = (each.above(0.05, 50) for each in (answer, mirrored))
    flipped = second.boxes[:, [2, 1, 0, 3]].astype(np.float64)
    flipped[:, [0, 2]] = width - flipped[:, [0, 2]]
    overlaps = ious(first.boxes.astype(np.float64), flipped)
    overlaps *= first.labels[:, None] == second.labels[None]
    sure = overlaps * first.scores[:, None] * second.scores[None]
    sure[overlaps < 0.5] = 0
    pairs: list[float] = []
    while sure.size and sure.max() > 0 and len(pairs) < 10:
        i, j = np.unravel_index(int(sure.argmax()), sure.shape)
        pairs.append(float(sure[i, j]))
        sure[i], sure[:, j] = 0, 0
    return sum(pairs) / 10


class Trials:
    """Runs a network on pictures under conventions, and compares what readings make of its outputs.

    Args:
        network: the network.
        size: (height, width) of its input.
        pictures: to try it on, in the order in which they are used.
        progress: called with a sentence now and then.
    """

    def __init__(
        self,
        network: ExportedNetwork,
        size: tuple[int, int],
        pictures: Sequence[TrialPicture],
        progress: Callable[[str], None] | None = None,
    ):
        self.network, self.size, self.progress = network, size, progress
        #: Pictures without annotated objects say nothing about boxes.
        annotated = [picture for picture in pictures if picture.boxes is not None and len(picture.boxes)]
        self.annotated = bool(annotated)
        self.pictures = annotated or list(pictures)
        self._evidence: dict[Candidate, Evidence] = {}

    def outputs(self, image: np.ndarray, convention: Convention) -> tuple[Mapping[str, np.ndarray], object]:
        """Return the outputs for a picture, uint8 RGB (H, W, 3), and where it lies in the input."""
        prepared, place = convention.preparation(self.size)(image)
        return self.network.run(prepared[None], place), place

    def evidence(self, candidates: Sequence[Candidate], count: int) -> dict[Candidate, Evidence]:
        """Return how each candidate does on the first ``count`` pictures; what is known already is not run again."""
        by_convention: dict[Convention, list[Candidate]] = {}
        for candidate in candidates:
            by_convention.setdefault(candidate.convention, []).append(candidate)
        for candidate in candidates:
            self._evidence.setdefault(candidate, Evidence())
        for number, picture in enumerate(self.pictures[:count]):
            missing = {
                convention: [each for each in group if len(self._evidence[each].pictures) <= number]
                for convention, group in by_convention.items()
            }
            image = picture.pixels() if any(missing.values()) else np.empty(0)  # read once for all conventions
            for convention, group in missing.items():
                if group:
                    self._add(picture, image, convention, group)
        return {candidate: self._evidence[candidate] for candidate in candidates}

    def _add(
        self, picture: TrialPicture, image: np.ndarray, convention: Convention, group: Sequence[Candidate]
    ) -> None:
        views = [image] if self.annotated else [image, np.ascontiguousarray(image[:, ::-1])]
        runs: list[tuple | None] = []
        for view in views:
            try:
                runs.append(self.outputs(view, convention))
            except Exception:  # noqa: BLE001, PERF203  of any runtime: numbers of a range that is not the network's
                runs.append(None)
        for candidate in group:
            evidence = self._evidence[candidate]
            answers = [_read(candidate.reading, *run) if run is not None else _NOTHING for run in runs]
            evidence.found += int((answers[0].scores > 0.25).sum())
            if self.annotated:
                evidence.pictures.append(compared(answers[0], picture, candidate.names))
            else:
                evidence.pictures.append(self_consistency(answers[0], answers[1], image.shape[1]))

    def best(self, candidates: Sequence[Candidate]) -> tuple[Candidate, Evidence]:
        """Return the best of candidates, in rounds of more pictures for fewer of them.

        The first is the usual one: another takes its place only if it is better by more than chance.
        """
        usual = candidates[0]
        remaining = list(dict.fromkeys(candidates))
        for count, most in ROUNDS:
            if len(remaining) == 1:
                break
            evidence = self.evidence(remaining, count)
            ranked = sorted(remaining, key=lambda candidate: -evidence[candidate].value())
            # The usual one stays for the comparison at the end.
            remaining = list(dict.fromkeys([*ranked[:most], usual]))
            if count >= len(self.pictures):
                break
        evidence = self.evidence(remaining, ROUNDS[-1][0])
        winner = max(remaining, key=lambda candidate: evidence[candidate].value())
        if winner != usual and not evidence[winner].better_than(evidence[usual]):
            winner = usual
        return winner, evidence[winner]


def _read(reading: Reading, outputs: Mapping[str, np.ndarray], place) -> DetectionPrediction:
    """Return what a reading makes of outputs; nothing where the numbers cannot be boxes."""
    if not all(np.isfinite(value).all() for value in outputs.values() if value.dtype.kind == 'f'):
        return _NOTHING
    answer = reading.read(outputs, place)
    if not len(answer.scores) or float(answer.scores.max()) > 1.01:
        return _NOTHING
    return answer
