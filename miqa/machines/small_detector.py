"""Train a small MMDetection detector on a small data set, on the spot: for demonstrations, not for use."""

from __future__ import annotations

import os
from pathlib import Path

from miqa.keeping import atomic_write
from miqa.outside.config_files import read_config_file
from miqa.running import require


def train_small_detector(
    config: str | os.PathLike,
    images: str | os.PathLike,
    annotations: str | os.PathLike,
    out: str | os.PathLike,
    epochs: int,
) -> Path:
    """Train the detector of ``config`` on COCO annotations and write a config of machines that names it.

    The classes are those that the annotations use. Nothing is held out: a detector trained on fifty images knows
    these by heart and little else. A finished training in ``out`` is kept.

    Args:
        config: an MMDetection config whose ``num_classes`` and dataset are replaced, such as
            ``configs/detectors/atss_efficientnet_lite0.py``.
        images: folder of the images.
        annotations: COCO JSON.
        out: folder for config, checkpoint and log.
        epochs: passes over the images.

    Returns:
        Path of a config for ``run_machines.py``.

    Raises:
        ImportError: MMDetection or MMCV's operators are not installed.
        FileNotFoundError: the config or the annotations are missing.
    """
    for module in ('mmdet', 'mmcv._ext'):
        require(module, 'Training a detector')
    from mmengine.runner import Runner
    from pycocotools.coco import COCO

    out = Path(out).absolute()
    machines, checkpoint = out / 'machines.py', out / f'epoch_{epochs}.pth'
    if machines.is_file() and checkpoint.is_file():
        return machines
    truth = COCO(str(annotations))
    used = {item['category_id'] for item in truth.dataset['annotations']}
    names = [item['name'] for item in truth.dataset['categories'] if item['id'] in used]
    settings = read_config_file(config)
    settings.model.bbox_head.num_classes = len(names)
    for loader in ('train_dataloader', 'test_dataloader'):
        settings[loader].dataset.update(
            data_root='',
            ann_file=str(Path(annotations).absolute()),
            data_prefix={'img': f'{Path(images).absolute()}/'},
            metainfo={'classes': names},
        )
    settings.work_dir = str(out)
    settings.train_cfg.max_epochs = epochs
    settings.default_hooks.checkpoint.interval = epochs
    for schedule in settings.param_scheduler:
        if schedule.get('by_epoch', True):
            schedule.end = epochs
    out.mkdir(parents=True, exist_ok=True)
    settings.dump(out / 'detector.py')
    # The config keeps its test loader for later use; the Runner wants none without a test loop.
    settings.test_dataloader = None
    Runner.from_cfg(settings).train()
    with atomic_write(machines) as temporary:
        temporary.write_text(
            f"machines = [dict(type='MMDetMachine', config={str(out / 'detector.py')!r}, "
            f"checkpoint={str(checkpoint)!r}, task='det', name='small_detector')]\n",
            encoding='utf-8',
        )
    return machines
