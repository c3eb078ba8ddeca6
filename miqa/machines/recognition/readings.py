"""One reading of a detector's outputs, and helpers shared by all searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from miqa.machines.base import DetectionPrediction
from miqa.machines.exported_networks import SIZE_INPUTS, ExportedNetwork
from miqa.machines.onnx_layouts import LAYOUTS, LayoutOptions
from miqa.machines.onnx_preparation import Placement

from .conventions import Convention
from .file_metadata import FileMetadata

#: Channels of features (SAM, CLIP), which no usual set of classes has.
FEATURE_WIDTHS = (64, 128, 256, 384, 512, 768, 1024, 1280)


class UnclearLayout(ValueError):
    """The meaning of a file's outputs is ambiguous; the message asks one question."""


@dataclass(frozen=True, eq=False)
class Reading:
    """One way to read the outputs.

    Attributes:
        layout: key of :data:`miqa.machines.onnx_layouts.LAYOUTS`.
        words: what it is, for people.
        convention: how pictures usually get into such a network.
        options: of :class:`miqa.machines.onnx_layouts.LayoutOptions`.
        names: role of an output -> its name, or its names.
        classes: number of classes; None if unknown.
    """

    layout: str
    words: str
    convention: Convention
    options: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    classes: int | None = None

    def arguments(self) -> dict:
        """Return the arguments of a machine."""
        named = {f'{role}_name': name for role, name in self.names.items()}
        return {'layout': self.layout, **named, 'layout_options': dict(self.options)}

    def read(self, outputs: Mapping[str, np.ndarray], place: Placement, threshold: float = 0.01) -> DetectionPrediction:
        """Return what the outputs of one picture mean, as a machine that is so configured does."""
        function, usual = LAYOUTS[self.layout]
        options = {'classes': self.classes, **self.options}
        names = {**usual, **self.names}
        return function(dict(outputs), place, LayoutOptions(names, threshold=threshold, **options))


@dataclass(frozen=True)
class Observed:
    """Facts about a network before its outputs are interpreted.

    Attributes:
        network: the network.
        metadata: what its file says.
        size: (height, width) of the pictures that were tried.
        samples: outputs by name, for each picture and range of values that was tried; finite numbers alone.
        pictures: (height, width) of the picture of each sample.
        classes: number of classes, if the user or the file states it.
        same_for_all_sizes: the network's input of the picture's size does not change what it finds.
    """

    network: ExportedNetwork
    metadata: FileMetadata
    size: tuple[int, int]
    samples: Sequence[Mapping[str, np.ndarray]]
    pictures: Sequence[tuple[int, int]] = ()
    classes: int | None = None
    same_for_all_sizes: bool = False

    @property
    def names(self) -> list[str]:
        """Names of the outputs."""
        return self.network.output_names

    def arrays(self, name: str) -> list[np.ndarray]:
        """Return an output in every sample, without its batch axis where that is 1."""
        return [sample[name][0] if sample[name].shape[:1] == (1,) else sample[name] for sample in self.samples]

    def tables(self, name: str) -> list[np.ndarray]:
        """Return an output in every sample as (N, last axis)."""
        return [array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1) for array in self.raw(name)]

    def raw(self, name: str) -> list[np.ndarray]:
        """Return an output of every sample, unchanged."""
        return [sample[name] for sample in self.samples]

    @property
    def knows_the_picture(self) -> bool:
        """The network is given the size of the picture, and answers in pixels of it."""
        return bool(SIZE_INPUTS & set(self.network.extra_inputs)) and not self.same_for_all_sizes

    @property
    def free_size(self) -> bool:
        """The network takes pictures of any size."""
        return None in self.network.input.size

    def shapes(self) -> str:
        """List the outputs with their shapes, for messages."""
        return ', '.join(f'{name} {self.samples[0][name].shape}' for name in self.names)


def box_unit(boxes: np.ndarray, observed: Observed) -> str:
    """Return the unit of coordinates, (N, 4): ``relative``, ``image`` or ``input``."""
    # Boxes that touch the border may leave it a little; no detector gives boxes of a pixel or two alone.
    if boxes.size and float(np.abs(boxes).max()) <= 2:
        return 'relative'
    return 'image' if observed.knows_the_picture else 'input'


def corner_share(boxes: np.ndarray) -> float:
    """Return which share of boxes (N, 4) can be two corners: the second right of and below the first."""
    return float(((boxes[:, 2] >= boxes[:, 0]) & (boxes[:, 3] >= boxes[:, 1])).mean()) if len(boxes) else 1.0


def has_word(name: str, *words: str) -> bool:
    """Return True if the name of an output holds one of the words."""
    return any(word in name.casefold() for word in words)
