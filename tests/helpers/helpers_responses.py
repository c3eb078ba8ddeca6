"""Stored responses and labels of machines over a small database, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from helpers_database import write_database

from miqa.keeping import write_json
from miqa.labelling import label_database
from miqa.machines import ResponseFolder, list_sources, responses_folder
from miqa.machines.runner import images_of
from miqa.running import generator_for


def write_labelled(
    root: str | Path, task: str, machines: dict[str, float], sources: int = 6, val_sources: int = 4
) -> Path:
    """Write a database whose labels are those of the responses of made-up machines; return its root."""
    write_database(root, task, sources=sources, val_sources=val_sources)
    write_responses(root, task, machines)
    label_from_responses(root, task)
    return Path(root)


def write_responses(data_root: str | Path, task: str, machines: dict[str, float], skill: float = 1.0) -> None:
    """Write responses of made-up classifiers or detectors that get worse with the level of distortion.

    Args:
        data_root: database made by ``helpers_database.write_database``.
        task: ``cls`` or ``det``.
        machines: name -> weight.
        skill: higher is right more often.
    """
    sources = list_sources(data_root, task)
    root = responses_folder(data_root, task).parent
    if task == 'cls':
        lines = [f'{source.clean.name},{number % 5}' for number, source in enumerate(sources)]
        (root / 'ground_truth.csv').write_text('filename,class_index\n' + '\n'.join(lines) + '\n')
    else:
        write_json(root / 'ground_truth.json', _annotations(sources))
    for name, weight in machines.items():
        store = ResponseFolder(responses_folder(data_root, task) / name)
        machine = {'name': name, 'weight': weight, 'fingerprint': name * 3, 'classes': ['thing'], 'task': task}
        store.start({'machine': machine, 'parameters': {'store_probabilities': False}, 'versions': {}})
        rows = []
        for number, source in enumerate(sources):
            for row, _ in images_of(source):
                rng = generator_for(name, row['filename'])
                loss = 0.05 * (2 * row['fg_level'] + row['bg_level']) / skill
                rows.append({**row, 'width': 48, 'height': 40, 'crc32': 0, 'error': None})
                rows[-1].update((_class if task == 'cls' else _boxes)(rng, number % 5, loss))
        store.write_part(rows, task, (0, 1))


def label_from_responses(data_root: str | Path, task: str) -> dict:
    """Replace the labels of a database by those that its responses give, and return the manifest."""
    return label_database(data_root, task, overwrite=True, progress=False)


def _class(rng, truth: int, loss: float) -> dict:
    probability = float(np.clip(0.99 - loss + rng.normal(0, 0.1), 0.05, 1))
    right = rng.random() < probability
    return {
        'top1': truth if right else (truth + 1) % 5, 'max_probability': probability, 'entropy': 1 - probability,
        'logsumexp': 10 * probability, 'true_probability': probability if right else 0.0,
    }  # fmt: skip


def _boxes(rng, truth: int, loss: float) -> dict:
    score = float(np.clip(0.95 - loss + rng.normal(0, 0.1), 0.02, 1))
    # The second object is only found while the picture is good; its box drifts.
    drift = 8 * loss
    boxes = [4, 4, 20, 20, 24 + drift, 20, 44 + drift, 36]
    return {'scores': [score, 0.6 * score], 'labels': [0, 0], 'boxes': boxes}


def _annotations(sources) -> dict:
    images, annotations = [], []
    for number, source in enumerate(sources):
        images.append({'id': number, 'file_name': source.clean.name, 'width': 48, 'height': 40})
        for box in ((4, 4, 16, 16), (24, 20, 20, 16)):
            annotations.append({
                'id': len(annotations) + 1, 'image_id': number, 'category_id': 1, 'bbox': list(box),
                'area': box[2] * box[3], 'iscrowd': 0,
            })  # fmt: skip
    return {'images': images, 'annotations': annotations, 'categories': [{'id': 1, 'name': 'thing'}]}
