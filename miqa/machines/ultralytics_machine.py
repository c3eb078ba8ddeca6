"""Classifiers, detectors and instance segmenters in Ultralytics files.

Ultralytics is licensed under AGPL-3.0 (or a licence that one buys): who passes on, or serves over a network, what uses
it owes its source. It is an extra of its own, and nothing else here needs it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from miqa.keeping import sha256_of_file
from miqa.networks.torch_settings import settings_kept
from miqa.outside.checkpoint_files import CheckpointError
from miqa.outside.user_folders import keep_caches_of_libraries
from miqa.registry import MACHINES
from miqa.running import require
from miqa.taxonomy import check_choice

from .answers import answered_alike, detections, digest_of, runs_batches
from .base import ClassPrediction, Machine, Prediction

#: Ultralytics' words -> the tasks that such a model does.
TASKS_OF = {'classify': ('cls',), 'detect': ('det',), 'segment': ('ins', 'det'), 'pose': ('det',)}

#: What Ultralytics may be given, and whether such a file can hold code that runs when it is opened.
FILE_KINDS = {'.pt': True, '.onnx': False, '.engine': True}


def blue_first(image: np.ndarray) -> np.ndarray:
    """Return a uint8 RGB array (H, W, 3) in OpenCV's channel order, which Ultralytics takes arrays to be in."""
    return np.ascontiguousarray(image[..., ::-1])


@MACHINES.register_module()
class UltralyticsMachine(Machine):
    """A YOLO or RT-DETR of Ultralytics (AGPL-3.0) in a file, with Ultralytics' own letterboxing and suppression.

    **A .pt file is a pickle, and opening it runs what is in it; so does a TensorRT engine.** Name only files that you
    trust. Nothing is fetched: a file that is not there is an error. Ultralytics neither installs packages nor reports
    its use here, and keeps its settings in MIQA's cache folder (unless the variables YOLO_AUTOINSTALL, YOLO_OFFLINE
    and YOLO_CONFIG_DIR say otherwise).

    Args:
        file: ``.pt``, ``.onnx`` or ``.engine``.
        task: cls, det or ins; a model with masks or key points also does ``det``.
        weight: share in weighted labels, such as the published accuracy in percent.
        name: defaults to the file's stem.
        device: where the network runs.
        threshold: det, ins: answers with a lower score are dropped at once.
        options: further arguments of Ultralytics' ``predict``, such as ``dict(imgsz=1280, iou=0.6)``.
        batched: det, ins: put images of one size through the network together; default: on GPUs
            (a .pt file; others may take one image at a time).

    Raises:
        ImportError: ultralytics is not installed.
        FileNotFoundError: there is no such file.
        CheckpointError: the file is damaged or of another program.
        ValueError: the file is of another kind, the model does not do the task, or an option is unknown.
    """

    def __init__(
        self,
        file: str | os.PathLike,
        task: str,
        weight: float = 1.0,
        name: str | None = None,
        device: str = 'cpu',
        threshold: float = 0.01,
        options: dict | None = None,
        batched: bool | None = None,
    ):
        check_choice(task, ('cls', 'det', 'ins'), 'task of Ultralytics')
        super().__init__(name or Path(file).stem, task, weight)
        self.file = Path(file)
        if self.file.suffix.lower() not in FILE_KINDS:
            raise ValueError(f'{file} is not an Ultralytics file; it must end in {", ".join(FILE_KINDS)}.')
        if not self.file.is_file():
            raise FileNotFoundError(f'There is no file {file}. Models of Ultralytics are not fetched by their name.')
        self._sha256 = sha256_of_file(self.file)
        keep_caches_of_libraries()  # its import writes settings
        with settings_kept():  # its import leaves OpenCV one thread
            self.library = require('ultralytics', 'Models of Ultralytics (AGPL-3.0)')
        for key in options or {}:
            check_choice(key, self.library.utils.DEFAULT_CFG_DICT, 'argument of Ultralytics')
        word = next(word for word, tasks in TASKS_OF.items() if tasks[0] == task)
        try:
            self.model = self.library.YOLO(str(self.file), task=word, verbose=False)
        except Exception as error:  # whatever a damaged or strange file raises
            raise CheckpointError(
                f'{file} cannot be opened by Ultralytics: {" ".join(str(error).split())[:300]}'
            ) from error
        if task not in TASKS_OF.get(self.model.task, ()):
            raise ValueError(f'{file} holds a model for "{self.model.task}", which does not do {task}.')
        usual = {'conf': threshold, 'retina_masks': True} if task != 'cls' else {}
        self.options = {**usual, **(options or {}), 'device': device, 'verbose': False, 'save': False}
        self.device, self.together = device, self._runs_batches(device, batched)
        names = self.model.names
        self.classes = tuple(names[i] for i in sorted(names)) if isinstance(names, dict) else tuple(names)
        self.prepare = blue_first

    def _runs_batches(self, device: str, batched: bool | None) -> bool:
        # An exported file may take one image at a time and no more.
        if batched is None and self.file.suffix.lower() != '.pt':
            return False
        return runs_batches(device, batched) or (batched is None and self.task == 'cls')

    def predict_prepared(self, batch: list[np.ndarray]) -> list[Prediction]:
        """Return predictions for uint8 arrays (H, W, 3), blue first, in pixels of these."""

        def answer(members: list[int]) -> list[Prediction]:
            results = self.model.predict([np.asarray(batch[i]) for i in members], **self.options)
            return [self._answer(result) for result in results]

        # Images of one size at a time: Ultralytics pads a batch of mixed sizes otherwise than each image alone.
        return answered_alike((image.shape for image in batch), answer, self.together)

    def _answer(self, result) -> Prediction:
        if self.task == 'cls':
            return ClassPrediction(result.probs.data.float().cpu().numpy())
        masks = None
        if self.task == 'ins':
            empty = result.boxes.data.new_zeros((0, *result.orig_shape))
            masks = (result.masks.data if result.masks is not None else empty) > 0.5
        return detections(result.boxes.xyxy, result.boxes.conf, result.boxes.cls, masks)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the file and of the options."""
        options = {key: value for key, value in self.options.items() if key != 'device'}
        return digest_of(self._sha256, self.task, str(sorted(options.items())))

    def describe(self) -> dict:
        """Return the manifest's entry, with the file's name, the options and Ultralytics' version."""
        return {
            **super().describe(),
            'file': self.file.name,
            'options': str(self.options),
            'library': f'ultralytics {self.library.__version__} (AGPL-3.0)',
        }
