"""Scenes with known objects: cut-outs of packaged photographs on other photographs.

Detection needs pictures whose objects are known to the pixel, and no small package ships any. So birds, animals and
vehicles are cut out of the photographs of :mod:`miqa.pictures.package_photos` and pasted onto photographs without any.
``package_outlines.csv`` beside this file lists them: ``package``, ``file``, ``category`` and ``outline``, the polygon
of the object as ``x,y`` pairs in thousandths of width and height. The outlines were found by GrabCut from the class
activation of EfficientNet-Lite1 and kept where they looked right; a photograph of category ``background`` has none.

A scene shows real textures under real damage, but it is no photograph: what is measured on scenes says how the pieces
work together, not how well a detector does in a street.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from miqa.pictures.package_photos import PackagePhoto, list_photos

CATEGORIES = ('bird', 'animal', 'vehicle')  # Categories of objects, in the order of their COCO ids from 1
BACKGROUND = 'background'

SIDE = 320  # Side of a scene in pixels: the small detectors' input

#: Longest side of a pasted object in pixels, least and largest, and how many objects a scene has.
OBJECT_SIDES = (72, 190)
OBJECTS = (2, 4)

_VISIBLE = 0.7  # Least share of an object that stays visible when others are pasted over it
_KEPT_SIDE = 256  # Longest side in pixels of cut-outs that are kept in memory, for sharp pixels at the largest size


@dataclass(frozen=True)
class OutlinedPhoto:
    """A photograph, its category, and the outline of its object, float64 (N, 2) in shares of width and height."""

    photo: PackagePhoto
    category: str
    outline: np.ndarray | None

    @property
    def source(self) -> str:
        """The photograph's name."""
        return self.photo.source


