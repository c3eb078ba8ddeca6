"""Recognise classifiers: the output, logits or probabilities, and the preprocessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from miqa.machines.exported_networks import ExportedNetwork

from .conventions import CONVENTIONS, Convention
from .file_metadata import FileMetadata
from .readings import UnclearLayout, has_word
from .trials import ROUNDS, Evidence, TrialPicture


def classifier_arguments(
    network: ExportedNetwork,
    metadata: FileMetadata,
    size: tuple[int, int],
    pictures: Sequence[TrialPicture],
    names: Sequence[str] | None,
    settings: Mapping[str, Any],
) -> tuple[dict, list[str], bool]:
    """Return the arguments of the machine, what is to be said, and whether nothing was guessed.

    Raises:
        UnclearLayout: no output, or several, are a vector of classes.
    """
    output = _vector(network, names)
    labelled = [picture for picture in pictures if picture.class_index is not None] or list(pictures)
    has_classes = bool(labelled) and labelled[0].class_index is not None
    images = [picture.pixels() for picture in labelled[: ROUNDS[1][0]]]
    fixed = {key: settings[key] for key in ('values', 'channels', 'resize') if key in settings}
    usual = replace(CONVENTIONS['classifier'], **fixed)
    if metadata.from_ultralytics:
        usual = replace(usual, values='unit', **fixed)
    whole = network.input.type is np.uint8
    conventions = [usual]
    if not metadata.from_ultralytics and images:
        conventions += [one for one in usual.other_values() if all(getattr(one, k) == v for k, v in fixed.items())]
    if whole:
        conventions = [replace(one, values='byte') for one in conventions]
    kind = _kind(network, output, usual, size, images)
    evidence = {
        one: _evidence(network, output, one, size, images, labelled if has_classes else None, kind)
        for one in dict.fromkeys(conventions)
    }
    first = conventions[0]
    best = max(evidence, key=lambda one: evidence[one].value()) if images else first
    if best != first and not evidence[best].better_than(evidence[first]):
        best = first
    config: dict[str, Any] = {'outputs': kind}
    config |= {} if output == network.output_names[0] else {'logits_name': output}
    config |= best.arguments(size, whole)
    config |= {} if names is None else {'classes': list(names)}
    how = 'the file says so' if metadata.from_ultralytics else 'a guess, the usual way'
    if images and not metadata.from_ultralytics:
        how = f'of the usual ways it fits {"the classes" if has_classes else "itself"} best in {len(images)} pictures'
        how += '' if has_classes else ', which is a guess'
    notes = [f'{network.file.name}: a classifier, {config["outputs"]}. Pictures: {best.words(size)}; {how}.']
    return config, notes, has_classes or metadata.from_ultralytics


def _vector(network: ExportedNetwork, names: Sequence[str] | None) -> str:
    """Return the output (B, K) of classes."""
    vectors = [
        output for output in network.outputs
        if len([side for side in output.shape[1:] if side != 1]) == 1 or len(output.shape) == 2
    ]  # fmt: skip
    fitting = [output for output in vectors if names is None or output.shape[1] in (None, len(names))]
    fitting = [output for output in fitting if (output.shape[1] or 2) > 1]
    if len(fitting) > 1:  # an embedding beside the classes
        fitting = [output for output in fitting if has_word(output.name, 'logit', 'prob', 'score')] or fitting
    if len(fitting) == 1 and has_word(fitting[0].name, 'embed', 'feature'):
        raise UnclearLayout(
            f'{network.file}: its output {fitting[0].name} {fitting[0].shape} is called an embedding, and no other is '
            'a vector of classes. Expected is one number for each class; export the network with its classifier.'
        )
    if len(fitting) == 1 or (fitting and len({output.shape for output in fitting}) > 1 and names is not None):
        return fitting[0].name
    listed = ', '.join(f'{output.name} {output.shape}' for output in network.outputs)
    if not fitting:
        raise UnclearLayout(
            f'{network.file}: none of its outputs is a vector of {len(names) if names else "classes"}: {listed}. Is it '
            'a detector? --task det; or are there other classes? --classes FILE'
        )
    raise UnclearLayout(
        f'{network.file}: several outputs could be the classes: {listed}. Which one? Say logits_name=... in a config, '
        'see docs/your_own_models.md.'
    )


def _row(network: ExportedNetwork, output: str, convention: Convention, size, image: np.ndarray) -> np.ndarray:
    prepared, _ = convention.preparation(size)(image)
    return network.run(prepared[None], names=[output])[output].reshape(-1).astype(np.float64)


def _kind(network, output: str, convention: Convention, size, images) -> str:
    """Return whether an output is ``probabilities``, ``scores`` of a sigmoid, or ``logits``."""
    rows = [
        _row(network, output, convention, size, image) for image in images[:3] or [np.full((64, 64, 3), 127, np.uint8)]
    ]
    if not all(row.min() >= 0 and row.max() <= 1 + 1e-2 for row in rows):
        return 'logits'
    return 'probabilities' if all(abs(float(row.sum()) - 1) < 1e-2 for row in rows) else 'scores'


def _evidence(network, output, convention, size, images, labelled, kind: str) -> Evidence:
    """Return per picture: the probability of its class, or how sure and alike the answers to it and its mirror are."""
    values = []
    for number, image in enumerate(images):
        rows = [_row(network, output, convention, size, image)]
        if labelled is None:
            rows.append(_row(network, output, convention, size, np.ascontiguousarray(image[:, ::-1])))
        if not all(np.isfinite(row).all() for row in rows):
            values.append(0.0)
            continue
        rows = [row / max(1e-9, row.sum()) for row in rows] if kind == 'scores' else rows
        rows = rows if kind != 'logits' else [np.exp(row - np.logaddexp.reduce(row)) for row in rows]
        if labelled is None:
            values.append(float(np.minimum(*rows).max()))
        else:
            index = labelled[number].class_index
            values.append(float(rows[0][index]) if 0 <= index < len(rows[0]) else 0.0)
    return Evidence(values)
