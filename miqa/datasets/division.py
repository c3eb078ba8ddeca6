"""Divide photographs into training, selection and test, always by whole sources."""

from __future__ import annotations

from collections.abc import Sequence

from miqa.running import generator_for
from miqa.taxonomy import check_choice

#: ``fit``: for training. ``select``: to choose the best weights on. ``test``: used once (only of a fold).
PARTS = ('fit', 'select', 'test')


def divide_sources(
    sources: Sequence[str], part: str, selection: float, fold: Sequence[int] | None = None, seed: int = 0
) -> set[str]:
    """Return the sources of a part, one of :data:`PARTS`.

    Without ``fold`` the sources, which are those of a training split, are divided into ``fit`` and ``select``. With
    ``fold=(i, k)`` they are first divided into k test sets of equal size, of which the one with number i, from 0, is
    ``test``. ``selection``, between 0 and 1, is the share of those that do not test which are for ``select``: at least
    one is, and at least one is left for ``fit``. Membership depends on the names and the seed alone, not on the order.

    Raises:
        ValueError: a share, fold or part does not make sense, or there are too few sources.
    """
    check_choice(part, PARTS, 'part')
    if isinstance(selection, bool) or not isinstance(selection, (int, float)) or not 0 < selection < 1:
        raise ValueError(f"selection is a share of the sources between 0 and 1, or 'test'; not {selection!r}.")
    names = sorted(sources)
    order = [names[i] for i in generator_for(seed, 'division of sources').permutation(len(names))]
    if fold is not None:
        number, folds = (int(value) for value in fold)
        if not 0 <= number < folds or folds < 2:
            raise ValueError(f'fold is (number from 0, at least 2 folds), not {tuple(fold)}.')
        tested = order[number::folds]
        if part == 'test':
            return set(tested)
        order = [name for name in order if name not in set(tested)]
    elif part == 'test':
        raise ValueError("part='test' needs a fold; without folds the split 'val' is the test set.")
    if len(order) < 2:
        raise ValueError(
            f'{len(order)} training source cannot be divided into one part for training and one for selection: add '
            "photographs, or set selection='test' (the paper's recipe: selection on the test split)."
        )
    count = min(max(1, round(selection * len(order))), len(order) - 1)
    return set(order[:count] if part == 'select' else order[count:])
