"""Run a network on a few pictures with several ranges of values, before its outputs are interpreted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from miqa.machines.exported_networks import SIZE_INPUTS, ExportedNetwork

from .conventions import Convention
from .network_file import NetworkFile
from .readings import Observed, UnclearLayout

_SAMPLES = 3  # Pictures whose outputs are inspected first


def observed_at(sizes: Sequence[tuple[int, int]], given: NetworkFile) -> Observed:
    """Run the network at the first of the sizes, (height, width) in pixels, that it takes.

    Raises:
        UnclearLayout: it takes none; the message is about the first.
    """
    problems = []
    for size in sizes:
        try:
            return observed_with(size, given)
        except UnclearLayout as problem:
            problems.append(problem)
    raise problems[0]


def observed_with(size: tuple[int, int], given: NetworkFile) -> Observed:
    """Run the network on a few pictures of (height, width) with several ranges of values."""
    network = given.network
    images = [picture.pixels() for picture in given.pictures[:_SAMPLES]] or [_scene()]
    conventions = given.allowed(Convention(values) for values in ('unit', 'imagenet', 'byte'))
    samples, pictures = [], []
    problem: Exception | None = None
    for convention in conventions:
        for image in images:
            prepared, place = convention.preparation(size)(image)
            try:
                outputs = network.run(prepared[None], place)
            except Exception as error:  # noqa: BLE001  of any runtime; the message says it
                problem = error
                continue
            if all(np.isfinite(value).all() for value in outputs.values() if value.dtype.kind == 'f'):
                samples.append(outputs)
                pictures.append(place.image)
    if not samples:
        reason = 'its outputs are not finite numbers' if problem is None else ' '.join(str(problem).split())[:300]
        begin = f'{network.file} cannot be run on '
        raise UnclearLayout(
            f'{begin}a picture of {size[1]}x{size[0]} pixels: {reason.removeprefix(begin)}. Which size does it take? '
            '--machine-options size=HEIGHTxWIDTH'
        )
    count = len(given.names) if given.names is not None else None
    same = _same_for_all_sizes(network, images, size)
    return Observed(network, given.metadata, size, samples, pictures, count, same)


def _same_for_all_sizes(network: ExportedNetwork, images: Sequence[np.ndarray], size: tuple[int, int]) -> bool:
    """Return True if a network with the picture's size as an input finds the same for twice that size.

    PaddleDetection's exports without post-processing keep the input and give boxes in pixels of the network.
    """
    if not SIZE_INPUTS & set(network.extra_inputs):
        return False
    beyond_one = False
    for image in images:
        prepared, place = Convention('unit').preparation(size)(image)
        (height, width), (vertical, horizontal) = place.image, place.scale
        larger = place._replace(image=(2 * height, 2 * width), scale=(vertical / 2, horizontal / 2))
        first, second = network.run(prepared[None], place), network.run(prepared[None], larger)
        if not all(np.array_equal(first[name], second[name]) for name in first):
            return False
        beyond_one |= any(
            values.dtype.kind == 'f' and values.size and np.abs(values).max() > 2 for values in first.values()
        )
    return beyond_one


def _scene() -> np.ndarray:
    """Return a picture of soft shapes, for files inspected without any picture."""
    y, x = np.mgrid[0:480, 0:640].astype(np.float32)
    waves = [np.sin(x / (37 + 11 * i)) * np.cos(y / (29 + 7 * i)) for i in range(3)]
    return np.clip(127 + 90 * np.stack(waves, 2), 0, 255).astype(np.uint8)
