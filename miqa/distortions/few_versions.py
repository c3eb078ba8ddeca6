"""A balanced part of all versions: few for each source, and over the sources every distortion and level."""

from __future__ import annotations

from collections.abc import Sequence

from miqa.taxonomy import DISTORTIONS, LEVEL_PAIRS

#: Level pairs of each distortion that a source gets: a mild uniform one, a strong one, and a fused one.
PAIRS_OF_EACH = 3

_FUSED_PAIRS = tuple(pair for pair in LEVEL_PAIRS if pair[0] != pair[1])


def plan_versions(
    number: int, distortions: int = 8, names: Sequence[str] = DISTORTIONS
) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """Choose the versions of the ``number``-th source, from 0: so many ``distortions``, each at three level pairs.

    Over the sources all distortions, all uniform levels and all fused pairs come round equally often. The (foreground,
    background) pairs are a mild uniform one, a strong uniform one, and one where both differ.
    """
    count = min(distortions, len(names))
    chosen = tuple(names[(number * count + i) % len(names)] for i in range(count))
    mild, strong = 1 + number % 3, 4 + number % 2
    # 7 has no factor in common with the 20 fused pairs, so their order is mixed and each comes round.
    return chosen, ((mild, mild), (strong, strong), _FUSED_PAIRS[7 * number % len(_FUSED_PAIRS)])


def check_count(versions: int) -> int:
    """Return how many distortions make so many versions of a source.

    Raises:
        ValueError: it is not a positive multiple of :data:`PAIRS_OF_EACH`.
    """
    if versions < PAIRS_OF_EACH or versions % PAIRS_OF_EACH:
        raise ValueError(
            f'Each distortion of a photograph comes at {PAIRS_OF_EACH} pairs of levels, so the number of versions must '
            f'be a multiple of {PAIRS_OF_EACH}, such as 12; not {versions}.'
        )
    return versions // PAIRS_OF_EACH
