"""Recognise a detector or instance segmenter: the reading and the preprocessing whose boxes fit pictures best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from miqa.machines.onnx_places import CELL_FORMATS

from .class_names import LEAST_AGREEMENT, names_in_trial, names_of_classes
from .conventions import CONVENTIONS
from .detectors import detector_readings
from .input_sizes import best_size, input_sizes, size_of_places
from .instances import mask_readings, readings_with_masks
from .network_file import NetworkFile
from .readings import Observed, Reading, UnclearLayout
from .recognised import RecognisedMachine, size_note
from .samples import observed_at, observed_with
from .trials import ROUNDS, Candidate, Evidence, Trials

#: Without annotations: less than one object a picture, found with a score of 0.22 in it and in its mirror.
_LEAST_CONSISTENCY = 0.005


def recognised_detector(given: NetworkFile) -> RecognisedMachine:
    """Find out how a detector or instance segmenter is used.

    Raises:
        UnclearLayout: that cannot be found out; the message asks one question.
    """
    network, metadata = given.network, given.metadata
    sizes, known = input_sizes(network, metadata, given.settings)
    observed = observed_at(sizes, given)
    if not known:
        sizes = [observed.size, *(size for size in sizes if size != observed.size)]
        shapes = [observed.samples[0][name].shape for name in network.output_names]
        size = size_of_places(shapes, network.input.size)
        # A network that any size can be put into has as many places as that size gives.
        if size is not None and size != observed.size:
            observed = observed_with(size, given)
            sizes, known = [size], True
    readings, names, foreign = _readings(observed, given)
    labels = {label for picture in given.pictures for label in picture.labels}
    trials = Trials(network, sizes[0], given.pictures, given.progress)
    candidates = _candidates(readings, given, names, labels)
    if len(candidates) > 1 and trials.pictures:
        most = min(len(trials.pictures), ROUNDS[-1][0])
        given.say(f'trying {len(candidates)} ways to use it on up to {most} pictures')
    chosen, evidence = trials.best(candidates)
    if trials.pictures and not known and chosen.convention.resize != 'kept':
        size = best_size(network, sizes, given.pictures, chosen, evidence, given.progress)
        if size != trials.size:
            trials = Trials(network, size, given.pictures, given.progress)
            chosen, evidence = trials.best(candidates)
    size = trials.size
    if trials.pictures and not _fixed(given):
        # The way into the input is looked for last: it changes least.
        places = [chosen._replace(convention=c) for c in given.allowed(chosen.convention.other_places())]
        chosen = trials.best(places)[0]
        evidence = trials.evidence([chosen], ROUNDS[-1][0])[chosen]
    recognised = RecognisedMachine({}, [], True, evidence.value() if trials.annotated and trials.pictures else None)
    recognised.config = {**chosen.reading.arguments(), **chosen.convention.arguments(size, given.whole_pixels)}
    recognised.notes += [foreign] if foreign else []
    _say(recognised, given, chosen, readings, size, known, trials, evidence)
    origin = 'the file' if names == metadata.names else 'you'
    class_list = names_of_classes(chosen, trials, observed, names, origin, given.categories)
    class_names, recognised.certain = class_list.names, recognised.certain and class_list.certain
    recognised.notes += [class_list.note]
    if class_names is not None:
        recognised.config['classes'] = list(class_names)
    if chosen.reading.classes is not None and chosen.reading.classes != len(class_names or ()):
        recognised.config['layout_options']['classes'] = chosen.reading.classes
    return recognised


def _readings(observed: Observed, given: NetworkFile) -> tuple[list[Reading], tuple[str, ...] | None, str | None]:
    """Return the possible readings, the names of the classes if they fit, and what is to be said of names that do not.

    Raises:
        UnclearLayout: there is no reading, or none of the layout that the user states.
    """
    network, metadata, names, foreign = given.network, given.metadata, given.names, None
    try:
        readings = _possible(observed, given.task)
    except UnclearLayout:
        if names is None or metadata.from_ultralytics:
            raise
        # The names may be those of the annotations, or of something else in the file.
        readings = _possible(replace(observed, classes=None), given.task)
        counts = sorted({reading.classes for reading in readings if reading.classes is not None})
        whose = "in the file's metadata" if names == metadata.names else 'given'
        foreign = f'The {len(names)} names {whose} are not its own: it tells {counts or "others"} classes apart.'
        names = None
    if 'layout' in given.settings:
        layout = given.settings['layout']
        fitting = [reading for reading in readings if reading.layout == layout]
        if not fitting:
            raise UnclearLayout(
                f'{network.file}: its outputs {observed.shapes()} cannot be read as layout {layout!r}; they can as '
                f'{", ".join(sorted({reading.layout for reading in readings}))}.'
            )
        readings = fitting
    if metadata.from_ultralytics:
        # Its exports give finished coordinates.
        finished = [one for one in readings if one.options.get('box_format') not in CELL_FORMATS]
        readings = [replace(one, convention=CONVENTIONS['yolo']) for one in (finished or readings)[:1]]
    readings = [replace(reading, convention=given.with_settings(reading.convention)) for reading in readings]
    return readings, names, foreign


def _possible(observed: Observed, task: str) -> list[Reading]:
    """Return the possible readings for det, or for ins with masks."""
    try:
        readings = detector_readings(observed)
    except UnclearLayout:
        if task != 'ins' or not (readings := mask_readings(observed)):
            raise
        return readings
    return readings_with_masks(readings, observed) if task == 'ins' else readings


def _fixed(given: NetworkFile) -> bool:
    """Return True if nothing about the way of pictures into the input is open."""
    return given.metadata.from_ultralytics or {'values', 'channels', 'resize'} <= set(given.settings)


def _candidates(
    readings: Sequence[Reading], given: NetworkFile, names: tuple[str, ...] | None, labels: set[str]
) -> list[Candidate]:
    """Return what is tried: each reading as its family is used, then with other values and orders of channels."""
    readable = []
    for reading in readings:
        conventions = [reading.convention] if _fixed(given) else reading.convention.other_values()
        class_names = names_in_trial(reading, names, labels)
        readable += [Candidate(reading, one, class_names) for one in given.allowed(conventions)]
    # All readings as they are usual come first.
    usual = [candidate for candidate in readable if candidate.convention == candidate.reading.convention]
    return list(dict.fromkeys([*usual, *readable]))


def _say(
    recognised: RecognisedMachine, given: NetworkFile, chosen: Candidate, readings: Sequence[Reading],
    size: tuple[int, int], known: bool, trials: Trials, evidence: Evidence,
) -> None:  # fmt: skip
    """Write down what was recognised, how, and what is a guess."""
    file = given.network.file.name
    say = recognised.notes.append
    alternatives = [reading for reading in readings if reading.words != chosen.reading.words]
    tried = min(len(trials.pictures), len(evidence.pictures))
    say(f'{file}: {chosen.reading.words}.')
    if given.metadata.from_ultralytics:
        say(f'Pictures: {chosen.convention.words(size)}; the file says so (Ultralytics).')
    elif not trials.pictures:
        recognised.certain = False
        say(f'Pictures: {chosen.convention.words(size)}. A guess, the usual way of this family: there was no picture '
            'to try.')  # fmt: skip
    elif trials.annotated:
        say(f'Pictures: {chosen.convention.words(size)}; of the usual conventions it agrees best with the annotations '
            f'of {tried} pictures (average precision {evidence.value():.3f} over all classes).')  # fmt: skip
        if evidence.value() < LEAST_AGREEMENT:
            recognised.certain = False
            say('WARNING: hardly a box agrees with the annotations. Are these pictures of the kind that it was trained '
                'on? If so, correct its config.')  # fmt: skip
    else:
        recognised.certain = False
        say(f'Pictures: {chosen.convention.words(size)}. A guess: without annotations, the convention whose boxes are '
            f'surest in {tried} pictures and their mirror images alike.')  # fmt: skip
        if evidence.value() < _LEAST_CONSISTENCY:
            say(f'WARNING: almost nothing is found in {tried} pictures and their mirror images alike. Do they show '
                'what it was trained on? If so, its layout or preprocessing is another: give annotations, or correct '
                'its config.')  # fmt: skip
    if not known and chosen.convention.resize != 'kept':
        recognised.certain = False
        say(size_note(size))
    if alternatives and not trials.pictures:
        recognised.certain = False
        say(f'It could also be: {"; ".join(reading.words for reading in alternatives[:3])}.')
