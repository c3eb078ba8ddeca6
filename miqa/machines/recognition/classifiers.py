"""Recognise classifiers: the output, logits or probabilities, and the preprocessing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from miqa.annotations.class_names import plain_name
from miqa.machines.exported_networks import ExportedNetwork

from .conventions import CONVENTIONS, Convention
from .input_sizes import input_sizes
from .network_file import NetworkFile
from .readings import UnclearLayout, has_word
from .recognised import RecognisedMachine
from .trials import ROUNDS, Evidence

_SIDE = 224  # Of the input of a classifier that takes any size
_SMALL = 64  # Inputs of at most so many pixels
_IMAGENET = 1000  # TensorFlow's classifiers of these classes have one more, the background, before them
_NO_CLASSES = ('embed', 'feature', 'pool', 'hidden')  # What vectors are called that are no classes
_CLASSES = ('logit', 'prob', 'score', 'class', 'cls', 'pred', 'softmax')  # What vectors of classes are called
_ALIKE = 0.5  # Heads of the same classes correlate at least so much over the classes
_ABOVE_CHANCE = 0.05  # A classifier that was read well gives its classes a probability so far above chance
_LEAST_PICTURES = 4  # From so many pictures a shift of their classes is concluded


class _Output(NamedTuple):
    """The output of classes: its name, its values for some pictures (N, K), and what is to be said of the others."""

    name: str
    rows: np.ndarray
    note: str = ''


def recognised_classifier(given: NetworkFile) -> RecognisedMachine:
    """Find out how a classifier is used.

    Raises:
        UnclearLayout: no output, or several, are a vector of classes; or the pictures' classes are counted otherwise.
    """
    network, metadata, names, categories = given.network, given.metadata, given.names, given.categories
    sizes, known = input_sizes(network, metadata, given.settings)
    size = sizes[0] if known else (network.input.size[0] or _SIDE, network.input.size[1] or _SIDE)
    labelled = [picture for picture in given.pictures if picture.class_index is not None] or list(given.pictures)
    has_classes = bool(labelled) and labelled[0].class_index is not None
    images = [picture.pixels() for picture in labelled[: ROUNDS[1][0]]]
    kind = 'unit' if metadata.from_ultralytics else 'mnist' if network.input.channels == 1 else 'imagenet'
    # Of small pictures (CIFAR, MNIST) nothing is cut off.
    resize = 'cover' if metadata.from_ultralytics else 'stretch' if max(size) <= _SMALL else 'crop'
    usual = given.with_settings(replace(CONVENTIONS['classifier'], values=kind, resize=resize))
    conventions = [usual]
    if not metadata.from_ultralytics and images:
        conventions = given.allowed(usual.other_values())
    samples = images or [np.full((64, 64, 3), 127, np.uint8)]
    output = _class_output(network, names, given.settings.get('output'), _outputs_of(network, usual, size, samples))
    kind, count = _kind(output.rows), output.rows.shape[1]
    with_background = count == _IMAGENET + 1 and (names is None or len(names) == _IMAGENET)
    truth = [int(picture.class_index or 0) for picture in labelled[: len(images)]] if has_classes else None
    truth = _counted(truth, categories, names, count - 1 if with_background else max(2, count))
    has_classes = truth is not None
    shifts = (1, 0) if names is None and categories is None else (1,)
    shifts = shifts if with_background and truth else (0,)

    def best_of(ways: Sequence[Convention], shifts: Sequence[int]) -> tuple[Convention, int, float]:
        """Return the best way, the first unless another is better by more than chance, and how well it does."""
        evidence: dict[tuple[Convention, int], Evidence] = {}
        for one in ways:
            answers = _answers(network, output.name, one, size, images, kind, mirrored=truth is None)
            evidence |= {(one, shift): _evidence(answers, truth, shift) for shift in shifts}
        first = next(iter(evidence))
        best = max(evidence, key=lambda each: evidence[each].value())
        best = best if evidence[best].better_than(evidence[first]) else first
        return *best, evidence[best].value()

    convention, shift, value = best_of(conventions, shifts)
    if truth and not metadata.from_ultralytics:
        fits = [convention, *(replace(convention, resize=fit) for fit in ('crop', 'cover', 'stretch'))]
        convention, shift, value = best_of(given.allowed(fits), [shift])
    with_background &= truth is None or shift == 1
    if truth is not None and categories is None:
        _check_counting(network, output.name, convention, size, images, kind, truth, int(with_background))
    config: dict[str, Any] = {'outputs': kind}
    config |= {} if output.name == network.output_names[0] else {'logits_name': output.name}
    config |= {'layout_options': {'background': 'first'}} if with_background else {}
    config |= convention.arguments(size, given.whole_pixels)
    config |= {} if names is None else {'classes': _two_names(names) if count == 1 else list(names)}
    how = 'the file says so' if metadata.from_ultralytics else 'a guess, the usual way'
    if images and not metadata.from_ultralytics:
        how = f'of the usual ways it fits {"the classes" if has_classes else "itself"} best in {len(images)} pictures'
        how += '' if has_classes else ', which is a guess'
    told = kind
    if count == 1:
        told = f'one {"probability" if kind == "scores" else "logit"}, that of class 1 of two'
    told += f', output {output.name}' if len(network.outputs) > 1 else ''
    notes = [f'{network.file.name}: a classifier, {told}. Pictures: {convention.words(size)}; {how}.']
    notes += [output.note] if output.note else []
    sensible = truth is None or value > 1 / max(2, count) + _ABOVE_CHANCE
    if not sensible:
        notes += [
            f'WARNING: it gives the classes of the pictures a probability of {value:.2f}, hardly above chance. '
            'Are its classes these, in this order (--classes)? Is it a classifier, and no embedding or regression?'
        ]
    if truth is None and names is None and kind != 'probabilities' and count not in (_IMAGENET, _IMAGENET + 1):
        notes += [
            f'WARNING: whether its {"number is a class" if count == 1 else f"{count} numbers are classes"} cannot be '
            'told: an embedding, key points or a measurement look the same. Names (--classes) or pictures with classes '
            'show it.'
        ]
    if with_background:
        agree = 'the classes of the pictures agree' if has_classes else 'a guess, as there are 1,001'
        notes += [
            f"Its class 0 is TensorFlow's background and left out: ImageNet's 1,000 are counted from 0 ({agree}).",
        ]
    return RecognisedMachine(config, notes, sensible and known and (has_classes or metadata.from_ultralytics))


def _counted(
    truth: Sequence[int] | None, categories: Sequence[str] | None, names: Sequence[str] | None, count: int
) -> list[int] | None:
    """Return the classes of pictures as the network counts them; None where that is not known.

    Args:
        truth: the classes by index, among ``categories`` if there are any.
        categories: names of annotated classes in the order of their index.
        names: of the network's, if known.
        count: number of its classes.
    """
    if truth is None or categories is None:
        return None if truth is None else list(truth)
    if names is not None and all(categories):
        places = {plain_name(name): index for index, name in enumerate(names)}
        indices = [places.get(plain_name(categories[index])) for index in truth]
        return None if None in indices else [index for index in indices if index is not None]
    return list(truth) if len(categories) == count else None


def _two_names(names: Sequence[str]) -> list[str]:
    return list(names) if len(names) > 1 else [f'not {names[0]}', names[0]]


def _outputs_of(network: ExportedNetwork, convention: Convention, size, images) -> dict[str, np.ndarray]:
    """Return the values of the outputs that are vectors, float64 (N, K), for pictures."""
    answers = [network.run(convention.preparation(size)(image)[0][None]) for image in images]
    return {
        name: np.stack([answer[name].reshape(-1).astype(np.float64) for answer in answers])
        for name, first in answers[0].items()
        if first.size and first.size == max(first.shape, default=1) and (first.size > 1 or first.dtype.kind == 'f')
        and len({answer[name].size for answer in answers}) == 1
    }  # fmt: skip


def _class_output(
    network: ExportedNetwork, names: Sequence[str] | None, stated: str | None, vectors: Mapping[str, np.ndarray]
) -> _Output:
    """Return the output of classes, or the one of the name ``stated`` by the user; ``vectors`` are :func:`_outputs_of`.

    Raises:
        UnclearLayout: none is, or several are.
    """
    if stated is not None and stated in vectors:
        return _Output(stated, vectors[stated])
    listed = ', '.join(f'{output.name} {_shape(output.shape)}' for output in network.outputs)
    counts = {_IMAGENET + 1, _IMAGENET} if names is not None and len(names) == _IMAGENET else set()
    counts |= set() if names is None else {len(names)} | ({1} if len(names) <= 2 else set())
    fitting = [name for name, rows in vectors.items() if not counts or rows.shape[1] in counts]
    # One number is two classes; beside a vector it is the number of the best, or how sure the network is.
    wide = [name for name in fitting if vectors[name].shape[1] > 1]
    fitting = wide or fitting
    note = ''
    if len(fitting) > 1:  # an embedding beside the classes, heads that helped in training
        same = _copies(fitting, vectors)
        fitting = [name for name in fitting if name not in same]
        for preferred in (_main, _no_embedding, _called_classes):
            fitting = [name for name in fitting if preferred(name)] or fitting
    if len(fitting) > 1 and len({vectors[name].shape[1] for name in fitting}) == 1 and _agree(fitting, vectors):
        others = ', '.join(fitting[1:])
        note = (
            f'Its output {fitting[0]} is read; {others} of as many classes agree with it and are taken for heads that '
            f'helped in training (GoogLeNet, Inception). --machine-options output={fitting[1]} reads another.'
        )
        fitting = fitting[:1]
    if len(fitting) == 1 and (called := _embedding(fitting[0], vectors)):
        raise UnclearLayout(
            f'{network.file}: its output {fitting[0]} {vectors[fitting[0]].shape[1:]} {called}, and no '
            'other is a vector of classes. Expected is one number for each class; export the network with its '
            'classifier.'
        )
    if len(fitting) == 1:
        return _Output(fitting[0], vectors[fitting[0]], note)
    if not fitting:
        raise UnclearLayout(
            f'{network.file}: none of its outputs is a vector of {len(names) if names else "classes"}: {listed}. Is it '
            'a detector? --task det; or are there other classes? --classes FILE'
        )
    raise UnclearLayout(
        f'{network.file}: several outputs could be the classes: {listed}. Which one? --machine-options '
        f'output={" or output=".join(fitting)}'
    )


def _shape(shape: Sequence[int | None]) -> str:
    return f'({", ".join("?" if side is None else str(side) for side in shape)})'


def _main(name: str) -> bool:
    return not has_word(name, 'aux')


def _no_embedding(name: str) -> bool:
    return not has_word(name, *_NO_CLASSES)


def _embedding(name: str, vectors: Mapping[str, np.ndarray]) -> str:
    """Return what makes an output an embedding: its name, or vectors of length 1 (CLIP, faces); else nothing."""
    rows, lengths = vectors[name], np.linalg.norm(vectors[name], axis=1)
    if not _no_embedding(name):
        return 'is called an embedding'
    return 'is a vector of length 1, an embedding' if rows.min() < 0 and np.abs(lengths - 1).max() < 1e-3 else ''


def _called_classes(name: str) -> bool:
    return has_word(name, *_CLASSES)


def _copies(names: Sequence[str], vectors: Mapping[str, np.ndarray]) -> set[str]:
    """Return the outputs that another one says, too: it is the same, or its softmax; or this one's sigmoid."""
    copies: set[str] = set()
    for one, other in itertools.permutations(names, 2):
        first, second = vectors[one], vectors[other]
        if copies & {one, other} or first.shape != second.shape:
            continue
        if np.allclose(first, second, atol=1e-6) or np.allclose(_softmax(first), second, atol=1e-3):
            copies.add(other)
        elif np.allclose(_sigmoid(first), second, atol=1e-3):
            copies.add(one)
    return copies


