"""A folder of class maps, one PNG file per picture; their values are checked before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from miqa.annotations.class_names import checked_names
from miqa.outside.regular_files import PICTURE_BYTES, read_regular
from miqa.outside.walking import Walker, raise_problem

from .class_map import IGNORED, NAMES_FILE, class_map_and_colours, class_names
from .coco_writing import Picture
from .files import files_of_pictures
from .format import MAPS, AnnotationFormat, Remarks, Request

_LISTED = 8  # Highest values of maps that a message lists


@dataclass
class MapFolder:
    """What the reader returns.

    Attributes:
        paths: name of a picture -> its map.
        names: of the classes; None where nothing names them.
        remarks: what the user should know.
        values: of all maps that were counted: value -> how many maps have it; and the first of them.
        colours: value -> its colour in palettes, and the first map that has it.
    """

    paths: dict[str, Path]
    names: tuple[str, ...] | None
    request: Request
    remarks: Remarks = field(default_factory=Remarks)
    values: Counter[int] = field(default_factory=Counter)
    first: dict[int, Path] = field(default_factory=dict)
    colours: dict[int, tuple[tuple[int, ...], Path]] = field(default_factory=dict)

    def read(self, picture: Picture) -> bytes:
        """Read the map of a picture, count its values, and return the bytes of its file.

        Raises:
            ValueError: it is not a map, or not of the picture's size.
        """
        path = self.paths[picture.name]
        data = read_regular(path, PICTURE_BYTES, kind='map of classes')
        pixels, colours = class_map_and_colours(data, path)
        if pixels.shape != (picture.size[1], picture.size[0]):
            raise ValueError(
                f'{path} has {pixels.shape[1]}x{pixels.shape[0]} pixels, but {picture.path} has '
                f'{picture.size[0]}x{picture.size[1]}: a map must have the size of its picture.'
            )
        for value in np.flatnonzero(np.bincount(pixels.ravel())).tolist():
            self.values[value] += 1
            self.first.setdefault(value, path)
            if colours is not None and value < len(colours):
                self._check_colour(value, tuple(colours[value].tolist()), path)
        return data

    def _check_colour(self, value: int, colour: tuple[int, ...], path: Path) -> None:
        """Raise a ValueError where a value has another colour than in a map before: each has a palette of its own."""
        before, place = self.colours.setdefault(value, (colour, path))
        if before != colour:
            raise ValueError(
                f'The value {value} is {before} in {place} and {colour} in {path}: each map has a palette of its own, '
                "so write each pixel's class index instead."
            )

    def check(self) -> None:
        """Check the values of all maps that were read.

        Raises:
            ValueError: values are those of no class, or nothing tells whether 255 is a class or does not count.
        """
        classes = sorted(set(self.values) - {IGNORED})
        names = self.names or self.request.known
        count = len(names) if names else self.request.class_count
        if len(classes) == 1 and len(self.paths) > 1 and (count is None or count > 1):
            self.remarks.add(f'all pixels that count have one value, {classes[0]}: are the maps empty?')
        ask = IGNORED in self.values and self.request.ignored != IGNORED
        if count is not None:
            if strange := [value for value in classes if value >= count]:
                raise ValueError(self._strange(strange, count, names))
            missing = [index for index in range(count) if index not in self.values]
            if ask and missing and (self.names or len(classes) < 2):
                raise ValueError(self._unclear(missing, names))
        elif ask and len(classes) < 2:
            raise ValueError(self._unclear([], None))
        elif classes and classes[-1] >= 4 * len(classes):
            raise ValueError(
                f'The maps in {self.request.path} hold the values {self._listed(classes)}, and nothing names the '
                f'classes: are these indices? {_what_to_write(None)} Name the classes in {NAMES_FILE} beside the maps '
                '(one name a line, from index 0), or say --classes NAME NAME ...'
            )

    def _strange(self, strange: Sequence[int], count: int, names: Sequence[str] | None) -> str:
        whose = 'named' if self.names else 'of the machines'
        return (
            f'{self.first[strange[0]]} has pixels of the value {strange[0]}, which no class has '
            f'({self.values[strange[0]]} of {len(self.paths)} maps; all values: {self._listed(sorted(self.values))}; '
            f'classes {whose}: {count}). {_what_to_write(names)}'
        )

    def _unclear(self, missing: Sequence[int], names: Sequence[str] | None) -> str:
        never = f' and none has the value {missing[0]}' if missing else ' and the only other value is 0'
        never += f', the class {names[missing[0]]!r}' if missing and names else ''
        return (
            f'{self.values[IGNORED]} of {len(self.paths)} maps in {self.request.path} have pixels of the value '
            f'{IGNORED}{never} (all values: {self._listed(sorted(self.values))}). Is {IGNORED} a class? '
            f'{_what_to_write(names)} If {IGNORED} says that pixels do not count, add --ignore-index {IGNORED}.'
        )

    def _listed(self, values: Sequence[int]) -> str:
        return ', '.join(map(str, values[:_LISTED])) + (', ...' if len(values) > _LISTED else '')


def _what_to_write(names: Sequence[str] | None) -> str:
    written = ', '.join(f'{index} for {name}' for index, name in enumerate((names or ())[:_LISTED]))
    more = ', ...' if names and len(names) > _LISTED else ''
    indices = f' ({written}{more})' if written else ', from 0'
    return f'Write the index of its class into each pixel{indices}, and {IGNORED} where it does not count.'


def read_maps(request: Request) -> MapFolder:
    """Find the map of each picture, by its stem; the maps themselves are read by :meth:`MapFolder.read`.

    Raises:
        ValueError: a picture has no map, or two pictures would have the same one, or two maps one name.
    """
    folder = request.path
    remarks = Remarks()
    maps = files_of_pictures([folder], '.png', request.pictures, remarks, flat=True)
    missing = [picture for picture in request.pictures if picture.name not in maps]
    if missing:
        raise ValueError(
            f'{folder} has no map for {len(missing)} of {len(request.pictures)} pictures, for example '
            f'{missing[0].stem}.png.'
        )
    written = class_names(folder)
    names = tuple(checked_names(request.classes, folder)) if request.classes else written
    if written is not None and names != written:
        raise ValueError(
            f'--classes and {folder / NAMES_FILE} name different classes ({", ".join((names or ())[:3])}, ... and '
            f'{", ".join(written[:3])}, ...): leave one out.'
        )
    read = MapFolder(maps, names, request, remarks)
    if names is None:
        read.remarks.add("nothing names the classes of the maps: their values are taken for the machines' indices")
    return read


FORMAT = AnnotationFormat(
    'maps', 'a folder of maps of classes, PNG (seg)', ('seg',), MAPS, read_maps,
    is_folder=lambda path, images: any(Walker(raise_problem).below(str(path), ('.png',))), takes_names=True,
)  # fmt: skip
