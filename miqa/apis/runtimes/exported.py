"""The JSON metadata of an exported file: everything needed to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from miqa import __version__
from miqa.apis.diagnosis import DiagnosisWords
from miqa.apis.spec import ModelSpec
from miqa.errors import CheckpointError
from miqa.taxonomy import LABELS, check_choice

KEY = 'miqa'  # Key of the file's metadata under which the JSON text is stored
#: Names of the input and the output.
INPUT, OUTPUT = 'pixels', 'score'
DETECTION = 'det_'  # Before the name of a label: for detectors
#: Outputs of a file that scores all tasks and labels at once and diagnoses the picture: one number
#: for each picture, or a row (None: of any length).
SEVERAL_OUTPUTS: dict[str, tuple[None, ...]] = {
    'consistency': (None,),
    'accuracy': (None,),
    'composite': (None,),
    'damage': (None, None),
    'strength': (None,),
    'place': (None, None),
    'features': (None, None),
    **{DETECTION + label: (None,) for label in ('consistency', 'accuracy', 'composite')},
}
STORED_PRECISIONS = ('fp32', 'int8')  # Number formats that an exported network's own numbers may have
# JSON of a spec takes some kilobytes.
_MOST_CHARACTERS = 1 << 20


def about(spec: ModelSpec, precision: str = 'fp32') -> dict:
    """Return what a user of an exported file must know, as JSON-ready data."""
    return {
        'miqa_version': __version__,
        'spec': spec.to_dict(),
        'precision': precision,
        'input': {
            'name': INPUT,
            'dtype': 'uint8',
            'channels': 'RGB',
            'shape': ['batch', 3, spec.view_size, spec.view_size],
            'resize_short_side': spec.short_side,
            'interpolation': f'{spec.interpolation}, antialiased (Pillow)',
            'crop': 'center',
        },
        'output': {'name': OUTPUT, 'range': [0, 1], 'clipped': False, 'higher_is_better': True},
    }


def read_about(text: str | None, path: str) -> tuple[ModelSpec, str]:
    """Return the spec and the number format that a file's metadata name.

    Raises:
        CheckpointError: the metadata are not those of an exported quality model.
        ValueError: the spec in them is not one.
    """
    if text is None:
        raise CheckpointError(
            f'{path} lacks the metadata key {KEY!r} with its preprocessing: only files written by `miqa export` can be '
            'used.'
        )
    try:
        if len(text) > _MOST_CHARACTERS:
            raise ValueError(f'they are {len(text)} characters long')
        data = json.loads(text)
        spec, precision = data['spec'], data.get('precision', 'fp32')
        check_choice(precision, STORED_PRECISIONS, 'precision')
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f'{path} has wrong metadata under {KEY!r} ({error!r}). Export the model again with `miqa export`.'
        ) from None
    return ModelSpec.from_dict(spec, path, to_build=False), precision


def read_words(text: str, path: str) -> DiagnosisWords | None:
    """Return how outputs of a file become a diagnosis; None for a file with one output.

    Raises:
        ValueError: a value is not what it must be; the message names it.
    """
    data = json.loads(text)
    return DiagnosisWords.from_dict(data['diagnosis'], f'{path}: diagnosis') if 'diagnosis' in data else None


def check_ends(
    ends: Sequence[tuple], types: tuple[str, str], size: int, path: str, words: DiagnosisWords | None = None
) -> None:
    """Check that a network takes pixels and gives scores as `miqa export` writes it, before anything is scored.

    Args:
        ends: name, type and shape of the inputs and then of the outputs; a free dimension is not an int.
        types: what the runtime calls uint8 and float32.
        size: of the view, in pixels.
        path: of the file, for the error.
        words: of the diagnosis, where the file has :data:`SEVERAL_OUTPUTS`.

    Raises:
        CheckpointError: they are others.
    """
    outputs = {OUTPUT: (None,)} if words is None else SEVERAL_OUTPUTS
    expected = [(INPUT, types[0], (None, 3, size, size))] + [(name, types[1], shape) for name, shape in outputs.items()]
    shapes = [(name, kind, tuple(n if isinstance(n, int) else None for n in shape)) for name, kind, shape in ends]
    if words is not None:
        # Lengths of rows are checked when they come.
        shapes = [
            (name, kind, (shape[0], *[None] * (len(shape) - 1))) if name in outputs else (name, kind, shape)
            for name, kind, shape in shapes
        ]
    if shapes != expected:
        listed = ', '.join(f'{name} {kind} {list(shape)}' for name, kind, shape in shapes)
        raise CheckpointError(
            f'{path} does not take {INPUT} (uint8 RGB squares of {size} pixels) and give {OUTPUT} (float32 numbers, or '
            f'{", ".join(SEVERAL_OUTPUTS)}): it has {listed[:500]}. Export the model again with `miqa export`.'
        )


def cannot_run(path: str, pictures: int, error: Exception) -> CheckpointError:
    """Return the error for a network that fails while it computes."""
    reason = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
    return CheckpointError(
        f'{path} cannot score {pictures} pictures at once: {reason[:400].rstrip(".")}. Where memory is short, say a '
        'smaller --batch-size (in Python batch_size=...); else export the model again with `miqa export`.'
    )


def checked_scores(scores: np.ndarray, pictures: int, path: str) -> np.ndarray:
    """Return what a network gave as float32 (B,).

    Raises:
        CheckpointError: it is not one number for each picture.
    """
    if scores.shape != (pictures,):
        raise CheckpointError(
            f'{path} returned shape {scores.shape} for {pictures} pictures: export the model again with `miqa export`.'
        )
    return scores.astype(np.float32, copy=False)


def checked_outputs(
    outputs: Mapping[str, np.ndarray], pictures: int, words: DiagnosisWords, path: str
) -> dict[str, np.ndarray]:
    """Return what a network with :data:`SEVERAL_OUTPUTS` gave, float32 (B,) or (B, length) by name.

    Raises:
        CheckpointError: an output has another shape.
    """
    lengths = {'damage': len(words.kinds), 'place': len(words.places)}
    for name, values in outputs.items():
        shape = (pictures, lengths.get(name, values.shape[-1]))[: len(SEVERAL_OUTPUTS[name])]
        if values.shape != shape:
            raise CheckpointError(
                f'{path} returned {name} of shape {values.shape} for {pictures} pictures, not {shape}: export the '
                'model again.'
            )
    return {name: values.astype(np.float32, copy=False) for name, values in outputs.items()}


def of_task(outputs: Mapping[str, np.ndarray], task: str | None) -> dict[str, np.ndarray]:
    """Return :data:`SEVERAL_OUTPUTS` with the labels of one task alone, by their plain names.

    Detectors stand for instance segmenters, too.
    """
    prefix = DETECTION if task in ('det', 'ins') else ''
    labels = {label: outputs[prefix + label] for label in LABELS}
    return {name: labels.get(name, values) for name, values in outputs.items() if not name.startswith(DETECTION)}
