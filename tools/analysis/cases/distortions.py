"""Measure the speed of the distortions: megapixels a second of each over its candidates, and of each family.

One thread, processor time.

Examples:
  python tools/analysis/benchmark.py distortions
  python tools/analysis/benchmark.py distortions --image photo.jpg --repeats 9
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial

import cv2
import numpy as np

from miqa.distortions import ALL_DISTORTIONS, candidates, distort
from miqa.pictures import read_image
from miqa.running import generator_for, require
from miqa.taxonomy import DISTORTION_FAMILIES

from .timing import in_turns


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this case."""
    parser.add_argument('--image', help="photograph to distort (default: scikit-image's astronaut)")
    parser.add_argument('--sizes', nargs='+', default=['500x375', '2048x1365'], help='default: 500x375 2048x1365')


def run(args: argparse.Namespace) -> Iterator[tuple[str, list[dict]]]:
    """Measure every size."""
    photograph = read_image(args.image) if args.image else require('skimage.data', 'The default photograph').astronaut()
    cv2.setNumThreads(1)
    for size in args.sizes:
        width, _, height = size.partition('x')
        if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
            raise ValueError(f'--sizes {size}: expected WIDTHxHEIGHT, such as 500x375.')
        picture = cv2.resize(photograph, (int(width), int(height)), interpolation=cv2.INTER_AREA)
        speeds = speeds_of(picture, args.repeats)
        rows = [{'distortion': name, 'MP/s': speed} for name, speed in speeds.items()]
        for family, names in DISTORTION_FAMILIES.items():
            # At equal shares of pictures.
            share = 1 / float(np.mean([1 / speeds[name] for name in names]))
            rows.append({'distortion': f'all of {family}', 'MP/s': share})
        yield f'Megapixels a second of processor time, {size}, one thread', rows


def speeds_of(picture: np.ndarray, repeats: int) -> dict[str, float]:
    """Return megapixels a second of each distortion, the mean over its candidates."""
    rng = generator_for('benchmark')
    speeds = {}
    for name in ALL_DISTORTIONS:
        ways = {
            str(level): partial(distort, picture, name, params, rng) for level, params in enumerate(candidates(name))
        }
        total = sum(times.processor for times in in_turns(ways, repeats).values())
        speeds[name] = len(ways) * picture.shape[0] * picture.shape[1] / 1e6 / total
    return speeds
