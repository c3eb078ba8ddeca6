"""The photographs that the model is trained on, and which of them are set apart."""

from __future__ import annotations

import csv
import html
import re
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from miqa.pictures import read_image
from miqa.pictures.package_photos import installed_photos
from miqa.running import generator_for

#: Shares of the photographs that choose the recipe and that the results are reported on; neither trains.
CHOOSE, REPORT = 0.1, 0.1
SPLITS = ('train', 'choose', 'report')

_SHORT_SIDES = (299, 420, 600)  # Short sides of large photographs in pixels: classifiers' inputs, and twice that
#: Sides of a part of a photograph, as shares of the photograph's. Of parts of this size classifiers are half as sure as
#: of whole photographs (mean of Lite0's largest probability .38 at a share of .45, .68 for whole ones).
_PART_SHARES = (0.35, 0.7)


class Photograph(NamedTuple):
    """A photograph with its class."""

    source: str  # its name
    path: Path  # of the file
    class_index: int  # of ImageNet-1k, 0 to 999; -1 where it is unknown
    split: str  # one of :data:`SPLITS`
    number: int  # its place in the mixed order
    credit: tuple[str, str, str]  # author, license and page; empty for photographs of packages
    part: bool = False  # whether only a part is taken, cut out at random
    scene: bool = False  # whether it is annotated, and therefore taken as it is


def list_photographs(folder: Path | None, seed: int, limit: int | None = None) -> list[Photograph]:
    """Return the packaged photographs and those of ``folder`` in an order mixed by ``seed``, divided.

    Args:
        folder: holds pictures and ``labels.csv`` (``filename, class_index, author, license, page``); None: no more.
        seed: of order and division.
        limit: the first so many of the mixed order, divided like all of them would be; None for all.

    Raises:
        ImportError: a package with photographs is not installed.
        OSError, ValueError: the folder or its list cannot be used.
    """
    entries: list[tuple[str, Path, int, tuple[str, str, str]]] = [
        (photo.source, photo.path, photo.class_index, ('', '', '')) for photo in installed_photos()
    ]
    if folder is not None:
        with open(folder / 'labels.csv', newline='', encoding='utf-8') as stream:
            for row in csv.DictReader(stream):
                path = folder / row['filename']
                if path.parent != folder or not path.is_file():
                    raise ValueError(f'{folder / "labels.csv"} names {row["filename"]!r}, which is not in the folder.')
                credit = _plain(row['author']), row['license'], row['page']
                entries.append((path.stem, path, int(row['class_index']), credit))
    order = generator_for(seed, 'box: order of photographs').permutation(len(entries))[:limit]
    report, choose = round(REPORT * len(order)), round(CHOOSE * len(order))
    photographs = []
    for number, index in enumerate(order):
        source, path, class_index, credit = entries[index]
        split = 'report' if number < report else 'choose' if number < report + choose else 'train'
        photographs.append(Photograph(source, path, class_index, split, number, credit))
    return photographs


def parts_of(photographs: list[Photograph]) -> list[Photograph]:
    """Return a part of each photograph that trains, as a photograph of its own whose class is unknown.

    Classifiers are unsure of such scenes, as they are of much that cameras see and of few published photographs.
    """
    first = len(photographs)
    return [
        photo._replace(source=f'{photo.source}, part', number=first + photo.number, class_index=-1, part=True)
        for photo in photographs
        if photo.split == 'train'
    ]


def read_photograph(photograph: Photograph, seed: int) -> np.ndarray:
    """Return the photograph as it is damaged, uint8 RGB (H, W, 3): not larger than a short side of 600 pixels
    unless it is annotated.

    A quarter of the square ones is cut to another ratio of sides, up to 3:2, so that training has such ratios.
    """
    rng = generator_for(seed, photograph.source, 'box: cut')
    image = read_image(photograph.path)
    if photograph.scene:
        return image
    short = min(image.shape[:2])
    limit = int(rng.choice(_SHORT_SIDES))
    if short > limit:
        size = tuple(round(side * limit / short) for side in image.shape[1::-1])
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    height, width = image.shape[:2]
    if height == width and rng.random() < 0.25:
        cut = round(height / rng.uniform(1.2, 1.5))
        top = int(rng.integers(height - cut + 1))
        image = image[top : top + cut]
    if photograph.part:
        sides = np.round(rng.uniform(*_PART_SHARES) * np.array(image.shape[:2])).astype(int)
        top, left = (int(rng.integers(side - cut + 1)) for side, cut in zip(image.shape, sides, strict=False))
        image = image[top : top + sides[0], left : left + sides[1]]
    return np.ascontiguousarray(image)


def _plain(name: str) -> str:
    """Return an author's name as text: the list of the photographs has octal escapes of UTF-8 and HTML entities."""
    octal = re.sub(
        r'(?:\\[0-3][0-7]{2})+',
        lambda match: bytes(int(code, 8) for code in re.findall(r'\\(\d{3})', match[0])).decode('utf-8', 'replace'),
        name,
    )
    return html.unescape(octal)
