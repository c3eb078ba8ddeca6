"""Classifiers, detectors, instance and semantic segmenters of Hugging Face transformers."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from miqa.networks.tensors import sha256_of_tensors
from miqa.outside.hub import hub_or_cache
from miqa.registry import MACHINES
from miqa.running import require

from .answers import answered_alike, class_predictions, detections, runs_batches, small_integers
from .base import DetectionPrediction, Machine, Prediction, SegmentationPrediction, name_of_model

#: Task -> kinds of models that do it, the first that supports the configuration is taken.
_KINDS = {
    'cls': ('ImageClassification',),
    'det': ('ObjectDetection',),
    'ins': ('UniversalSegmentation', 'InstanceSegmentation'),
    'seg': ('SemanticSegmentation', 'UniversalSegmentation'),
}


_LISTS = ('patch_offsets',)  # Inputs that are lists of tensors: where the parts lie that an image was cut into (EoMT)


def _shapes(item: dict[str, Any]) -> tuple:
    return tuple(sorted((key, tuple(value.shape)) for key, value in item.items() if torch.is_tensor(value)))


class TransformersPreparation:
    """An image processor of transformers, as a picklable function.

    Args:
        processor: as ``AutoImageProcessor`` loads it.
    """

    def __init__(self, processor):
        self.processor = processor

    def __call__(self, image: np.ndarray) -> tuple[dict[str, Any], tuple[int, int]]:
        """Return what the network takes of a uint8 RGB array (H, W, 3), and (H, W).

        Tensors have a leading 1, or as many parts as the image is cut into; then there is a list that says where they
        lie.
        """
        prepared = self.processor(images=image, input_data_format='channels_last', return_tensors='pt')
        return {key: value for key, value in prepared.items() if torch.is_tensor(value) or key in _LISTS}, image.shape[
            :2
        ]


@MACHINES.register_module()
class TransformersMachine(Machine):
    """A model of transformers with its own image processor, from the Hugging Face Hub or a folder.

    Only safetensors files are read, and no code that comes with a model ever runs.

    Args:
        model: a name of the Hub, such as ``PekingU/rtdetr_r50vd``, or a folder with ``config.json``,
            ``preprocessor_config.json`` and ``model.safetensors``.
        task: cls, det, ins or seg.
        weight: share in weighted labels, such as the published accuracy in percent.
        name: defaults to ``model`` with dashes for slashes, or the folder's name.
        device: where the network runs.
        revision: a commit, tag or branch of the Hub. A commit makes a list of machines mean the same for ever.
        threshold: det, ins: answers with a lower score are dropped at once.
        batched: det, ins, seg: put images of one size through the network together; default: on GPUs.

    Raises:
        ImportError: transformers is not installed.
        FileNotFoundError: the folder is missing.
        ValueError: the model does not do the task, needs code of its own, has no safetensors file, or has no weights
            of the part that answers.
        ConnectionError: the Hub cannot be reached, or has no such model.
    """

    def __init__(
        self,
        model: str | os.PathLike,
        task: str,
        weight: float = 1.0,
        name: str | None = None,
        device: str = 'cpu',
        revision: str | None = None,
        threshold: float = 0.01,
        batched: bool | None = None,
    ):
        library = require('transformers', 'Models of Hugging Face')
        local = Path(model).is_dir()
        super().__init__(name or name_of_model(model), task, weight)
        self.model_name, self.revision, self.threshold = Path(model).name if local else str(model), revision, threshold
        place = {'revision': revision or 'main', 'trust_remote_code': False, 'local_files_only': local}
        try:
            with contextlib.nullcontext() if local else hub_or_cache():
                config = library.AutoConfig.from_pretrained(model, **place)
                kind = _kind_of(library, config, task, self.model_name)
                # The checkpoint has the backbone's weights, too: nothing else needs to be fetched.
                if getattr(config, 'use_pretrained_backbone', False):
                    config.use_pretrained_backbone = False
                processor = library.AutoImageProcessor.from_pretrained(model, **place)
                network, loaded = kind.from_pretrained(
                    model, config=config, use_safetensors=True, output_loading_info=True, **place
                )
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise _explained(error, model, local) from error
        _check_whole(network, loaded['missing_keys'], self.model_name, task)
        self.library = library
        self.processor, self.network = processor, network.to(device).eval()
        self.device, self.together = device, runs_batches(device, batched)
        names = config.id2label or {}
        self.classes = tuple(str(names.get(i, f'LABEL_{i}')) for i in range(max(names, default=-1) + 1)) or None
        self.prepare = TransformersPreparation(processor)

    @torch.inference_mode()
    def predict_prepared(self, batch: list) -> Sequence[Prediction]:
        """Return predictions for prepared images, in pixels of the images before preparation."""

        def answer(members: list[int]) -> Sequence[Prediction]:
            inputs = {key: self._joined([batch[i][0][key] for i in members]) for key in batch[members[0]][0]}
            return self._answers(self.network(**inputs), [batch[i][1] for i in members])

        together = (self.together or self.task == 'cls') and not any(key in item for item, _ in batch for key in _LISTS)
        keys = ((_shapes(item), None if self.task == 'cls' else size) for item, size in batch)
        return answered_alike(keys, answer, together)

    def _joined(self, values: list) -> Any:
        """Return the values of one input of several images on the device, in the type of the weights."""
        if not torch.is_tensor(values[0]):
            return [value.to(self.device) for value in values[0]]
        joined = torch.cat(values).to(self.device)
        return joined.to(self.network.dtype) if joined.is_floating_point() else joined

    def _answers(self, outputs, sizes: list[tuple[int, int]]) -> Sequence[Prediction]:
        if self.task == 'cls':
            return class_predictions(outputs.logits)
        if self.task == 'seg':
            maps = self.processor.post_process_semantic_segmentation(outputs, target_sizes=sizes)
            return [SegmentationPrediction(small_integers(labels.cpu().numpy())) for labels in maps]
        options = {'threshold': self.threshold, 'target_sizes': sizes}
        if self.task == 'det':
            processed = self.processor.post_process_object_detection(outputs, **options)
            return [detections(item['boxes'], item['scores'], item['labels']) for item in processed]
        finish = self.processor.post_process_instance_segmentation
        if 'return_binary_maps' in inspect.signature(finish).parameters:
            # Instances may overlap: a map that gives each pixel to one of them would cut the others.
            options['return_binary_maps'] = True
        return [_instances(item, size) for item, size in zip(finish(outputs, **options), sizes, strict=True)]

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights, the configuration, the image processor and the threshold."""
        config = self.network.config.to_json_string(use_diff=False)
        texts = (self.task, config, self.processor.to_json_string(), str(self.threshold))
        return sha256_of_tensors(self.network.state_dict(), *texts)

    def describe(self) -> dict:
        """Return the manifest's entry, with model, revision and the version of transformers."""
        return {
            **super().describe(),
            'model': self.model_name,
            'revision': self.revision or getattr(self.network.config, '_commit_hash', None),
            'library': f'transformers {self.library.__version__}',
            'processor': type(self.processor).__name__,
        }


