"""The interface of annotation formats: how one is recognised, its reader, and what it holds."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from miqa.outside.names import printable

from .coco_writing import LabelledBox, Picture

#: What a format holds, by which its reader's result is stored: objects in pictures, COCO's own file, a class for each
#: picture, or a map of classes for each picture.
OBJECTS, COCO, CLASSES, MAPS = 'objects', 'coco', 'classes', 'maps'


#: Words of remarks that an s does not turn into the singular or the plural -> the singular.
_SINGULAR = {'s': '', 'es': '', 'are': 'is', 'have': 'has', 'reach': 'reaches', 'count': 'counts', 'they': 'it'}


#: Remark on objects that LabelMe's score or CVAT's source marks; people may have corrected them since.
PREDICTED = '{} object{s} {are} marked as found by a network; a machine is then compared with that network'


class Remarks:
    """Counts what a reader did not take for an ordinary entry, so that nothing is skipped without a word."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._first: dict[str, str] = {}

    def add(self, sentence: str, location: str = '', count: int = 1) -> None:
        """Count one entry.

        Args:
            sentence: what was done, with ``{}`` for the number of such entries, and in braces what depends on it, as
                it is in the plural: ``{} object{s} {have} no area``. Names of the user's belong into ``location``.
            location: the entry; the first one is named.
            count: of entries.
        """
        if count:
            self._counts[sentence] = self._counts.get(sentence, 0) + count
            self._first.setdefault(sentence, location)

    def lines(self) -> list[str]:
        """Return a sentence for each kind of entry."""
        return [
            re.sub(r'\{(\w*)\}', functools.partial(_counted, count), sentence)
            + (f', for example {printable(self._first[sentence])}' if self._first[sentence] else '')
            for sentence, count in self._counts.items()
        ]


def _counted(count: int, braces: re.Match) -> str:
    """Return the number itself where there is no word in braces, else the word as it is said of so many."""
    word = braces[1]
    return str(count) if not word else word if count != 1 else _SINGULAR.get(word, f'{word}s')


@dataclass(frozen=True)
class Request:
    """What a reader is requested.

    Attributes:
        path: of the annotations.
        pictures: whose annotations are wanted.
        folder: of the pictures.
        classes: names of the classes as the user gave them, in the order of their index; or None.
        known: names of the machines' classes in their order, where they name them.
        class_count: number of classes of the machines, if known.
        ignored: the user has said which value in maps of classes does not count.
        as_shown: the user has said that annotations of pictures that EXIF turns are of these as shown.
    """

    path: Path
    pictures: Sequence[Picture]
    folder: Path
    classes: Sequence[str] | None = None
    known: Sequence[str] | None = None
    class_count: int | None = None
    ignored: int | None = None
    as_shown: bool = False


@dataclass
class ReadObjects:
    """What a reader of objects returns.

    Attributes:
        objects: name of a picture -> its objects; a picture that is missing has none.
        categories: names of all classes.
        sizes: name of a picture -> width and height by the annotations, if stated.
        remarks: what was skipped, or read in a way that the user should know.
        in_shares: boxes were shares of the sides, so that they fit a picture turned in any way.
    """

    objects: dict[str, list[LabelledBox]]
    categories: list[str]
    sizes: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    remarks: Remarks = field(default_factory=Remarks)
    in_shares: bool = False


@dataclass
class ReadClasses:
    """What a reader of classes returns.

    Attributes:
        indices: name of a picture -> index of its class.
        remarks: what was skipped, or read in a way that the user should know.
        order: names of the classes as they are counted, where nothing but the order of the names says it.
    """

    indices: dict[str, int]
    remarks: Remarks = field(default_factory=Remarks)
    order: list[str] | None = None


@dataclass(frozen=True)
class AnnotationFormat:
    """A format of annotations.

    Attributes:
        name: a word for it.
        words: what it is, in an error's list of what may be given.
        tasks: that can use it.
        holds: :data:`OBJECTS`, :data:`COCO`, :data:`CLASSES` or :data:`MAPS`.
        read: from a request to :class:`ReadObjects`, ``CocoFile``, :class:`ReadClasses` or ``MapFolder``.
        file_suffixes: endings of a single file of this format, in lower case.
        folder_suffix: ending of the files of which a folder of this format holds more than of any other.
        is_folder: recognises a folder by itself, from its path and the folder of pictures; goes before
            ``folder_suffix``.
        takes_names: uses the names of classes that the user gives; others name their classes themselves.
    """

    name: str
    words: str
    tasks: tuple[str, ...]
    holds: str
    read: Callable[[Request], Any]
    file_suffixes: tuple[str, ...] = ()
    folder_suffix: str | None = None
    is_folder: Callable[[Path, Path], bool] | None = None
    takes_names: bool = False
