"""Check that machines and annotations have the same classes, before any machine runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Protocol

from miqa.annotations.coco import read_coco
from miqa.annotations.formats.class_map import class_names
from miqa.annotations.objects import Annotations
from miqa.layout import ground_truth_path

from .coco_objects import check_shapes, remember
from .detection_scores import match_categories
from .segmentation_scores import map_classes

_NAMED = 5  # Names that a note spells out


class Named(Protocol):
    """As much of a machine as is needed here."""

    name: str
    classes: tuple[str, ...] | None


def unknown_classes(
    machines: Iterable[Named], data_root: str | os.PathLike, task: str, annotations: Annotations | None = None,
    numbered: bool = False,
) -> list[str]:  # fmt: skip
    """Return a sentence for each machine that does not know all annotated classes; for ``cls`` see its table.

    ``annotations``, of det and ins, where they were read already, are remembered for the scores; ``numbered`` says that
    categories have no ids but those that the database gave them.

    Raises:
        ValueError: not one class of a machine is annotated, an object lacks the shape that ins needs, or nothing tells
            which category a label of a machine is.
    """
    truth = ground_truth_path(data_root, task)
    if task == 'cls':
        return []
    if task == 'seg':
        annotated = tuple(class_names(truth) or ())
    else:
        annotations = read_coco(truth) if annotations is None else annotations
        remember(annotations)
        annotated = tuple(annotations.categories)
        if task == 'ins':
            check_shapes(annotations)
    notes = []
    for machine in machines:
        about = {'name': machine.name, 'classes': machine.classes}
        if task == 'seg':
            map_classes(about, annotated or None, truth)
        elif machine.classes is not None and annotations is not None:
            match_categories(about, annotations.categories, truth)
        elif numbered:
            raise ValueError(
                f'{machine.name} names no classes, and the annotations name theirs without ids: nothing tells which '
                f'class its label 0 is. Write classes=[{", ".join(map(repr, annotated[:_NAMED]))}'
                f'{", ..." * (len(annotated) > _NAMED)}] into its config, in the order in which its labels count.'
            )
        missing = [name for name in annotated if machine.classes and name not in machine.classes]
        if missing:
            notes.append(_note(machine, missing, len(annotated)))
    return notes


def _note(machine: Named, missing: Sequence[str], total: int) -> str:
    listed = ', '.join(missing[:_NAMED]) + (', ...' if len(missing) > _NAMED else '')
    near = {name.casefold(): name for name in machine.classes or ()}
    otherwise = next((f' ({name} is called {near[name.casefold()]} there: write them alike)' for name in missing
                      if name.casefold() in near), '')  # fmt: skip
    return (
        f'{machine.name} does not know {len(missing)} of the {total} annotated classes, so that objects of these do '
        f'not count for it: {listed}{otherwise}'
    )
