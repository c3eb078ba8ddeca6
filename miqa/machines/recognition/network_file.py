"""A network file with everything that is known before its outputs are interpreted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from miqa.machines.exported_networks import ExportedNetwork

from .conventions import Convention
from .file_metadata import FileMetadata
from .trials import TrialPicture


@dataclass(frozen=True)
class NetworkFile:
    """A network, what its file says, and what the user says.

    Attributes:
        network: the network.
        metadata: of its file.
        task: cls, det, ins or seg.
        pictures: to try it on.
        classes: names of its classes, by the user.
        categories: names of annotated classes in the order of their ids.
        settings: checked options, see :data:`miqa.machines.recognition.options.FILE_OPTIONS`.
        progress: called with a sentence when something takes long.
    """

    network: ExportedNetwork
    metadata: FileMetadata
    task: str
    pictures: Sequence[TrialPicture] = ()
    classes: Sequence[str] | None = None
    categories: Sequence[str] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    progress: Callable[[str], None] | None = None

    @property
    def whole_pixels(self) -> bool:
        """The input takes pixels as they are, from 0 to 255."""
        return self.network.input.type is np.uint8

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the classes: those that the user gave if they can be, else the file's."""
        stored = self.metadata.names
        return tuple(self.classes) if self.classes and (not stored or len(self.classes) == len(stored)) else stored

    @property
    def _fixed(self) -> dict[str, Any]:
        fixed = {key: self.settings[key] for key in ('values', 'channels', 'resize', 'border') if key in self.settings}
        fixed |= {'values': 'byte'} if self.whole_pixels else {}
        return fixed | ({'channels': 'grey'} if self.network.input.channels == 1 else {})

    def with_settings(self, convention: Convention) -> Convention:
        """Return a convention with what is fixed by the user or the type of the input."""
        return replace(convention, **self._fixed)

    def allowed(self, conventions: Iterable[Convention]) -> list[Convention]:
        """Return conventions with what is fixed, each once."""
        return list(dict.fromkeys(map(self.with_settings, conventions)))

    def say(self, sentence: str) -> None:
        """Report progress with a sentence about the file."""
        if self.progress:
            self.progress(f'{self.network.file.name}: {sentence}')
