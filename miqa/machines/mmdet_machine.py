"""Detectors and instance segmenters of MMDetection."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Sequence

import numpy as np
import torch

from miqa.keeping.versions import versions_in_use
from miqa.networks.tensors import sha256_of_tensors
from miqa.outside.config_files import read_config_file
from miqa.registry import MACHINES
from miqa.running import require

from .answers import answered_alike, detections
from .base import DetectionPrediction, Machine
from .openmmlab_weights import load_checkpoint
from .openmmlab_zoo import locate


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
            folder); or None for random weights (only for tests). No code in the file runs.
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
        CheckpointError: the checkpoint does not fit the config.
    """

    prepare: MMDetPreparation

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
        from mmengine.registry import DefaultScope

        path, weights = locate(config, checkpoint)
        settings = read_config_file(path)
        # Weights for the start of a training are not wanted: the checkpoint has all.
        backbone = settings.model.get('backbone', {})
        for key in ('init_cfg', 'pretrained'):
            if key in backbone:
                backbone[key] = None
        settings.merge_from_dict(cfg_options or {})
        # MMDetection makes its scope the default of the whole process; that ends with this block.
        with DefaultScope.overwrite_default_scope('mmdet'):
            self.network = init_detector(settings, None, device=device, cfg_options={})
            self.device = device
            self.prepare = MMDetPreparation(get_test_pipeline_cfg(settings))
        if weights is not None:
            self.network.dataset_meta.update(load_checkpoint(self.network, weights))
        names = classes or self.network.dataset_meta.get('classes')
        super().__init__(name or path.stem, task, weight, names)
        self.config_name, self.checkpoint = path.name, weights

    @torch.inference_mode()
    def predict_prepared(self, batch: list[dict]) -> list[DetectionPrediction]:
        """Return detections for prepared images, in pixels of the images before preparation."""

        def answer(members: list[int]) -> list[DetectionPrediction]:
            data = {key: [batch[i][key] for i in members] for key in ('inputs', 'data_samples')}
            return [self._answer(sample.pred_instances) for sample in self.network.test_step(data)]

        # Images of one size at a time: padding to a common size would let neighbours in a batch change a result.
        return answered_alike((tuple(item['inputs'].shape) for item in batch), answer)

    def _answer(self, instances) -> DetectionPrediction:
        masks = None
        if self.task == 'ins':
            if 'masks' not in instances:
                raise ValueError(f'{self.name} returns no masks, so it is a machine for det, not for ins.')
            masks = instances.masks
        return detections(instances.bboxes, instances.scores, instances.labels, masks)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights, the model's config and the test pipeline."""
        texts = (str(self.network.cfg.model.to_dict()), str(self.prepare.config))
        return sha256_of_tensors(self.network.state_dict(), *texts)

    def describe(self) -> dict:
        """Return the manifest's entry, with config, checkpoint and the versions of MMDetection and MMCV."""
        return {
            **super().describe(),
            'config': self.config_name,
            'checkpoint': None if self.checkpoint is None else self.checkpoint.rsplit('/', 1)[-1],
            'libraries': versions_in_use(('onedl-mmdetection', 'onedl-mmcv', 'mmdet', 'mmcv', 'torch')),
        }
