"""Sizes of the input of a network: stated, known from its outputs, or tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from miqa.machines.exported_networks import ExportedNetwork
from miqa.machines.onnx_places import grid_strides

from .file_metadata import FileMetadata
from .trials import ROUNDS, Candidate, Evidence, TrialPicture, Trials

#: Sides of inputs that a network of free size is tried with, the usual first; and those of which its outputs may speak.
_USUAL_SIDES = (640, 416, 320, 352)
_KNOWN_SIDES = (*range(160, 1025, 32), 1280, 1536)
#: Strides of detectors: 8,400 places are those of 640 pixels, not of 320 with finer ones.
_USUAL_STRIDES = ((8, 16, 32), (8, 16, 32, 64), (16, 32), (8, 16, 32, 64, 128))


def input_sizes(
    network: ExportedNetwork, metadata: FileMetadata, settings: Mapping
) -> tuple[list[tuple[int, int]], bool]:
    """Return (height, width) in pixels of the input, the likeliest first, and whether it is known: the first alone.

    Raises:
        ValueError: the user states another size than the file.
    """
    height, width = network.input.size
    if 'size' in settings:
        stated = settings['size']
        if (height or stated[0], width or stated[1]) != stated:
            raise ValueError(
                f'{network.file} takes pictures of {height or "any"} x {width or "any"} pixels (height x width), not '
                f'{stated[0]} x {stated[1]}. Leave size out.'
            )
        return [stated], True
    if height and width:
        return [(height, width)], True
    if metadata.size:
        return [(height or metadata.size[0], width or metadata.size[1])], True
    size = size_of_places([output.shape for output in network.outputs], (height, width))
    if size is not None:
        return [size], True
    return [(height or side, width or side) for side in _USUAL_SIDES], False


def size_of_places(
    shapes: Iterable[Sequence[int | None]], fixed: tuple[int | None, int | None]
) -> tuple[int, int] | None:
    """Return the input size whose grids have as many places as an output, or as all outputs together.

    ``shapes`` has None for an axis of any length, ``fixed`` (height, width) in pixels None where a side is unknown; the
    result is (height, width) in pixels, or None if no usual one fits.
    """
    lengths = [[side for side in shape if side and side > 1] for shape in shapes]
    counts = {side for sides in lengths for side in sides if side > 100}
    # Outputs for one grid each have equally many values, and their places add up.
    places: Counter[int] = Counter()
    for sides in lengths:
        if len(sides) == 2:
            places[sides[1]] += sides[0]
    counts |= set(places.values())
    for usual in _USUAL_STRIDES:
        for side in _KNOWN_SIDES:
            size = (fixed[0] or side, fixed[1] or side)
            if usual in {grid_strides(count, size) for count in counts}:
                return size
    return None


def best_size(
    network: ExportedNetwork,
    sizes: Sequence[tuple[int, int]],
    pictures: Sequence[TrialPicture],
    chosen: Candidate,
    evidence: Evidence,
    progress: Callable[[str], None] | None,
) -> tuple[int, int]:
    """Return the size, of (height, width) in pixels, with which a network of any size does best on pictures.

    Another than the first, at which it did as ``evidence`` says, must be better by more than chance. ``progress`` is
    called with a sentence when something takes long.
    """
    best, best_evidence = sizes[0], evidence
    for size in sizes[1:]:
        try:
            other = Trials(network, size, pictures, progress).evidence([chosen], ROUNDS[1][0])[chosen]
        except Exception:  # noqa: BLE001, S112  a size that the network does not take
            continue
        if other.better_than(best_evidence):
            best, best_evidence = size, other
    return best