def _agree(names: Sequence[str], vectors: Mapping[str, np.ndarray]) -> bool:
    """Return True if the others say the same classes as the first: their values correlate over the classes."""
    first = vectors[names[0]]
    for name in names[1:]:
        pairs = zip(first, vectors[name], strict=True)
        alike = [np.corrcoef(a, b)[0, 1] if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0 for a, b in pairs]
        if np.mean(alike) < _ALIKE:
            return False
    return True


def _softmax(rows: np.ndarray) -> np.ndarray:
    return np.exp(rows - np.logaddexp.reduce(rows, -1, keepdims=True))


def _sigmoid(rows: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(rows / 2)


def _kind(rows: np.ndarray) -> str:
    """Return whether values (N, K) are ``probabilities``, ``scores`` of a sigmoid, or ``logits``."""
    if rows.min() < 0 or rows.max() > 1 + 1e-2:
        return 'logits'
    return 'probabilities' if rows.shape[1] > 1 and np.abs(rows.sum(1) - 1).max() < 1e-2 else 'scores'


def _probabilities(row: np.ndarray, kind: str) -> np.ndarray:
    """Return the probability of each class, of at least two; zeros where the numbers are not finite."""
    if not np.isfinite(row).all():
        return np.zeros(max(2, len(row)))
    if len(row) == 1:
        chance = row if kind == 'scores' else _sigmoid(row)
        return np.concatenate([1 - chance, chance])
    if kind == 'logits':
        return _softmax(row)
    return row / max(1e-9, row.sum()) if kind == 'scores' else row


def _answers(network, output: str, convention: Convention, size, images, kind: str, mirrored: bool) -> list:
    """Return the probabilities for each picture, and those for its mirror image."""
    answers = []
    for image in images:
        views = [image, np.ascontiguousarray(image[:, ::-1])] if mirrored else [image]
        prepared = [convention.preparation(size)(view)[0] for view in views]
        rows = [network.run(view[None], names=[output])[output].reshape(-1).astype(np.float64) for view in prepared]
        answers.append([_probabilities(row, kind) for row in rows])
    return answers


def _evidence(answers: Sequence[Sequence[np.ndarray]], truth: Sequence[int] | None, shift: int) -> Evidence:
    """Return per picture: the probability of its class, or how sure and alike the answers to it and its mirror are."""
    if truth is None:
        return Evidence([float(np.minimum(*rows).max()) for rows in answers])
    places = [index + shift for index in truth]
    return Evidence(
        [float(row[place]) if 0 <= place < len(row) else 0.0 for (row, *_), place in zip(answers, places, strict=True)]
    )


def _check_counting(
    network, output: str, convention: Convention, size, images, kind: str, truth: Sequence[int], background: int
) -> None:
    """Raise an UnclearLayout where the classes of the pictures are counted from another number than the network's."""
    answers = _answers(network, output, convention, size, images, kind, False)
    usual = _evidence(answers, truth, background).value()
    for shift, advice in ((-1, 'count from 1: subtract 1 from each'), (1, 'lack its first class: add 1 to each')):
        value = _evidence(answers, truth, background + shift).value()
        if len(truth) >= _LEAST_PICTURES and value > 0.25 and value > 3 * usual:
            raise UnclearLayout(
                f'{network.file}: in {len(truth)} pictures it gives their class_index a probability of {usual:.2f}, '
                f'but the {"one before" if shift < 0 else "next one"} {value:.2f}. Do the annotations {advice}? Or has '
                'the network another order of classes? --classes FILE'
            )
