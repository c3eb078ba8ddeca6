"""Detectors and instance segmenters of MMDetection."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..registry import MACHINES
from ..utils import require
from ..utils.versions import versions_in_use
from .base import DetectionPrediction, Machine, hash_of_weights
from .masks import encode_masks
from .mmdet_zoo import zoo_model


class MMDetPreparation:
    """MMDetection's test pipeline of a model, as a picklable function.

    Args:
        pipeline: list of transform configs whose first loads the image.
    """

    def __init__(self, pipeline: list[dict]):
        from mmcv.transforms import Compose

        self.config = copy.deepcopy(pipeline)
        self.config[0]['type'] = 'mmdet.LoadImageFromNDArray'
        self.pipeline = Compose(self.config)

    def __call__(self, image: np.ndarray) -> dict:
        """Return ``inputs`` and ``data_samples`` of a uint8 RGB array (H, W, 3)."""
        # MMDetection's pipelines begin with OpenCV's channel order, blue first.
        return self.pipeline({'img': np.ascontiguousarray(image[..., ::-1]), 'img_id': 0})


@MACHINES.register_module()
class MMDetMachine(Machine):
    """A detector (``task='det'``) or instance segmenter (``task='ins'``) of MMDetection.

    Args:
        config: path of a config, or a name in MMDetection's zoo such as ``rtmdet_tiny_8xb32-300e_coco``.
        checkpoint: path or URL of the weights; ``'zoo'`` for the zoo's own (downloaded once into PyTorch's hub
            folder); or None for random weights (only for tests).
        task: det or ins.
        weight: share in weighted labels, such as the published AP in percent.
        name: defaults to the config's name.
        device: where the network runs.
        classes: class names where neither checkpoint nor config says them; the 80 of COCO otherwise.
        cfg_options: changes of config values, such as ``{'model.test_cfg.score_thr': 0.01}``.

    Raises:
        ImportError: MMDetection or MMCV's operators are not installed.
        FileNotFoundError: the config or checkpoint is missing.
        ValueError: the zoo has no such model.
    """

    def __init__(
        self,
        config: str | os.PathLike,
        checkpoint: str | None,
        task: str,
        weight: float = 1.0,
        name: str | None = None,
        device: str = 'cpu',
        classes: Sequence[str] | None = None,
        cfg_options: dict | None = None,
    ):
        for module in ('mmdet', 'mmcv._ext'):
            require(module, "MMDetection's models")
        from mmdet.apis import init_detector
        from mmdet.utils import get_test_pipeline_cfg
        from mmengine.config import Config
        from mmengine.registry import DefaultScope

        path, weights = locate(config, checkpoint)
        settings = Config.fromfile(path)
        # Weights for the start of a training are not wanted: the checkpoint has all.
        backbone = settings.model.get('backbone', {})
        for key in ('init_cfg', 'pretrained'):
            if key in backbone:
                backbone[key] = None
        settings.merge_from_dict(cfg_options or {})
        # MMDetection makes its scope the default of the whole process; that ends with this block.
        with DefaultScope.overwrite_default_scope('mmdet'):
            self.network = init_detector(settings, weights, device=device, cfg_options={})
            self.prepare = MMDetPreparation(get_test_pipeline_cfg(settings))
        names = classes or self.network.dataset_meta.get('classes')
        super().__init__(name or path.stem, task, weight, names)
        self.config_name, self.checkpoint = path.name, weights
        self._fingerprint = None

    @torch.inference_mode()
    def predict_prepared(self, batch: list[dict]) -> list[DetectionPrediction]:
        """Return detections for prepared images, in pixels of the images before preparation."""
        answers: list[DetectionPrediction | None] = [None] * len(batch)
        # Images of one size at a time: padding to a common size would let neighbours in a batch change a result.
        groups: dict[tuple, list[int]] = {}
        for i, item in enumerate(batch):
            groups.setdefault(tuple(item['inputs'].shape), []).append(i)
        for members in groups.values():
            data = {key: [batch[i][key] for i in members] for key in ('inputs', 'data_samples')}
            for i, sample in zip(members, self.network.test_step(data), strict=True):
                answers[i] = self._answer(sample.pred_instances)
        return answers

    def _answer(self, instances) -> DetectionPrediction:
        masks = None
        if self.task == 'ins':
            if 'masks' not in instances:
                raise ValueError(f'{self.name} returns no masks, so it is a system for det, not for ins.')
            masks = encode_masks(instances.masks.cpu().numpy())
        return DetectionPrediction(
            instances.bboxes.cpu().numpy().astype(np.float32),
            instances.scores.cpu().numpy().astype(np.float32),
            instances.labels.cpu().numpy().astype(np.int64),
            masks,
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights, the model's config and the test pipeline."""
        if self._fingerprint is None:
            texts = (str(self.network.cfg.model.to_dict()), str(self.prepare.config))
            self._fingerprint = hash_of_weights(self.network.state_dict(), *texts)
        return self._fingerprint

    def describe(self) -> dict:
        """Return the manifest's entry, with config, checkpoint and the versions of MMDetection and MMCV."""
        return {
            **super().describe(),
            'config': self.config_name,
            'checkpoint': None if self.checkpoint is None else self.checkpoint.rsplit('/', 1)[-1],
            'libraries': versions_in_use(('onedl-mmdetection', 'onedl-mmcv', 'mmdet', 'mmcv', 'torch')),
        }


def locate(config: str | os.PathLike, checkpoint: str | None) -> tuple[Path, str | None]:
    """Return the path of a config and the path or URL of its weights, looking into the zoo where asked.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the zoo has no such model, or no weights of it.
    """
    if Path(config).suffix == '.py':
        path = Path(config)
        if not path.is_file():
            raise FileNotFoundError(f'There is no MMDetection config {path}.')
    else:
        path = zoo_model(str(config)).config
    if checkpoint == 'zoo':
        checkpoint = zoo_model(path.stem).weights
        if checkpoint is None:
            raise ValueError(f"MMDetection's zoo has no weights for {path.stem}. Give a checkpoint.")
    elif checkpoint is not None and '://' not in str(checkpoint) and not Path(checkpoint).is_file():
        raise FileNotFoundError(f"There is no checkpoint {checkpoint}; or say 'zoo' for the model zoo's weights.")
    return path, None if checkpoint is None else str(checkpoint)
