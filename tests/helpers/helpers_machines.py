"""Machines and small databases for tests of machines and labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from miqa.taxonomy import TASK_FOLDERS, Version, version_name

#: Sides of the picture that :func:`brightness_classes` sees, in pixels.
SIZE = (40, 30)


def brightness_classes(images):
    """A classifier of three classes by the mean of the picture: dark, medium, bright."""
    answers = []
    for image in images:
        distance = np.abs(np.array([40, 128, 215]) - image.mean())
        weights = np.exp(-distance / 20)
        answers.append(weights / weights.sum())
    return answers


def bright_squares(images):
    """A detector of one class: the bounding box of all pixels above 200, if there are any."""
    answers = []
    for image in images:
        rows, columns = np.nonzero(image.min(2) > 200)
        if len(rows):
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            answers.append({'boxes': [box], 'scores': [0.9], 'labels': [0]})
        else:
            answers.append({'boxes': [], 'scores': [], 'labels': []})
    return answers


def unsure_squares(images):
    """The same with a score that falls with the light and the noise of the picture, as a real detector's does."""
    answers = []
    for image in images:
        grey = image.mean(2)
        rows, columns = np.nonzero(grey > max(90, (grey.min() + grey.max()) / 2))
        if not len(rows):
            answers.append({'boxes': [], 'scores': [], 'labels': []})
            continue
        low, high = np.quantile(columns, (0.02, 0.98)), np.quantile(rows, (0.02, 0.98))
        box = [low[0], high[0], low[1] + 1, high[1] + 1]
        score = float(np.clip((grey.max() - 60) / 200 - np.abs(np.diff(grey, axis=1)).mean() / 100, 0.05, 0.99))
        answers.append({'boxes': [box], 'scores': [score], 'labels': [0]})
    return answers


def save(path: Path, pixels: np.ndarray) -> None:
    """Save a picture, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def write_cls_database(root: Path, values=(40, 128, 215), levels=(1, 2, 3)) -> Path:
    """Write grey sources named s0, s1, ... of the given brightness, each with darker versions, and their classes.

    Level l of ``darkness`` takes 45 * l away, so the class of brightness_classes changes at known levels.
    """
    folder = root / TASK_FOLDERS['cls']
    lines = ['filename,class_index']
    for number, value in enumerate(values):
        source = f's{number}'
        save(folder / 'src_images' / f'{source}.png', np.full((SIZE[1], SIZE[0], 3), value))
        for level in levels:
            name = version_name(Version(source, 'darkness', level, level))
            save(folder / 'images' / source / name, np.full((SIZE[1], SIZE[0], 3), max(0, value - 45 * level)))
        lines.append(f'{source}.png,{number}')
    (folder / 'ground_truth.csv').write_text('\n'.join(lines) + '\n')
    return root


def square(box, size=SIZE, value=255) -> np.ndarray:
    """A black picture with one bright rectangle (left, top, right, bottom)."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    left, top, right, bottom = box
    pixels[top:bottom, left:right] = value
    return pixels


def write_det_database(root: Path, task: str = 'det') -> Path:
    """Write sources with one bright rectangle, COCO annotations of it, and versions that move or remove it.

    Level 1 keeps the rectangle, level 2 covers three quarters of it (IoU 0.75), level 3 has none.
    """
    folder = root / TASK_FOLDERS['det']
    box = (10, 5, 30, 25)
    shown = {1: square(box), 2: square((10, 5, 25, 25)), 3: square((0, 0, 0, 0))}
    content = {'images': [], 'annotations': [], 'categories': [{'id': 7, 'name': 'square'}]}
    for number in (1, 2):
        source = f'{number:012d}'
        save(folder / 'src_images' / f'{source}.png', square(box))
        for level, pixels in shown.items():
            save(folder / 'images' / source / version_name(Version(source, 'snow', level, level)), pixels)
        content['images'].append({'id': number, 'file_name': f'{source}.png', 'width': SIZE[0], 'height': SIZE[1]})
        corners = [10, 5, 30, 5, 30, 25, 10, 25]
        content['annotations'].append({
            'id': number, 'image_id': number, 'category_id': 7, 'bbox': [10, 5, 20, 20], 'area': 400, 'iscrowd': 0,
            'segmentation': [corners],
        })  # fmt: skip
    (folder / 'ground_truth.json').write_text(json.dumps(content))
    return root
