"""Names of the classes of a detector: given, stored in the file, or those that agree with the annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from miqa.machines.coco_classes import COCO_80, COCO_91
from miqa.machines.onnx_preparation import Placement
from miqa.taxonomy import counted

from .readings import Observed, Reading, UnclearLayout
from .trials import ROUNDS, Candidate, Trials

#: A detector that was read well finds something with annotated objects: a lower recall gives a warning.
LEAST_AGREEMENT = 0.02
_AGREE = 0.5  # Share of the agreement without names that names must reach to be those of the classes
_COCO_90 = COCO_91[1:]  # Counted by COCO's ids from person on, as TensorFlow Lite does
_BACKGROUND = 'background'
_ORIGINS = {
    COCO_80: "COCO's 80",
    COCO_91: "COCO's by their ids (91)",
    _COCO_90: "COCO's by their ids without the background (90)",
    (_BACKGROUND, *COCO_80): "COCO's 80 after the background",
}


class ClassNames(NamedTuple):
    """Names of classes by index, or None; where they come from, in a sentence; and whether they are no guess."""

    names: tuple[str, ...] | None
    note: str
    certain: bool = True


def names_in_trial(reading: Reading, names: tuple[str, ...] | None, labels: set[str]) -> tuple[str, ...] | None:
    """Return names by which labels are compared with annotations while readings are tried; None: not at all."""
    if not labels or reading.classes is None:  # finished labels count from 0 or 1, with or without gaps
        return None
    for option in [names] if names is not None else _usual_names(reading):
        if option is not None and len(labels & set(option)) >= 0.5 * len(labels):
            return tuple(option)
    return None


def _usual_names(reading: Reading) -> list[tuple[str, ...]]:
    options = [COCO_80, COCO_91, _COCO_90]
    if reading.classes is None:
        return [*options, (_BACKGROUND, *COCO_80)]
    return [names for names in options if len(names) == reading.classes]


def names_of_classes(
    chosen: Candidate,
    trials: Trials,
    observed: Observed,
    names: tuple[str, ...] | None,
    origin: str,
    categories: Sequence[str] | None,
) -> ClassNames:
    """Return the names of the classes of a detector.

    ``names`` are given or stored in the file, ``origin`` says whose they are, for the note; ``categories`` are those of
    annotated classes in the order of their ids.

    Raises:
        UnclearLayout: none agree with the annotations.
    """
    count = chosen.reading.classes
    if names is not None:
        shifted = (_BACKGROUND, *names)
        if count is None and names[0].casefold() != _BACKGROUND:
            best = _best_names(chosen, trials, [names, shifted])
            if best == shifted or (best is None and _highest_label(chosen.reading, observed) == len(names)):
                return ClassNames(shifted, f'{counted(len(names), "class name")} from {origin}; its labels begin at 1.')
        return ClassNames(names, f'{counted(len(names), "class name")} from {origin}.')
    options = _usual_names(chosen.reading)
    if categories and count in (None, len(categories)):
        options.append(tuple(categories))
    if categories and count in (None, len(categories) + 1):
        options.append((_BACKGROUND, *categories))
    if categories and count == len(categories) + 1:
        options.append((*categories, 'no object'))
    best = _best_names(chosen, trials, options)
    if best is not None:
        kind = _ORIGINS.get(best, 'those of the annotations' + (', from 1 on' if best[0] == _BACKGROUND else ''))
        return ClassNames(best, f'Class names: {kind}; they agree with the annotations.')
    if not (trials.annotated and options) and count in (len(COCO_80), len(COCO_91)):
        note = f"Class names: COCO's, as there are {count} classes (a guess: no annotations)."
        return ClassNames(_usual_names(chosen.reading)[0], note, False)
    if categories:
        number = 'an unknown number of' if count is None else str(count)
        agreement = trials.evidence([chosen._replace(names=None)], ROUNDS[-1][0])
        if max(evidence.value() for evidence in agreement.values()) < LEAST_AGREEMENT:
            raise UnclearLayout(
                f'{trials.network.file}: hardly a box agrees with the annotations, read as {chosen.reading.words}. '
                'Either the pictures show other things than it was trained on, or its outputs or preprocessing are '
                'others: write a config (docs/your_own_models.md). Its classes? --classes FILE.'
            )
        raise UnclearLayout(
            f"{trials.network.file} tells {number} classes apart and does not name them, and neither COCO's names nor "
            f'the {len(categories)} annotated ones agree with what it finds. What are they called? --classes FILE with '
            'a name a line, or --classes NAME NAME ..., in the order of their index.'
        )
    return ClassNames(None, 'The classes have no names: labels are indices. --classes names them.')


def _best_names(chosen: Candidate, trials: Trials, options: Sequence[tuple[str, ...]]) -> tuple[str, ...] | None:
    """Return the first of the names that agree with the annotations best; None if none does, or there are none."""
    if not trials.annotated or not options:
        return None
    plain = chosen._replace(names=None)
    named = [chosen._replace(names=option) for option in options]
    evidence = trials.evidence([plain, *named], ROUNDS[-1][0])
    best = max(named, key=lambda candidate: evidence[candidate].value())
    return best.names if evidence[best].value() >= max(_AGREE * evidence[plain].value(), 1e-6) else None


def _highest_label(reading: Reading, observed: Observed) -> int:
    """Return the highest label of what the samples show, -1 without any."""
    place = Placement(observed.size, observed.size, observed.size, (0, 0), (1.0, 1.0))
    answers = [reading.read(sample, place, 0.3) for sample in observed.samples]
    return max((int(answer.labels.max(initial=-1)) for answer in answers), default=-1)
