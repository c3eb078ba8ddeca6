"""What a database will cost: measured on a sample of the user's images, on this machine, and extrapolated."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..distortions.build import build_versions
from ..distortions.fidelity import MEASURES, fidelity
from ..distortions.sources import list_images, plan_sources
from ..machines.base import Machine
from ..machines.image_list import list_sources
from ..machines.responses import ResponseFolder
from ..machines.runner import run_machine, time_machine
from ..taxonomy import DISTORTIONS, LEVEL_PAIRS
from ..utils import read_image

VERSIONS = len(DISTORTIONS) * len(LEVEL_PAIRS)


@dataclass(frozen=True)
class ImageCosts:
    """What the images cost, per source on one core.

    Attributes:
        megapixels: mean size of the sampled sources.
        distort_seconds: making all versions.
        measure_seconds: the quality table of all versions.
        decode_seconds: decoding all images once.
        bytes: on disk, all versions, masks and the source.
        sampled: how many sources were made.
    """

    megapixels: float
    distort_seconds: float
    measure_seconds: float
    decode_seconds: float
    bytes: float
    sampled: int


@dataclass(frozen=True)
class MachineCosts:
    """What one system costs, per image.

    Attributes:
        name: the system.
        seconds: network and preparation of an image, on ``device``: of one core, or of the GPU.
        device: where that was measured, ``cpu`` or ``cuda``.
        bytes: of its response on disk.
    """

    name: str
    seconds: float
    device: str
    bytes: float


@dataclass(frozen=True)
class Plan:
    """Totals for a number of sources.

    Attributes:
        images: sources and versions.
        distort_hours: of one core.
        measure_hours: of one core.
        decode_hours: of one core, once per system.
        machine_hours: system -> hours of one core or of the GPU, by where it was measured.
        gpu_hours: of one GPU for all systems, or None where nothing is known of GPUs.
        image_bytes: images on disk.
        response_bytes: responses on disk.
    """

    images: int
    distort_hours: float
    measure_hours: float
    decode_hours: float
    machine_hours: dict[str, float]
    gpu_hours: float | None
    image_bytes: float
    response_bytes: float


def measure_images(
    paths: Sequence[Path],
    root: Path,
    task: str,
    annotations: str | None = None,
    clock: Callable[[], float] = time.process_time,
) -> ImageCosts:
    """Make the full database of a few sources below ``root`` and time each step on one core.

    Args:
        paths: the sample.
        root: an empty folder.
        task: cls, det or ins.
        annotations: COCO file for masks, or None for masks by saliency.
        clock: seconds of the processor, which do not count what other programs take.
    """
    start = clock()
    report = build_versions(plan_sources(paths, task, annotations), root, task, measures=(), progress=False)
    distort = (clock() - start) / report.made
    sources = list_sources(root, task)
    start, decoded = clock(), []
    for source in sources:
        decoded.append([read_image(path) for path in source.paths[:26]])
    decode = (clock() - start) / sum(map(len, decoded)) * (VERSIONS + 1)
    start, measured = clock(), 0
    for images in decoded:
        for image in images[1:4]:
            fidelity(images[0], image, MEASURES, undefined='nan')
            measured += 1
    measure = (clock() - start) / measured * VERSIONS
    megapixels = float(np.mean([images[0].shape[0] * images[0].shape[1] for images in decoded])) / 1e6
    return ImageCosts(megapixels, distort, measure, decode, report.bytes / report.made, report.made)


def measure_machine(
    machine: Machine,
    root: Path,
    folder: Path,
    images: int,
    batch_size: int,
) -> MachineCosts:
    """Time a system on ``images`` of the sample below ``root`` and weigh its responses, kept in ``folder``."""
    sources = list_sources(root, machine.task)
    paths = [path for source in sources for path in source.paths]
    chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, images).astype(int)]
    device = 'cuda' if 'cuda' in str(getattr(machine, 'device', 'cpu')) else 'cpu'
    # Time of the processor does not count what other programs take; a GPU's work is not in it.
    clock = time.perf_counter if device == 'cuda' else time.process_time
    seconds = time_machine(machine, [read_image(path) for path in chosen], batch_size, clock)
    few = [type(source)(source.source, source.clean, source.folder, source.versions[:60]) for source in sources[:1]]
    run_machine(machine, few, folder, batch_size=batch_size, progress=False)
    size = sum(part.stat().st_size for part in ResponseFolder(folder).parts())
    return MachineCosts(machine.name, seconds, device, size / few[0].count)


def extrapolate(
    costs: ImageCosts,
    machines: Sequence[MachineCosts],
    sources: int,
    gpu_images_per_second: float | None = None,
) -> Plan:
    """Multiply what was measured; every step is linear in the number of sources.

    Args:
        costs: of the images.
        machines: of the systems.
        sources: how many sources the database will have.
        gpu_images_per_second: how fast a GPU runs one of the systems, on average, where none was measured.
    """
    images = sources * (VERSIONS + 1)
    hours = {item.name: item.seconds * images / 3600 for item in machines}
    gpu = None
    if gpu_images_per_second:
        gpu = len(machines) * images / gpu_images_per_second / 3600
    elif machines and all(item.device == 'cuda' for item in machines):
        gpu = sum(hours.values())
    return Plan(
        images=images,
        distort_hours=costs.distort_seconds * sources / 3600,
        measure_hours=costs.measure_seconds * sources / 3600,
        decode_hours=costs.decode_seconds * sources / 3600,
        machine_hours=hours,
        gpu_hours=gpu,
        image_bytes=costs.bytes * sources,
        response_bytes=sum(item.bytes for item in machines) * images,
    )


def sample_images(folder: Path, count: int) -> list[Path]:
    """Return ``count`` images of a folder, spread evenly over the sorted names."""
    paths = list_images(folder)
    return [paths[i] for i in sorted({int(i) for i in np.linspace(0, len(paths) - 1, min(count, len(paths)))})]


def temporary_root() -> tempfile.TemporaryDirectory:
    """Return a folder for a sample that goes away by itself."""
    return tempfile.TemporaryDirectory(prefix='miqa_plan_')
