"""A small detection and segmentation database in MIQD's format, of scenes with known objects, and its detectors.

Pictures, answers and labels come from the functions that make a database of any size; only what is small about it is
decided here. ``det`` and ``ins`` share the pictures, as in MIQD.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import delayed
from PIL import Image
from tqdm.auto import tqdm

from miqa.datasets import read_split
from miqa.distortions.records import store_settings
from miqa.keeping import atomic_write, write_json
from miqa.layout import (
    SPLIT_COLUMNS,
    coco_source,
    ground_truth_path,
    image_task_folder,
    label_folder,
    label_paths,
    split_path,
)
from miqa.machines import load_machine_configs
from miqa.machines.lite_rcnn import lite_mask_rcnn, train_lite_rcnn
from miqa.machines.torchvision_machine import published_network, published_weights
from miqa.machines.weights import seeded
from miqa.running import generator_for, require
from miqa.running.parallel import run_parallel
from miqa.taxonomy import IMAGE_TASKS, SPLITS, check_choice

from .answers import make_answers
from .few_versions import build_settings, make_versions, write_rows
from .photo_split import SEED, VAL_SHARE
from .scenes import CATEGORIES, OutlinedPhoto, Scene, compose_scene, divide_photos, outlined_photos

#: Scenes of a database, distortions of each (three level pairs of each distortion), and scenes for training detectors.
SCENES, SCENE_DISTORTIONS, LEARNING_SCENES = 96, 4, 240

#: Passes of the small detectors over their scenes, and the EfficientNet-Lites that they stand on.
EPOCHS, LITE_SIZES = 4, (0, 1)

#: Where detectors come from: ``pretrained`` by torchvision on COCO, ``small`` ones trained on the spot, or ``auto`` for
#: the first where they can be fetched and else the second.
DETECTORS = ('auto', 'pretrained', 'small')

#: torchvision's pretrained machines by task, their published AP on COCO val2017 in percent (the metadata of their
#: weights) and options that let a CPU run them over a thousand pictures in minutes.
_PRETRAINED: dict[str, dict[str, tuple[float, dict]]] = {
    'det': {'ssdlite320_mobilenet_v3_large': (21.3, {}), 'fasterrcnn_mobilenet_v3_large_320_fpn': (22.8, {})},
    'ins': {'maskrcnn_resnet50_fpn': (34.6, {'min_size': 256, 'max_size': 320})},
}

#: COCO's categories by those of the scenes; their other categories stay as they are and match nothing.
_COCO = {
    'animal': ['cat', 'dog', 'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe'],
    'vehicle': ['bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat'],
}


def make_scenes(
    root: str | os.PathLike,
    scenes: int = SCENES,
    distortions: int = SCENE_DISTORTIONS,
    seed: int = SEED,
    jobs: int = 1,
    progress: bool = True,
) -> int:
    """Write scenes, their COCO annotations, distorted versions and splits below ``root``; keep what is done.

    A quarter of the scenes is for testing. They are made of objects and backgrounds that no other scene shows. The
    pictures go to ``{root}/miqa_det``; each scene gets so many ``distortions``, see
    :func:`~miqa.distortions.few_versions.plan_versions`. Returns the number of distorted versions.

    Raises:
        ImportError: a package with photographs is not installed.
        SettingsChanged: ``root`` was started with other settings.
        ValueError: fewer than 2 scenes.
    """
    if scenes < 2:
        raise ValueError(f'A database needs at least 2 scenes, one to train and one to test; not {scenes}.')
    root, photos = Path(root), outlined_photos()
    settings = build_settings('demo scenes', [photo.source for photo in photos], distortions, seed, scenes=scenes)
    store_settings(image_task_folder(root, 'det'), settings)
    training, held_out = divide_photos(photos, VAL_SHARE, generator_for(seed, 'photographs of scenes'))
    tested = max(1, round(VAL_SHARE * scenes))
    composed = {
        number: compose_of(held_out if number <= tested else training, seed, number) for number in _numbers(scenes)
    }
    truth = ground_truth_path(root, 'det')
    _write_truth(truth, composed)
    for number, scene in composed.items():
        path = _scene_path(root, number)
        if not path.is_file():
            with atomic_write(path) as temporary:
                Image.fromarray(scene.image).save(temporary, 'PNG')
    calls = [
        delayed(make_versions)(_scene_path(root, number), number, root, 'det', distortions, seed, truth)
        for number in composed
    ]
    counts = run_parallel(calls, jobs)
    total = sum(tqdm(counts, total=len(calls), desc='pictures', unit='scene', disable=not progress))
    for split, members in (('val', range(1, tested + 1)), ('train', range(tested + 1, scenes + 1))):
        write_rows(split_path(root, 'det', split), (SPLIT_COLUMNS['det'],), [(number,) for number in members])
    parts = {
        coco_source(number): {
            'background': scene.background,
            'objects': [instance.source for instance in scene.objects],
        }
        for number, scene in composed.items()
    }
    write_json(root / 'scene_origins.json', {'held_out': sorted(p.source for p in held_out), 'scenes': parts})
    return total


def compose_of(photos: Sequence[OutlinedPhoto], seed: int, *key) -> Scene:
    """Make the scene that ``seed`` and ``what`` decide, with at least one object."""
    return compose_scene(photos, generator_for(seed, 'scene', *key))


def _numbers(scenes: int) -> range:
    return range(1, scenes + 1)


def _scene_path(root: Path, number: int) -> Path:
    return root / 'scenes' / f'{coco_source(number)}.png'


def _write_truth(path: Path, scenes: dict[int, Scene]) -> None:
    encode = require('pycocotools.mask', 'Writing COCO annotations').encode
    images: list[dict] = []
    annotations: list[dict] = []
    for number, scene in scenes.items():
        height, width = scene.image.shape[:2]
        images.append({'id': number, 'file_name': f'{coco_source(number)}.png', 'width': width, 'height': height})
        for instance in scene.objects:
            shape = encode(np.asfortranarray(instance.mask.astype(np.uint8)))
            left, top, right, bottom = instance.box
            entry = {
                'id': len(annotations) + 1,
                'image_id': number,
                'category_id': CATEGORIES.index(instance.category) + 1,
                'bbox': [left, top, right - left, bottom - top],
                'area': int(instance.mask.sum()),
                'iscrowd': 0,
                'segmentation': {'size': shape['size'], 'counts': shape['counts'].decode()},
            }
            annotations.append(entry)
    categories = [{'id': number, 'name': name} for number, name in enumerate(CATEGORIES, 1)]
    write_json(path, {'images': images, 'annotations': annotations, 'categories': categories})


def demo_detectors(
    root: str | os.PathLike,
    task: str,
    detectors: str = 'auto',
    scenes: int = LEARNING_SCENES,
    epochs: int = EPOCHS,
    seed: int = SEED,
    jobs: int = 1,
) -> Path:
    """Get the detectors, out of :data:`DETECTORS`, that label the database; return the config of machines with them.

    The small ones are trained, ``epochs`` passes, on other scenes of all photographs, the held-out ones too: like the
    detector of a production line, they know their objects. The choice is stored beside the weights.

    Raises:
        ConnectionError: ``pretrained`` ones are asked for and cannot be fetched.
        ValueError: ``detectors`` is unknown, or the database was started with others.
    """
    check_choice(detectors, DETECTORS, 'kind of detectors')
    folder = Path(root).absolute() / 'detectors'
    configs = {kind: folder / f'{kind}_{task}.py' for kind in DETECTORS[1:]}
    kinds = [kind for kind, path in configs.items() if path.is_file()]
    if kinds and detectors not in ('auto', kinds[0]):
        raise ValueError(
            f'{root} was started with {kinds[0]} detectors for {task}, not {detectors} ones: choose another folder.'
        )
    chosen = kinds[0] if kinds else detectors
    if chosen == 'auto':
        chosen = 'pretrained' if _can_fetch(task) else 'small'
    if chosen == 'pretrained':
        machines = [_pretrained(name, ap, options, task) for name, (ap, options) in _PRETRAINED[task].items()]
    else:
        calls = [delayed(_small)(size, folder, task, scenes, epochs, seed) for size in LITE_SIZES]
        trained = run_parallel(calls, jobs)
        results = tqdm(trained, total=len(calls), desc='small detectors', unit='detector')
        machines = sorted(results, key=lambda machine: machine['name'])
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(configs[chosen]) as temporary:
        temporary.write_text(f'machines = {machines!r}\n', encoding='utf-8')
    return configs[chosen]


def _can_fetch(task: str) -> bool:
    from torchvision.models import get_model_weights

    try:
        for name in _PRETRAINED[task]:
            published_network(name, published_weights(get_model_weights(name), 'COCO_V1'), {})
    except ConnectionError as error:
        print(f'{error}\nSo small detectors are trained on the spot.')
        return False
    return True


def _pretrained(name: str, ap: float, options: dict, task: str) -> dict:
    from torchvision.models import get_model_weights

    of = {coco: own for own, names in _COCO.items() for coco in names}
    classes = [of.get(coco, coco) for coco in get_model_weights(name).COCO_V1.meta['categories']]
    machine = dict(type='TorchvisionMachine', model=name, weights='COCO_V1', task=task, weight=ap)
    return {**machine, 'classes': classes, 'options': options}


def _small(size: int, folder: Path, task: str, scenes: int, epochs: int, seed: int) -> dict:
    """Train a small detector, unless it is there; it serves both tasks."""
    weights = folder / f'lite{size}_rcnn.pth'
    options: dict[str, Any] = {'size': size, 'num_classes': len(CATEGORIES) + 1}
    if not weights.is_file():
        torch.set_num_threads(1)
        photos = outlined_photos()
        composed = [compose_of(photos, seed, 'detector', size, number) for number in range(scenes)]
        with seeded(seed):
            network = lite_mask_rcnn(**options)
        targets = [
            {
                'boxes': np.array([instance.box for instance in scene.objects]),
                'labels': np.array([CATEGORIES.index(instance.category) + 1 for instance in scene.objects]),
                'masks': np.stack([instance.mask for instance in scene.objects]),
            }
            for scene in composed
        ]
        train_lite_rcnn(network, [scene.image for scene in composed], targets, epochs, weights, seed=seed)
    return dict(
        type='TorchvisionMachine',
        model='miqa.machines.lite_rcnn:lite_mask_rcnn',
        weights=str(weights),
        task=task,
        name=f'lite{size}_rcnn',
        classes=list(CATEGORIES),
        options=options,
    )


def make_detections(root: str | os.PathLike, task: str, config: str | os.PathLike, jobs: int = 1) -> None:
    """Run the detectors of ``config`` over all pictures below ``root``; existing answers are kept."""
    if IMAGE_TASKS[task] != 'det':
        raise ValueError(f'Detectors are for det and ins, not for {task}.')
    make_answers(root, load_machine_configs(config), task, jobs)


def keep_labelled(root: str | os.PathLike, task: str) -> list[str]:
    """Take scenes without labels, on which no detector finds anything when they are clean, out of the splits.

    Returns:
        The scenes that were taken out.

    Raises:
        ValueError: no scene of a split has labels.
    """
    folder = label_folder(root, task)
    skipped: list[str] = []
    for split in SPLITS:
        sources = read_split(Path(root), task, split)
        labelled = [source for source in sources if Path(label_paths(folder, task, source)['accuracy']).is_file()]
        if not labelled:
            raise ValueError(f'On no scene for {split} the detectors find anything: let them learn more (--epochs).')
        if len(labelled) < len(sources):
            skipped += sorted(set(sources) - set(labelled))
            write_rows(split_path(root, task, split), (SPLIT_COLUMNS['det'],), [(int(source),) for source in labelled])
    return skipped