class SceneObject(NamedTuple):
    """An object in a scene: its category, what shows of it, bool (H, W), and the photograph that it comes from."""

    category: str
    mask: np.ndarray
    source: str

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in pixels; right and bottom lie outside."""
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


class Scene(NamedTuple):
    """A picture, uint8 (H, W, 3) RGB, its objects, and the name of the photograph behind them."""

    image: np.ndarray
    objects: list[SceneObject]
    background: str


def outlined_photos() -> list[OutlinedPhoto]:
    """Return all photographs that scenes are made of, objects and backgrounds, in the order of the list.

    Raises:
        ValueError: the list names a photograph that :mod:`miqa.pictures.package_photos` does not know.
    """
    listed = {(photo.package, photo.file): photo for photo in list_photos()}
    outlined = []
    with open(Path(__file__).with_name('package_outlines.csv'), newline='', encoding='utf-8') as stream:
        for row in csv.DictReader(stream):
            key = (row['package'], row['file'])
            if key not in listed or row['category'] not in (*CATEGORIES, BACKGROUND):
                raise ValueError(f'package_outlines.csv lists {key} as {row["category"]}, which is not known.')
            points = [pair.split(',') for pair in row['outline'].split()]
            outline = np.array(points, np.float64) / 1000 if points else None
            outlined.append(OutlinedPhoto(listed[key], row['category'], outline))
    return outlined


def divide_photos(photos: Sequence[OutlinedPhoto], share: float, rng: np.random.Generator) -> tuple[list, list]:
    """Divide photographs into (kept, held out): of each category ``share``, but at least one, is held out."""
    training, held_out = [], []
    for category in (*CATEGORIES, BACKGROUND):
        members = [photo for photo in photos if photo.category == category]
        order = [members[i] for i in rng.permutation(len(members))]
        count = min(max(1, round(share * len(order))), len(order) - 1)
        held_out += order[:count]
        training += order[count:]
    return training, held_out


def compose_scene(photos: Sequence[OutlinedPhoto], rng: np.random.Generator) -> Scene:
    """Paste two to four objects of ``photos`` onto a part of one of its backgrounds, at random sizes and places."""
    backgrounds = [photo for photo in photos if photo.category == BACKGROUND]
    groups = [[photo for photo in photos if photo.category == category] for category in CATEGORIES]
    groups = [group for group in groups if group]
    behind = backgrounds[rng.integers(len(backgrounds))]
    image = _background(behind, rng)
    owner = np.full((SIDE, SIDE), -1)
    chosen: list[OutlinedPhoto] = []
    areas: list[int] = []
    for _ in range(int(rng.integers(OBJECTS[0], OBJECTS[1] + 1))):
        # Categories come evenly, however many photographs each has.
        group = groups[rng.integers(len(groups))]
        photo = group[rng.integers(len(group))]
        for _ in range(10):
            picture, alpha = _placed(photo, rng)
            trial = owner.copy()
            trial[alpha > 0.5] = len(chosen)
            shows = [int((trial == number).sum()) for number in range(len(chosen) + 1)]
            sizes = [*areas, int((alpha > 0.5).sum())]
            if all(visible >= _VISIBLE * size for visible, size in zip(shows, sizes, strict=True)):
                owner, areas = trial, sizes
                image = image * (1 - alpha[..., None]) + picture * alpha[..., None]
                chosen.append(photo)
                break
    objects = [SceneObject(photo.category, owner == number, photo.source) for number, photo in enumerate(chosen)]
    return Scene(np.clip(np.rint(image), 0, 255).astype(np.uint8), objects, behind.source)


@functools.cache
def _photograph(photo: PackagePhoto) -> np.ndarray:
    image = photo.read()
    scale = 1.25 * SIDE / min(image.shape[:2])
    size = [max(SIDE, round(side * scale)) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _background(background: OutlinedPhoto, rng: np.random.Generator) -> np.ndarray:
    photograph = _photograph(background.photo)
    top, left = (int(rng.integers(side - SIDE + 1)) for side in photograph.shape[:2])
    part = photograph[top : top + SIDE, left : left + SIDE].astype(np.float32)
    return (part[:, ::-1] if rng.random() < 0.5 else part) * rng.uniform(0.8, 1.15)


@functools.lru_cache(maxsize=256)
def _cut_out(package: str, file: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the object's rectangle of the photograph, uint8 (h, w, 3), and its mask, float32 (h, w) in [0, 1]."""
    (outlined,) = [photo for photo in outlined_photos() if (photo.photo.package, photo.photo.file) == (package, file)]
    image = outlined.photo.read()
    points = outlined.outline * image.shape[1::-1]
    left, top = np.floor(points.min(0)).astype(int)
    right, bottom = np.ceil(points.max(0)).astype(int)
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.floor(points).astype(np.int32)], 255)
    image, mask = image[top:bottom, left:right], mask[top:bottom, left:right]
    scale = min(1.0, _KEPT_SIDE / max(mask.shape))
    size = [max(2, round(side * scale)) for side in mask.shape[::-1]]
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return image, cv2.resize(mask, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _placed(photo: OutlinedPhoto, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture of the scene's size with the object somewhere in it, and its share of each pixel."""
    image, mask = _cut_out(photo.photo.package, photo.photo.file)
    scale = rng.uniform(*OBJECT_SIDES) / max(mask.shape)
    size = [max(2, round(side * scale)) for side in mask.shape[::-1]]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image, mask = cv2.resize(image, size, interpolation=way), cv2.resize(mask, size, interpolation=way)
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    top, left = (int(rng.integers(SIDE - side + 1)) for side in mask.shape)
    picture, alpha = np.zeros((SIDE, SIDE, 3), np.float32), np.zeros((SIDE, SIDE), np.float32)
    window = np.s_[top : top + mask.shape[0], left : left + mask.shape[1]]
    picture[window], alpha[window] = image * rng.uniform(0.8, 1.15), mask
    # Slightly soft, so that the edge of the paste is no sharper than the photographs.
    return picture, cv2.GaussianBlur(alpha, (0, 0), 0.7)
