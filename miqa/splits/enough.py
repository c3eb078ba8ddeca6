"""How many photographs give reliable numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping

from miqa.taxonomy import counted

LEAST_SOURCES = 5  # Sources on each side of a split from which tests and gates have intervals that say something


def check_enough(count: int, least: int, images: str | os.PathLike) -> None:
    """Raise a ValueError where ``count`` photographs of the folder ``images`` cannot be cross-validated."""
    if count < least:
        raise ValueError(
            f'{counted(count, "photograph")} of {images} {"is" if count == 1 else "are"} not enough for a gate: '
            f'cross-validation needs {least} with labels, and an interval that says something {LEAST_SOURCES}. Add '
            'photographs.'
        )


def few_sources(counts: Mapping[str, int], images: str | os.PathLike | None = None) -> str:
    """Say, for those who train on one side and test on the other, that a side has few sources; else return nothing.

    Args:
        counts: sources of each side, such as ``{'train': 8, 'val': 2}``.
        images: the folder that they came from, if it is known.
    """
    if not counts or min(counts.values()) >= LEAST_SOURCES:
        return ''
    listed = ', '.join(f'{side} {count}' for side, count in counts.items())
    more = 'Label more photographs' if images is None else f'Add pictures to {images}'
    return (
        f'Few sources on a side ({listed}): intervals over fewer than {LEAST_SOURCES} mean little, over one source '
        f'there are none. {more}, or cross-validate, as `miqa gate make` does.'
    )