def _kind_of(library, config, task: str, model: str):
    if config.model_type == 'oneformer':
        raise ValueError(f'{model} is a OneFormer, which needs a text beside the image. Choose a Mask2Former, say.')
    for kind in _KINDS[task]:
        mapping = getattr(library, f'MODEL_FOR_{_SNAKE[kind]}_MAPPING')
        if type(config) in mapping:
            return getattr(library, f'AutoModelFor{kind}')
    raise ValueError(f'{model} is a {config.model_type}, which transformers does not know as a model for {task}.')


def _check_whole(network: torch.nn.Module, missing: Iterable[str], model: str, task: str) -> None:
    """Raise a ValueError where weights are missing, in place of which transformers puts random ones."""
    absent = sorted(set(missing) & {name for name, _ in network.named_parameters()})
    if absent:
        raise ValueError(
            f'{model} has no weights for {len(absent)} tensors of a model for {task}, for example {absent[0]}: it was '
            'not trained for that, and its answers would be random. Name a model that was.'
        )


_SNAKE = {
    'ImageClassification': 'IMAGE_CLASSIFICATION',
    'ObjectDetection': 'OBJECT_DETECTION',
    'UniversalSegmentation': 'UNIVERSAL_SEGMENTATION',
    'InstanceSegmentation': 'INSTANCE_SEGMENTATION',
    'SemanticSegmentation': 'SEMANTIC_SEGMENTATION',
}


def _explained(error: Exception, model, local: bool) -> Exception:
    """Turn what transformers raises into a sentence of one kind."""
    text = ' '.join(str(error.args[0] if error.args else error).split())
    if 'trust_remote_code' in text or 'custom code' in text:
        return ValueError(f'{model} needs Python code that comes with it; such code is never run here.')
    if isinstance(error, OSError) and 'safetensors' in text:
        return ValueError(
            f'{model} has no model.safetensors; files that may hold code are not read. Load it once with transformers '
            f'where you trust it, and write it anew: model.save_pretrained(FOLDER, safe_serialization=True).'
        )
    if isinstance(error, OSError) and not local:
        return ConnectionError(
            f'There is no folder {model}, and the Hub does not give a model of that name ({text[:200]}). Without a '
            f'connection, fetch the model elsewhere (hf download {model} --local-dir FOLDER) and name its folder.'
        )
    return type(error)(text) if isinstance(error, ValueError | ImportError) else ValueError(f'{model}: {text}')


def _instances(output: dict, size: tuple[int, int]) -> DetectionPrediction:
    """Turn an answer of transformers to one image into masks and the boxes around them."""
    from torchvision.ops import masks_to_boxes

    segments = output['segments_info']
    if not segments:
        none = torch.zeros(0)
        return detections(none.reshape(0, 4), none, none, torch.zeros(0, *size, dtype=torch.bool))
    maps = output['segmentation']
    masks = maps > 0 if maps.ndim == 3 else torch.stack([maps == item['id'] for item in segments])
    non_empty = masks.flatten(1).any(1)
    masks, segments = masks[non_empty], [item for item, some in zip(segments, non_empty.tolist(), strict=True) if some]
    boxes = masks_to_boxes(masks)
    boxes[:, 2:] += 1  # the last row and column of a mask belong to it
    scores, labels = (torch.tensor([item[key] for item in segments]) for key in ('score', 'label_id'))
    return detections(boxes, scores, labels, masks)
