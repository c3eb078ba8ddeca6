"""Semantic segmenters of MMSegmentation."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from miqa.keeping.versions import versions_in_use
from miqa.networks.tensors import sha256_of_tensors
from miqa.outside.config_files import read_config_file
from miqa.registry import MACHINES
from miqa.running import require

from .answers import answered_alike, runs_batches, small_integers
from .base import Machine, SegmentationPrediction
from .openmmlab_weights import load_checkpoint
from .openmmlab_zoo import locate
from .weights import seeded


class MMSegPreparation:
    """MMSegmentation's test pipeline of a model, as a picklable function.

    Args:
        pipeline: list of transform configs whose first loads the image; what loads annotations is left out.
    """

    def __init__(self, pipeline: list[dict]):
        from mmcv.transforms import Compose

        self.config = [dict(step) for step in copy.deepcopy(pipeline) if 'LoadAnnotations' not in step['type']]
        self.config[0] = {'type': 'mmseg.LoadImageFromNDArray'}
        self.pipeline = Compose(self.config)

    def __call__(self, image: np.ndarray) -> dict:
        """Return ``inputs`` and ``data_samples`` of a uint8 RGB array (H, W, 3)."""
        # MMSegmentation's pipelines begin with OpenCV's channel order, blue first.
        return self.pipeline({'img': np.ascontiguousarray(image[..., ::-1])})


@MACHINES.register_module()
class MMSegMachine(Machine):
    """A semantic segmenter of MMSegmentation. Most need no compiled operators.

    Args:
        config: path of a config, or a name in MMSegmentation's zoo such as
            ``segformer_mit-b0_8xb2-160k_ade20k-512x512``.
        checkpoint: path or URL of the weights; ``'zoo'`` for the zoo's own (fetched once into PyTorch's hub folder);
            or None for random weights (only for tests). No code in the file runs.
        task: seg.
        weight: share in weighted labels, such as the published mean IoU in percent.
        name: defaults to the config's name.
        device: where the network runs.
        classes: class names where the checkpoint does not say them, or in other words.
        cfg_options: changes of config values, such as ``{'model.test_cfg.mode': 'slide'}``.
        seed: of random weights.
        batched: put images of one size through the network together; default: on GPUs.

    Raises:
        ImportError: MMSegmentation is not installed, or the model needs MMCV's compiled operators.
        FileNotFoundError: the config or checkpoint is missing.
        ValueError: the zoo has no such model; the config has no test pipeline.
        CheckpointError: the checkpoint does not fit the config.
    """

    prepare: MMSegPreparation

    def __init__(
        self,
        config: str | os.PathLike,
        checkpoint: str | None,
        task: str = 'seg',
        weight: float = 1.0,
        name: str | None = None,
        device: str = 'cpu',
        classes: Sequence[str] | None = None,
        cfg_options: dict | None = None,
        seed: int = 0,
        batched: bool | None = None,
    ):
        if task != 'seg':
            raise ValueError(f"A model of MMSegmentation is for seg, not for {task}. MMDetection's do det and ins.")
        require('mmseg', "MMSegmentation's models")
        import mmseg.models  # noqa: F401  its classes register themselves
        from mmengine.model.utils import revert_sync_batchnorm
        from mmengine.registry import DefaultScope
        from mmseg.registry import MODELS

        path, weights = locate(config, checkpoint, 'mmseg')
        settings = read_config_file(path)
        settings.merge_from_dict(cfg_options or {})
        without_start_weights(settings.model)
        pipeline = settings.get('test_pipeline') or (settings.get('test_dataloader') or {}).get('dataset', {}).get(
            'pipeline'
        )
        if not pipeline:
            raise ValueError(f'{path} has no test_pipeline, which says how pictures are prepared.')
        # The scope in which names of classes are looked up ends with this block.
        with DefaultScope.overwrite_default_scope('mmseg'), seeded(seed):
            network = MODELS.build(settings.model)
            self.prepare = MMSegPreparation(pipeline)
        meta = load_checkpoint(network, weights) if weights is not None else {}
        self.network = revert_sync_batchnorm(network).to(device).eval()
        super().__init__(name or path.stem, 'seg', weight, classes or meta.get('classes'))
        self.device, self.together = device, runs_batches(device, batched)
        self.settings, self.config_name, self.checkpoint = settings, path.name, weights

    @torch.inference_mode()
    def predict_prepared(self, batch: list[dict]) -> list[SegmentationPrediction]:
        """Return the class of each pixel of the images before preparation."""

        def answer(members: list[int]) -> list[SegmentationPrediction]:
            data = {key: [batch[i][key] for i in members] for key in ('inputs', 'data_samples')}
            maps = [sample.pred_sem_seg.data[0].cpu().numpy() for sample in self.network.test_step(data)]
            return [SegmentationPrediction(small_integers(labels)) for labels in maps]

        keys = (
            (tuple(item['inputs'].shape), item['data_samples'].metainfo['ori_shape']) for item in batch
        )  # fmt: skip
        return answered_alike(keys, answer, self.together)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights, the model's config and the test pipeline."""
        texts = (str(self.settings.model.to_dict()), str(self.prepare.config))
        return sha256_of_tensors(self.network.state_dict(), *texts)

    def describe(self) -> dict:
        """Return the manifest's entry, with config, checkpoint and the versions of MMSegmentation and MMCV."""
        return {
            **super().describe(),
            'config': self.config_name,
            'checkpoint': None if self.checkpoint is None else Path(self.checkpoint).name,
            'libraries': versions_in_use(('onedl-mmsegmentation', 'onedl-mmcv', 'mmsegmentation', 'mmcv', 'torch')),
        }


def without_start_weights(config) -> None:
    """Take what starts a training out of a model's config and its parts: a checkpoint has all weights."""
    if isinstance(config, dict):
        for key in ('pretrained', 'init_cfg'):
            value = config.get(key)
            if isinstance(value, str) or (isinstance(value, dict) and value.get('type') == 'Pretrained'):
                config[key] = None
        for value in config.values():
            without_start_weights(value)
    elif isinstance(config, list | tuple):
        for value in config:
            without_start_weights(value)
