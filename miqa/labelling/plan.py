"""Estimate the cost of a database: measured on a sample of the user's images, and extrapolated."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from miqa.distortions.build import build_versions
from miqa.distortions.fidelity import FidelitySource
from miqa.distortions.masks import MaskRecipe
from miqa.distortions.sources import Source, list_images, plan_sources
from miqa.machines.base import Machine
from miqa.machines.image_list import list_sources
from miqa.machines.responses import ResponseFolder
from miqa.machines.runner import run_machine, time_machine
from miqa.pictures import read_image
from miqa.running.cores import usable_cores
from miqa.running.requirements import in_a_clone
from miqa.taxonomy import DEFAULT_MEASURES, DISTORTIONS, LEVEL_PAIRS

VERSIONS = len(DISTORTIONS) * len(LEVEL_PAIRS)
#: Pairs of levels that stand for all of them; those that a first build has tell what a source costs by itself.
_PAIRS, _FIRST_PAIRS = 5, 1
_MOST_PIXELS = 150_000  # So many pixels of a picture tell what all of them cost


@dataclass(frozen=True)
class ImageCosts:
    """What the images cost, per source on one core."""

    megapixels: float  # mean size of the sampled sources
    distort_seconds: float  # making all versions
    measure_seconds: float  # the quality table of all versions
    decode_seconds: float  # decoding all images once
    bytes: float  # on disk, all versions, masks and the source
    sampled: int  # how many sources were made
    versions: int = VERSIONS  # of each source

    def scaled(self, times: float) -> ImageCosts:
        """Return what pictures of so many times as many pixels cost."""
        names = ('megapixels', 'distort_seconds', 'measure_seconds', 'decode_seconds', 'bytes')
        return replace(self, **{name: times * getattr(self, name) for name in names})


@dataclass(frozen=True)
class MachineCosts:
    """What one machine costs, per image."""

    name: str  # the machine
    seconds: float  # network and preparation of an image, on ``device``: of one core, or of the GPU
    device: str  # where that was measured, ``cpu`` or ``cuda``
    bytes: float  # of its response on disk


@dataclass(frozen=True)
class Plan:
    """Totals for a number of sources."""

    images: int  # sources and versions
    distort_hours: float  # of one core
    measure_hours: float  # of one core
    decode_hours: float  # of one core, once per machine
    machine_hours: dict[str, float]  # machine -> hours of one core or of the GPU, by where it was measured
    gpu_hours: float | None  # of one GPU for all machines, or None if unknown
    image_bytes: float  # images on disk
    response_bytes: float  # responses on disk


def measure_images(
    paths: Sequence[Path | Source],
    root: Path,
    task: str,
    annotations: str | None = None,
    distortions: Sequence[str] = DISTORTIONS,
    pairs: Sequence[tuple[int, int]] = LEVEL_PAIRS,
    measures: Sequence[str] = DEFAULT_MEASURES,
    clock: Callable[[], float] = time.process_time,
    versions: int | None = None,
) -> ImageCosts:
    """Make part of the database of a few sources below ``root``, time each step on one core, and scale it to all pairs.

    A source has a cost of its own, such as its masks, and each version the same cost: two builds, of one pair of levels
    and of five, measure both. ``paths`` are pictures, or sources that are planned already; ``root`` is an empty folder;
    ``annotations`` a COCO file for masks, None for masks by saliency; ``clock`` does not count what other programs
    take; ``versions`` are those of a source where it does not get every pair of every distortion.
    """
    start = clock()
    sample = [path for path in paths if isinstance(path, Source)]
    if not sample:
        sample = plan_sources([path for path in paths if not isinstance(path, Source)], task, annotations)
    planned = clock() - start

    def build(folder: Path, chosen: Sequence[tuple[int, int]]) -> tuple[int, float, float]:
        begin = clock()
        report = build_versions(
            sample, folder, task, distortions=distortions, pairs=chosen, measures=(), progress=False
        )
        if not report.made:
            raise ValueError(f'Not one picture of the sample can be read: {report.bad[0][1]}')
        return report.made, (planned + clock() - begin) / report.made, report.bytes / report.made

    versions = versions or len(distortions) * len(pairs)
    some = pairs[:: len(pairs) // (_PAIRS - 1)] if len(pairs) > _PAIRS else pairs
    first = build(root / 'first', some[:_FIRST_PAIRS]) if len(some) < len(pairs) else None
    versions_made, distort, size = build(root, some)
    if first is not None:
        more = (len(pairs) - len(some)) / (len(some) - _FIRST_PAIRS)
        distort += more * max(0.0, distort - first[1])
        size += more * max(0.0, size - first[2])
    sources = list_sources(root, task)
    start, decoded = clock(), []
    for source in sources:
        decoded.append([read_image(path) for path in source.paths[:26]])
    decode = (clock() - start) / sum(map(len, decoded)) * (versions + 1)
    start, measured = clock(), 0
    for images in decoded if measures else ():
        source_measures = FidelitySource(images[0], measures, undefined='nan')
        for image in images[1:4]:
            source_measures.measure(image)
            measured += 1
    measure = (clock() - start) / max(1, measured) * versions if measures else 0.0
    megapixels = float(np.mean([images[0].shape[0] * images[0].shape[1] for images in decoded])) / 1e6
    return ImageCosts(megapixels, distort, measure, decode, size, versions_made, versions)


def measure_machine(machine: Machine, root: Path, folder: Path, images: int, batch_size: int) -> MachineCosts:
    """Time a machine on ``images`` of the sample below ``root`` and weigh its responses, kept in ``folder``."""
    sources = list_sources(root, machine.task)
    paths = [path for source in sources for path in source.paths]
    chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, images).astype(int)]
    device = 'cuda' if str(machine.device).startswith('cuda') else 'cpu'
    # Time of the processor does not count what other programs take; a GPU's work is not in it.
    clock = time.perf_counter if device == 'cuda' else time.process_time
    seconds = time_machine(machine, [read_image(path) for path in chosen], batch_size, clock)
    few = [type(source)(source.source, source.clean, source.folder, source.versions[:images]) for source in sources[:1]]
    run_machine(machine, few, folder, batch_size=batch_size, progress=False)
    size = sum(part.stat().st_size for part in ResponseFolder(folder).parts())
    return MachineCosts(machine.name, seconds, device, size / few[0].count)


def cut_large(source: Source, folder: Path) -> tuple[Source, float]:
    """Return a source of which a plan can be made in seconds, and how many times as many pixels the picture has.

    Making versions takes a time, and files a room, that grow with the pixels alone, so that the middle of a large
    picture, written into ``folder``, tells it.
    """
    picture = read_image(source.path)
    height, width = picture.shape[:2]
    share = min(1.0, (_MOST_PIXELS / (height * width)) ** 0.5)
    if share == 1:
        return source, 1.0
    rows, columns = round(height * share), round(width * share)
    top, left = (height - rows) // 2, (width - columns) // 2
    suffix = '.jpg' if Path(source.path).suffix.lower() in ('.jpg', '.jpeg') else '.png'
    path = folder / f'{source.image_id}{suffix}'
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(picture[top : top + rows, left : left + columns]).save(path, quality=95)
    return Source(source.image_id, str(path), MaskRecipe('saliency')), height * width / (rows * columns)


def extrapolate(
    costs: ImageCosts, machines: Sequence[MachineCosts], sources: int, gpu_images_per_second: float | None = None
) -> Plan:
    """Multiply what was measured; every step is linear in the number of sources.

    Args:
        costs: of the images.
        machines: what each of them costs.
        sources: how many sources the database will have.
        gpu_images_per_second: how fast a GPU runs one of the machines, on average, where none was measured.
    """
    images = sources * (costs.versions + 1)
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


_FOR_A_GPU = 10_000  # Fewer images are answered in minutes without a GPU


def _duration(hours: float, unit: str = 'CPU core') -> str:
    """Return a time in hours, or a short one in minutes."""
    return f'{hours:10.1f} {unit} hours' if hours >= 1 else f'{60 * hours:10.1f} {unit} minutes'


def plan_text(
    costs: ImageCosts,
    machines: Sequence[MachineCosts],
    sources: int,
    gpu_images_per_second: float | None = None,
    further: Mapping[str, float] | None = None,
) -> str:
    """Return lines on what was measured and what a database of ``sources`` will cost; see :func:`extrapolate`.

    ``further``: other steps that every image goes through -> seconds of one core for an image.
    """
    plan = extrapolate(costs, machines, sources, gpu_images_per_second)
    further = further or {}
    lines = [
        f'Measured here on {costs.sampled} source{"s" * (costs.sampled != 1)} of {costs.megapixels:.2f} megapixels on '
        f'average (time of the processor; {usable_cores()} cores here):',
        f'  per source: distort {costs.distort_seconds:.1f} s, '
        + (f'quality table {costs.measure_seconds:.1f} s, ' if costs.measure_seconds else '')
        + f'decode {costs.decode_seconds:.1f} s of one core; {costs.bytes / 1e6:.1f} MB',
    ]
    for item in machines:
        device = 'the GPU' if item.device == 'cuda' else 'one core'
        lines.append(
            f'  per image: {item.name} {1000 * item.seconds:.1f} ms of {device}, {item.bytes:.0f} bytes of response'
        )
    lines += [f'  per image: {name} {1000 * seconds:.1f} ms of one core' for name, seconds in further.items()]
    lines += ['', f'{sources} sources, {plan.images} images:', f'  distortions     {_duration(plan.distort_hours)}']
    if plan.measure_hours:
        lines.append(f'  quality tables  {_duration(plan.measure_hours)} (with --measures none: 0)')
    if machines:
        lines.append(f'  decoding        {_duration(plan.decode_hours * len(machines))} ({len(machines)} machines)')
        on = {item.name: item.device for item in machines}
        for name, hours in plan.machine_hours.items():
            lines.append(f'  {name:30s} {_duration(hours, "GPU" if on[name] == "cuda" else "CPU core")}')
        if plan.gpu_hours is not None:
            stated = gpu_images_per_second
            basis = f'as stated, {stated:g} images per second and machine' if stated else 'as measured here'
            lines.append(f'  GPU time        {_duration(plan.gpu_hours, "GPU")} ({basis})')
        elif plan.images >= _FOR_A_GPU:
            advice = f'{in_a_clone("tools/data/plan.py")} takes the speed of one, --gpu-images-per-second'
            lines.append(f'  GPU time        not known: no GPU here; {advice}')
    lines += [f'  {name:30s} {_duration(seconds * plan.images / 3600)}' for name, seconds in further.items()]
    disk = f'{plan.image_bytes / 1e9:10.1f} GB images, {plan.response_bytes / 1e9:.2f} GB responses'
    return '\n'.join([*lines, f'  disk            {disk}'])
